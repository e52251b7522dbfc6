"""Claims are judged by one-sided tests, corrected over the whole family that was declared."""

from __future__ import annotations

import pytest
from report_runs import Made, experiment, pairs

from karn_wandb.errors import ClaimsError
from karn_wandb.experiment.claims import Claim, Claims
from karn_wandb.experiment.decide import decide, default_claims

GROWN, HOST = {"controller": "heuristic"}, {"controller": "none"}
CLEAR = pairs((64.9, 64.1, 66.0, 62.9, 65.2), (61.2, 62.5, 60.8, 61.1, 61.7))
NOISY = pairs((60.0, 66.0, 61.0, 64.0, 59.0), (61.0, 62.0, 60.5, 61.5, 62.5))


def judge(made, *claims, correction="holm"):
    return decide(experiment(made), Claims(claims, correction=correction, sha256="declared"))


def claim(name="a", **fields):
    return Claim(name, **{"treatment": GROWN, "control": HOST, **fields})


def test_superiority_rests_on_the_one_sided_p_of_improvement():
    (found,) = judge(CLEAR, claim())
    assert found.p == found.aggregation.comparison.p_improvement
    assert found.p_adjusted == found.p < 0.025
    assert found.supported
    assert found.aggregation.comparison.verdict == "better"


def test_being_clearly_worse_supports_no_superiority():
    (found,) = judge(CLEAR, claim(treatment=HOST, control=GROWN))
    assert found.p > 0.975
    assert not found.supported
    assert found.aggregation.comparison.verdict == "worse"


def test_without_a_clear_difference_nothing_is_supported():
    (found,) = judge(NOISY, claim())
    assert not found.supported
    assert found.aggregation.comparison.verdict == "inconclusive"


@pytest.mark.parametrize(("test", "field"), [("non_inferiority", "p_non_inferiority"), ("equivalence", "p_equivalence")])
def test_the_other_tests_rest_on_their_own_p(test, field):
    near = pairs((61.3, 62.5, 60.9, 61.1, 61.8), (61.2, 62.6, 60.8, 61.2, 61.7))
    (wide,) = judge(near, claim(test=test, margin=1.0))
    (narrow,) = judge(near, claim(test=test, margin=0.01))
    assert wide.p == getattr(wide.aggregation.comparison, field)
    assert wide.supported
    assert not narrow.supported


def test_claims_are_corrected_together():
    """Holm: the smallest of two p is doubled, and adjusted p never fall; BH: the largest stands as it is."""
    both = (claim("a"), claim("b", metric="final_loss", higher_is_better=False))
    holm, bh = judge(CLEAR, *both), judge(CLEAR, *both, correction="bh")
    low, high = sorted(found.p for found in holm)
    assert sorted(found.p_adjusted for found in holm) == pytest.approx([2 * low, max(2 * low, high)])
    assert max(found.p_adjusted for found in bh) == pytest.approx(max(high, 2 * low) if 2 * low < high else high)


def test_a_claim_that_cannot_be_tested_still_counts_in_the_family():
    """Otherwise a family could be thinned after the fact by letting runs crash."""
    alone = judge(CLEAR, claim("a"))[0]
    crashed = [Made("policy-0", "policy", 0, state="crashed")]
    both = judge(CLEAR + crashed, claim("a"), claim("b", treatment={"controller": "policy"}))
    assert both[0].p_adjusted == pytest.approx(2 * alone.p)
    assert (both[1].p, both[1].p_adjusted, both[1].supported) == (None, None, False)


def test_a_confidence_of_its_own_gives_a_level_of_its_own():
    strict, usual = (judge(CLEAR, claim(confidence=c))[0] for c in (0.9999, 0.95))
    assert usual.supported
    assert strict.p > strict.claim.level
    assert not strict.supported


def test_an_arm_that_no_run_is_in_is_an_error_that_names_claim_and_line():
    with pytest.raises(ClaimsError) as error:
        judge(CLEAR, claim("a", treatment={"controller": "heuristc"}, line=5))
    assert str(error.value) == (
        "the claim 'a' (line 5): no run has controller = heuristc. The values of controller are heuristic, none."
    )


def test_a_metric_there_is_not_is_an_error_that_names_claim_and_line():
    with pytest.raises(ClaimsError) as error:
        judge(CLEAR, claim("a", metric="final_los", line=7))
    assert str(error.value) == "the claim 'a' (line 7): there is no metric 'final_los'. Did you mean 'final_loss'?"


def defaults(*made):
    return default_claims(experiment(made).episodes)


@pytest.mark.parametrize(
    ("values", "control"),
    [
        (("policy", "none", "heuristic"), "none"),
        (("grown", "Host_Only"), "Host_Only"),
        (("a", "baseline", "control"), "control"),
        (("zebra", "ant"), "ant"),
        ((2, 1), 1),
    ],
)
def test_without_claims_every_other_arm_is_compared_with_the_control(values, control):
    found = defaults(*(Made(f"run {value}", None, 0, config={"arm": value}) for value in values))
    assert not found.declared
    assert [(c.treatment["arm"], c.control["arm"]) for c in found.claims] == [
        (value, control) for value in sorted(values, key=str) if value != control
    ]
    assert all(c.test == "superiority" and c.metric == "final_accuracy" for c in found.claims)


def test_arm_goes_before_controller_when_both_tell_runs_apart():
    runs = [Made(f"{arm}-{who}", who, 0, config={"arm": arm}) for arm in "ab" for who in ("x", "y")]
    assert [c.name for c in defaults(*runs).claims] == ["b against a"]


def test_an_arm_that_is_the_same_everywhere_leaves_it_to_the_controller():
    runs = [Made(who, who, 0, config={"arm": "all"}) for who in ("x", "y")]
    assert [c.name for c in defaults(*runs).claims] == ["y against x"]


def test_runs_are_paired_when_the_arms_share_a_seed_and_not_otherwise():
    assert defaults(Made("x", "x", 1), Made("y", "y", 1)).claims[0].pair_by == "base_seed"
    assert defaults(Made("x", "x", 1), Made("y", "y", 2)).claims[0].pair_by is None
    assert defaults(Made("x", "x", None), Made("y", "y", None)).claims[0].pair_by is None


@pytest.mark.parametrize("runs", [[Made("x", None)], [Made("x", "x"), Made("y", "x")]])
def test_without_two_arms_there_is_nothing_to_compare(runs):
    assert defaults(*runs) is None
