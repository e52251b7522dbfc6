"""What must hold for any two arms."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karn_wandb.records import Comparison
from karn_wandb.statistics import compare

QUARTERS = st.integers(-400, 400).map(lambda i: i / 4)
FEW = settings(max_examples=50)
MIRROR = {"better": "worse", "worse": "better", "equivalent": "equivalent"}


@st.composite
def comparisons(draw, smallest=1):
    paired = draw(st.booleans())
    treatment = draw(st.lists(QUARTERS, min_size=smallest, max_size=7))
    size = len(treatment)
    control = draw(st.lists(QUARTERS, min_size=size if paired else smallest, max_size=size if paired else 7))
    return {
        "treatment": treatment,
        "control": control,
        "paired": paired,
        "higher_is_better": draw(st.booleans()),
        "margin": draw(st.none() | st.sampled_from([0.5, 5.0, 50.0])),
        "confidence": draw(st.sampled_from([0.8, 0.95, 0.99])),
    }


@given(comparisons())
@FEW
def test_every_comparison_is_a_valid_record_without_nan(options):
    c = compare(**options)
    numbers = [value for value in c.to_plain().values() if not isinstance(value, list)]
    assert not {"nan", "inf", "-inf"} & set(map(str, numbers))
    assert Comparison.from_plain(c.to_plain()) == c


@given(comparisons(smallest=3))
@FEW
def test_exchanging_the_arms_mirrors_everything(options):
    swapped = options | {"treatment": options["control"], "control": options["treatment"]}
    there, back = compare(**options), compare(**swapped)
    assert back.mean_delta == pytest.approx(-there.mean_delta, abs=1e-9)
    assert back.std_delta == pytest.approx(there.std_delta)
    assert MIRROR.get(there.verdict, "neither") == (back.verdict if back.verdict in MIRROR else "neither")
    assume(there.ci_low is not None)
    assert (back.ci_low, back.ci_high) == pytest.approx((-there.ci_high, -there.ci_low), abs=1e-9)
    assert back.p_value == pytest.approx(there.p_value)
    assert back.p_improvement == pytest.approx(1 - there.p_improvement)
    assert back.p_permutation == there.p_permutation
    assert back.hedges_g == pytest.approx(-there.hedges_g, abs=1e-9)
    assert back.hedges_g_ci == pytest.approx((-there.hedges_g_ci[1], -there.hedges_g_ci[0]), abs=1e-9)
    assert back.probability_of_improvement == pytest.approx(1 - there.probability_of_improvement)
    assert (back.p_equivalence, back.required_n) == (pytest.approx(there.p_equivalence), there.required_n)


@given(comparisons(smallest=3), st.integers(-1000, 1000))
@FEW
def test_shifting_both_arms_changes_nothing_but_the_means(options, shift):
    shifted = options | {
        "treatment": [value + shift for value in options["treatment"]],
        "control": [value + shift for value in options["control"]],
    }
    before, after = compare(**options), compare(**shifted)
    assert after.mean_treatment == pytest.approx(before.mean_treatment + shift)
    assert after.mean_delta == pytest.approx(before.mean_delta, abs=1e-9)
    assert (after.verdict, after.probability_of_improvement) == (before.verdict, before.probability_of_improvement)
    assume(before.p_value is not None)
    for name in ("p_value", "p_permutation", "hedges_g", "p_improvement"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-6, abs=1e-9), name


@given(comparisons(smallest=3), st.sampled_from([0.25, 2.0, 1024.0]))
@FEW
def test_the_unit_of_the_metric_does_not_matter(options, unit):
    scaled = options | {
        "treatment": [value * unit for value in options["treatment"]],
        "control": [value * unit for value in options["control"]],
        "margin": options["margin"] and options["margin"] * unit,
    }
    before, after = compare(**options), compare(**scaled)
    assert after.mean_delta == before.mean_delta * unit
    for name in ("p_value", "p_permutation", "hedges_g", "p_equivalence", "required_n", "verdict"):
        assert getattr(after, name) == getattr(before, name), name


@given(comparisons(smallest=3))
@FEW
def test_the_verdict_is_what_interval_and_p_values_say(options):
    c = compare(**options)
    assume(c.ci_low is not None)
    alpha = 1 - c.confidence
    assume(all(not math.isclose(p, level, rel_tol=1e-6) for p in (c.p_value, c.p_improvement) for level in (alpha, alpha / 2)))
    assert c.ci_low <= c.mean_delta <= c.ci_high
    assert (c.verdict in ("better", "worse")) == (c.p_value < alpha) == (not c.ci_low <= 0 <= c.ci_high)
    assert (c.verdict == "better") == (c.p_improvement < alpha / 2)
    if c.margin is None:
        assert c.verdict in ("better", "worse", "inconclusive")
    elif c.verdict not in ("better", "worse"):
        inside = -c.margin < c.ci_low and c.ci_high < c.margin
        assert (c.verdict == "equivalent") == inside == (c.p_equivalence < alpha / 2)
        assert (c.verdict == "inconclusive") == (c.p_non_inferiority >= alpha / 2)


@given(comparisons(smallest=3))
@FEW
def test_p_values_respect_their_floor_and_the_exact_method_is_named(options):
    c = compare(**options)
    assume(c.p_permutation is not None)
    assert c.permutation_method == "exact"
    assert c.p_attainable * (1 - 1e-12) <= c.p_permutation <= 1


@given(comparisons(smallest=3))
@FEW
def test_an_interval_at_more_confidence_is_wider(options):
    narrow, wide = compare(**options | {"confidence": 0.8}), compare(**options | {"confidence": 0.99})
    assume(narrow.ci_low is not None)
    assert wide.ci_low < narrow.ci_low
    assert narrow.ci_high < wide.ci_high
    assert wide.hedges_g_ci[0] < narrow.hedges_g_ci[0]
    assert narrow.hedges_g_ci[1] < wide.hedges_g_ci[1]


@given(comparisons(smallest=3))
@FEW
def test_larger_margins_are_easier_to_meet(options):
    strict, lax = compare(**options | {"margin": 1.0}), compare(**options | {"margin": 2.0})
    assume(strict.p_equivalence is not None)
    assert lax.p_equivalence <= strict.p_equivalence
    assert lax.p_non_inferiority <= strict.p_non_inferiority
    if strict.required_n is not None:
        assert lax.required_n <= strict.required_n


def test_numbers_agree_across_the_whole_range_of_the_metric():
    """Losses of 1e-9 and rewards of 1e9 are compared alike."""
    rng = np.random.default_rng(0)
    treatment, control = rng.normal(1, 1, 7), rng.normal(0, 1, 7)
    usual = compare(treatment, control)
    for unit in (1e-140, 1e-9, 1e9, 1e140):
        other = compare(treatment * unit, control * unit)
        assert other.p_value == pytest.approx(usual.p_value)
        assert other.p_permutation == usual.p_permutation
        assert other.hedges_g_ci == pytest.approx(usual.hedges_g_ci)
