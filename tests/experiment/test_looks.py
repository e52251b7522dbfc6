"""A family that is looked at several times spends its level over the looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_runs import Made, experiment, pairs

from karn_wandb.experiment.claims import Claim, Claims
from karn_wandb.experiment.decide import decide
from karn_wandb.experiment.looks import look_at
from karn_wandb.experiment.report.words import verdict_sentences
from karn_wandb.statistics import looks
from karn_wandb.statistics.sequential import sequential_p

GROWN, HOST = {"controller": "heuristic"}, {"controller": "none"}
CLEAR = (64.9, 64.1, 66.0, 62.9), (61.2, 62.5, 60.8, 61.1)
PLAN = (4, 8, 12)


def family(*claims, **options):
    named = claims or (Claim("a", GROWN, HOST),)
    return Claims(named, **{"looks": PLAN, "planned_runs": 12, "sha256": "declared", **options})


def judged(made, **options):
    return decide(experiment(made), family(**options))[0]


def test_an_early_look_has_the_confidence_that_its_spending_leaves_it():
    expected = looks([4 / 12])[0]
    found = judged(pairs(*CLEAR))
    assert found.aggregation.comparison.confidence == found.look.confidence == found.confidence == expected.confidence
    assert found.look.number == 1
    once = judged(pairs(*CLEAR), looks=())
    assert once.supported
    assert not found.supported
    assert found.p == once.p
    assert found.p_adjusted == sequential_p(once.p, [4 / 12]) > once.p


def test_the_verdict_and_the_corrected_p_agree():
    """An interval at a look's confidence excludes zero exactly when the p that counts all looks is at the claim's level."""
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(6):
        for runs in PLAN:
            found = judged(pairs(rng.normal(61.5, 1, runs), rng.normal(60, 1, runs)))
            assert found.supported == (found.aggregation.comparison.verdict == "better")
            seen.add(found.supported)
    assert seen == {True, False}


def test_p_counts_the_looks_before_the_claims():
    """Holm's first step multiplies by the number of claims what counts the looks already."""
    both = (Claim("a", GROWN, HOST), Claim("b", GROWN, HOST, metric="final_loss", higher_is_better=False))
    found = decide(experiment(pairs(*CLEAR)), family(*both))
    counted = sorted(sequential_p(each.p, [4 / 12]) for each in found)
    assert min(each.p_adjusted for each in found) == pytest.approx(2 * counted[0])


def test_runs_between_and_beyond_the_plan_are_looks_too():
    assert look_at(family(), 6, 0.95).fractions == pytest.approx((4 / 12, 6 / 12))
    assert look_at(family(), 15, 0.95).fractions == pytest.approx((4 / 12, 8 / 12, 1))
    assert look_at(family(looks=()), 6, 0.95) is None
    assert look_at(family(), 0, 0.95) is None


def test_a_very_early_look_uses_no_more_than_one_in_ten_thousand():
    assert look_at(family(looks=(2, 100), planned_runs=100), 2, 0.95).confidence == 0.9999


@pytest.mark.parametrize(("runs", "said"), [(4, "look 1 of 3, with 4 of 12"), (6, "look 2 of 3, between planned ones, with 6")])
def test_the_verdict_says_which_look_it_is(runs, said):
    values = np.linspace(60, 63, runs)
    found = judged(pairs(values + np.resize([1.0, 2.0], runs), values))
    words = " ".join(verdict_sentences(found, "heuristic", "none", "points", 1, declared=True))
    assert f"This is {said}" in words
    assert "so that all looks together keep 95 %." in words
    assert "corrected for all looks so far; 0.025 or less was needed." in words


def test_without_declared_looks_an_unfinished_plan_gets_an_interval_that_holds_at_every_number_of_runs():
    eight = [arm + arm[::-1] for arm in CLEAR]
    found = judged(pairs(*eight), looks=())
    low, high = found.anytime
    assert low < found.aggregation.comparison.ci_low < found.aggregation.comparison.ci_high < high
    words = " ".join(verdict_sentences(found, "heuristic", "none", "points", 1, declared=True))
    assert "needs an interval that holds at every number: " in words
    assert judged(pairs(*eight), looks=(), planned_runs=8).anytime is None
    assert judged(pairs(*eight)).anytime is None
    assert judged(pairs(*CLEAR), looks=()).anytime is None  # so few pairs say nothing at every number


def test_unpaired_arms_have_it_too():
    made = pairs(*[arm + arm[::-1] for arm in CLEAR])
    (found,) = decide(experiment(made), family(Claim("a", GROWN, HOST, pair_by=None), looks=()))
    assert found.anytime[0] < found.aggregation.mean_delta < found.anytime[1]


def test_crashed_runs_have_come_to_their_look_too():
    """At the last look of the plan the whole level may be used, however few runs can be analysed; running ones are to come."""
    made = pairs(*[arm * 3 for arm in CLEAR])
    last = [replace(each, state="crashed", finals=()) if each.seed > 8 else each for each in made]
    found = judged(last)
    assert (found.look.runs, found.aggregation.comparison.n_treatment) == (12, 9)
    assert judged(made).look.confidence == found.look.confidence
    assert judged([replace(each, state="running") if each.seed > 8 else each for each in made]).look.runs == 9


def test_an_arm_without_runs_is_no_look():
    made = [Made("grown-0", "heuristic", 0), Made("host-0", "none", 0, state="crashed")]
    found = judged(made)
    assert (found.look, found.anytime, found.p) == (None, None, None)
