"""Every number that R can compute too, from the fixture that `reference.R` writes; agreement to 1e-8."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from karn_wandb.statistics import (
    anytime_interval,
    clustered,
    clustered_mean,
    compare,
    correct,
    looks,
    minimum_detectable_delta,
    paired_plan,
    power_of_difference,
    power_of_equivalence,
    power_of_non_inferiority,
    probability_of_improvement,
    ratio_of_means,
    unpaired_plan,
)
from karn_wandb.statistics.effects import glass_delta
from karn_wandb.statistics.power import required_n

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text())
SAMPLES = REFERENCE["samples"]
CASES = [(name, design) for name, s in SAMPLES.items() for design in ("unpaired", "paired") if s.get(design)]


def close(expected):
    return pytest.approx(expected, rel=1e-8, abs=1e-12)


def having(quantity):
    return [(name, design) for name, design in CASES if SAMPLES[name][design].get(quantity) is not None]


@cache
def compared(name, design, **options):
    return compare(SAMPLES[name]["treatment"], SAMPLES[name]["control"], paired=design == "paired", **options)


@pytest.mark.parametrize(("name", "design"), CASES)
def test_t_tests_and_intervals_agree_with_t_test(name, design):
    expected = SAMPLES[name][design]["tests"]
    c = compared(name, design, margin=SAMPLES[name]["margin"])
    wide = compared(name, design, confidence=0.99)
    assert (c.ci_low, c.ci_high) == close(expected["interval_95"])
    assert (wide.ci_low, wide.ci_high) == close(expected["interval_99"])
    assert c.p_value == close(expected["p_value"])
    assert c.p_improvement == close(expected["p_greater"])
    assert c.p_non_inferiority == close(expected["p_not_worse"])
    assert c.p_equivalence == close(max(expected["p_not_worse"], expected["p_not_better"]))


@pytest.mark.parametrize(("name", "design"), CASES)
def test_one_sided_tests_turn_round_when_lower_is_better(name, design):
    expected = SAMPLES[name][design]["tests"]
    c = compared(name, design, margin=SAMPLES[name]["margin"], higher_is_better=False)
    assert c.p_improvement == close(expected["p_less"])
    assert c.p_non_inferiority == close(expected["p_not_better"])


@pytest.mark.parametrize(("name", "design"), CASES)
def test_descriptions_agree(name, design):
    sample, c = SAMPLES[name], compared(name, design)
    expected = sample[design]
    assert (c.mean_treatment, c.mean_control) == close(sample["mean"])
    assert c.mean_delta == close(sample["mean"][0] - sample["mean"][1])
    assert c.std_delta == close(expected["sd"])
    assert (c.iqm_treatment, c.iqm_control) == close(sample["iqm"])
    assert c.probability_of_improvement == close(expected["probability"])


@pytest.mark.parametrize(("name", "design"), CASES)
def test_effect_sizes_agree_with_effectsize_and_their_interval_with_rs_noncentral_t(name, design):
    expected = SAMPLES[name][design]["effects"]
    c = compared(name, design)
    assert c.cohens_d == close(expected["d"])
    assert c.hedges_g == close(expected["g"])
    assert c.hedges_g_ci == close(expected["interval_95"])
    assert compared(name, design, confidence=0.9).hedges_g_ci == close(expected["interval_90"])


@pytest.mark.parametrize(("name", "design"), having("p_permutation"))
def test_exact_permutation_p_agrees_with_enumeration_in_r(name, design):
    c = compared(name, design)
    assert (c.permutation_method, c.p_permutation) == ("exact", close(SAMPLES[name][design]["p_permutation"]))


@pytest.mark.parametrize(("name", "design"), having("p_coin"))
def test_for_equal_arms_welchs_t_orders_as_the_mean_difference_does(name, design):
    """So the p-value is that of coin's exact test of mean differences."""
    c = compared(name, design)
    assert (c.permutation_method, c.p_permutation) == ("exact", close(SAMPLES[name][design]["p_coin"]))


@pytest.mark.parametrize(("name", "design"), CASES)
def test_required_n_agrees_with_power_t_test(name, design):
    expected = SAMPLES[name][design]
    observed, planned = compared(name, design), compared(name, design, margin=SAMPLES[name]["margin"])
    assert (observed.required_n, observed.required_n_basis) == (max(3, expected["required_n"]), "observed delta")
    assert (planned.required_n, planned.required_n_basis) == (max(3, expected["required_n_margin"]), "margin")


@pytest.mark.parametrize("family", REFERENCE["families"], ids=str)
def test_corrections_agree_with_p_adjust(family):
    assert correct(family["p"], "holm") == close(tuple(family["holm"]))
    assert correct(family["p"], "bh") == close(tuple(family["bh"]))


def test_student_1908_sleep_as_r_documents_it():
    """Printed on R's help page of t.test: t = -1.8608, df = 17.776, p = 0.07939; paired t = -4.0621, p = 0.002833."""
    first, second = SAMPLES["sleep"]["control"], SAMPLES["sleep"]["treatment"]
    unpaired, paired = compare(first, second), compare(first, second, paired=True)
    assert round(unpaired.p_value, 5) == 0.07939
    assert (round(unpaired.ci_low, 7), round(unpaired.ci_high, 7)) == (-3.3654832, 0.2054832)
    assert round(paired.p_value, 6) == 0.002833
    assert (round(paired.ci_low, 7), round(paired.ci_high, 7)) == (-2.4598858, -0.7001142)
    assert round(unpaired.hedges_g, 5) == -0.79694  # the approximate J gives -0.79702
    assert np.round(unpaired.hedges_g_ci, 2) == pytest.approx((-1.74, 0.10))  # the symmetric approximation: -1.81, 0.15


def test_fisher_1935_maize_by_all_32768_sign_flips():
    """Fisher, "The Design of Experiments", section 21: 1,726 of 32,768 flips are as extreme; t test 4.970 %."""
    c = compared("maize", "paired")
    assert c.p_permutation * 32768 == 1726
    assert round(100 * c.p_value, 3) == 4.970


def test_cohen_1988_needs_64_an_arm_for_a_medium_effect():
    """Cohen 1988, table 2.4.1: at two-sided 0.05 and power 0.80, d = 0.5 needs 64 an arm and d = 0.8 needs 26."""
    assert [required_n(d, paired=False, alpha=0.05) for d in (0.5, 0.8)] == [64, 26]


@pytest.mark.parametrize("case", REFERENCE["plans"], ids=lambda case: f"{case['n']}-{case['delta']}-{case['confidence']}")
def test_power_agrees_with_power_t_test_and_of_both_sides_with_integration(case):
    n, delta, confidence = case["n"], case["delta"], case["confidence"]
    plan = paired_plan if case["paired"] else unpaired_plan
    assert power_of_difference(plan(delta, 1.0, n), confidence=confidence) == close(case["power"])
    assert minimum_detectable_delta(plan(0.0, 1.0, n), confidence=confidence) == close(case["detectable"])
    shifted = plan(-delta / 4, 1.0, n)
    assert power_of_non_inferiority(shifted, 1.0, confidence=confidence) == close(case["non_inferiority"])
    assert power_of_equivalence(plan(delta / 4, 1.0, n), 1.5, confidence=confidence) == close(case["equivalence"])


@pytest.mark.parametrize("case", REFERENCE["unequal"], ids=lambda case: str(case["runs"]))
def test_power_of_unequal_arms_agrees_with_integration(case):
    plan = unpaired_plan(case["delta"], tuple(case["deviations"]), *case["runs"])
    assert plan.degrees_of_freedom == close(case["df"])
    assert power_of_difference(plan) == close(case["power"])
    assert power_of_equivalence(plan, case["margin"]) == close(case["equivalence"])


@pytest.mark.parametrize("spending", REFERENCE["looks"])
@pytest.mark.parametrize("case", range(6))
def test_boundaries_of_planned_looks_agree_with_rpact(spending, case):
    expected = REFERENCE["looks"][spending][case]
    found = looks(expected["fractions"], spending, confidence=expected["confidence"])
    assert [look.spent for look in found] == close(expected["spent"])
    assert [look.boundary for look in found] == close(expected["boundaries"])


@pytest.mark.parametrize("case", REFERENCE["proportions"], ids=lambda case: f"{case['wins']}-{case['n']}")
def test_paired_probability_of_improvement_has_the_interval_of_binom_test(case):
    won = np.arange(case["n"]) < case["wins"]
    found = probability_of_improvement(np.where(won, 1.0, -1.0), np.zeros(case["n"]), paired=True)
    assert (found.low, found.high) == close(case["interval"])


@pytest.mark.parametrize("name", REFERENCE["scores"])
def test_unpaired_probability_of_improvement_has_the_score_interval_by_its_definition(name):
    found = probability_of_improvement(SAMPLES[name]["treatment"], SAMPLES[name]["control"])
    assert (found.low, found.high) == close(REFERENCE["scores"][name])


@pytest.mark.parametrize("name", REFERENCE["ratios"])
def test_ratios_agree_with_where_t_test_changes_its_mind(name):
    sample, expected = SAMPLES[name], REFERENCE["ratios"][name]
    for paired, bounds in ((False, expected["unpaired"]), (True, expected["paired"])):
        if bounds is not None:
            found = ratio_of_means(sample["treatment"], sample["control"], paired)
            assert (found.kind, found.low, found.high) == ("interval", close(bounds[0]), close(bounds[1]))


@pytest.mark.parametrize("name", REFERENCE["clusters"])
def test_clusters_agree_with_sandwich_and_aov(name):
    expected = REFERENCE["clusters"][name]
    found = clustered(expected["values"], expected["clusters"])
    assert (found.between, found.within) == (close(expected["between"]), close(expected["within"]))
    mean = clustered_mean(expected["values"], expected["clusters"])
    assert (mean.delta, mean.standard_error) == (close(expected["mean"]), close(expected["error"]))


@pytest.mark.parametrize("name", REFERENCE["glass"])
def test_glasss_delta_agrees_with_effectsize(name):
    treatment, control = (np.array(SAMPLES[name][arm], dtype=float) for arm in ("treatment", "control"))
    assert glass_delta(treatment, control) == close(REFERENCE["glass"][name])


@pytest.mark.parametrize("case", REFERENCE["sequences"], ids=lambda case: f"{case['n']}-{case['scale']}-{case['confidence']}")
def test_the_confidence_sequence_ends_where_the_averaged_likelihood_is_that_many_times_the_other(case):
    n = case["n"]
    deltas = np.arange(n, dtype=float) - (n - 1) / 2
    low, high = anytime_interval(deltas, np.zeros(n), paired=True, confidence=case["confidence"], scale=case["scale"])
    assert high * np.sqrt(n) / deltas.std(ddof=1) == close(case["t"])
    assert low == -high
