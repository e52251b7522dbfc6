"""A claim once more: by other rules for failed runs, other tests, other aggregates, the one that decides marked."""

from __future__ import annotations

import pytest
from report_runs import Made, experiment, pairs

from karn_wandb.experiment.aggregation import aggregate
from karn_wandb.experiment.claims import Claim
from karn_wandb.experiment.robustness import by_rule, reanalyses, tally

GROWN, HOST = (64.9, 64.1, 66.0, 64.6, 65.2, 63.0), (61.2, 62.5, 60.8, 63.1, 61.7, 62.0)
ARMS = {"treatment": {"controller": "heuristic"}, "control": {"controller": "none"}}
LOST = [Made("lost-7", "heuristic", 7, (40.0,), state="crashed"), Made("host-7", "none", 7, (61.5,))]


def again(made, **fields):
    return reanalyses(experiment(made).episodes, Claim("a", **{**ARMS, **fields}))


def rules(found):
    return list(dict.fromkeys(each.runs for each in found))


def test_when_every_run_finished_there_is_one_rule_and_six_readings():
    found = again(pairs(GROWN, HOST))
    assert rules(found) == ["finished"]
    assert [each.primary for each in found] == [True, False, False, False, False, False]
    assert tally(found) == {"better": 6}


def test_a_crashed_run_counts_under_every_rule():
    """Its last value is the worst of all here, so that the two rules give the same values and one of them stands."""
    found = again([*pairs(GROWN, HOST), *LOST])
    assert rules(found) == ["finished", "unfinished at the worst value"]
    assert by_rule(found) == {"finished": "better", "unfinished at the worst value": "inconclusive"}
    assert {each.n_treatment for each in found if each.runs == "finished"} == {6}
    assert {each.n_treatment for each in found if each.runs != "finished"} == {7}


def test_the_last_value_of_a_failed_run_is_what_it_logged_and_the_worst_where_that_is_none():
    made = [*pairs(GROWN, HOST), Made("lost", "heuristic", 7, (62.0,), state="failed"), Made("silent", "none", 8, (None,))]
    estimates = {each.runs: each.reading.estimate for each in again(made, pair_by=None) if each.reading.test == "Welch t"}
    grown, host, worst = sum(GROWN), sum(HOST), min(HOST)
    assert estimates == {
        "finished": pytest.approx(grown / 6 - host / 6),
        "unfinished at the worst value": pytest.approx((grown + worst) / 7 - (host + worst) / 7),
        "unfinished at the last value": pytest.approx((grown + 62.0) / 7 - (host + worst) / 7),
    }


def test_when_lower_is_better_the_worst_value_is_the_highest():
    made = [*pairs(GROWN, HOST), Made("lost", "heuristic", 7, (None,), state="failed")]
    found = again(made, pair_by=None, metric="final_loss", higher_is_better=False)
    mean = {each.runs: each.reading.estimate for each in found if each.reading.test == "Welch t"}
    losses = [2 - value / 100 for value in GROWN], [2 - value / 100 for value in HOST]
    worst = max(*losses[0], *losses[1])
    assert mean["unfinished at the worst value"] == pytest.approx((sum(losses[0]) + worst) / 7 - sum(losses[1]) / 6)


def test_values_far_from_the_others_are_left_out_in_one_row_and_kept_in_the_verdict():
    found = again(pairs((*GROWN, 10.0), (*HOST, 61.0)))
    assert rules(found) == ["finished", "finished, outliers out"]
    assert by_rule(found) == {"finished": "inconclusive", "finished, outliers out": "better"}
    assert {each.n_treatment for each in found if each.runs == "finished"} == {7}


@pytest.mark.parametrize("rule", ["left_out", "worst", "last"])
def test_the_claims_own_rule_is_the_primary_one_and_comes_first(rule):
    made = [*pairs(GROWN, HOST), Made("lost-7", "heuristic", 7, (62.0,), state="crashed"), Made("host-7", "none", 7, (61.5,))]
    found = again(made, unfinished=rule)
    own = aggregate(experiment(made), **ARMS, unfinished=rule).comparison
    assert [each.primary for each in found].count(True) == 1
    assert found[0].primary
    assert (found[0].reading.low, found[0].reading.high, found[0].reading.verdict) == (own.ci_low, own.ci_high, own.verdict)
    assert set(rules(found)) == {"finished", "unfinished at the worst value", "unfinished at the last value"}


def test_too_few_runs_give_no_verdict_to_hold_against_each_other():
    found = again(pairs(GROWN[:2], HOST[:2]))
    assert tally(found) == {}
    assert by_rule(found) == {}


def test_failed_runs_are_counted_and_said_in_the_aggregation():
    made = [*pairs(GROWN, HOST), *LOST]
    left, worst = (aggregate(experiment(made), **ARMS, unfinished=rule) for rule in ("left_out", "worst"))
    assert [(run.run_id, run.reason) for run in left.excluded] == [("lost-7", "crashed")]
    assert left.counted == ()
    assert worst.excluded == ()
    assert [(run.run_id, run.state, run.reason) for run in worst.counted] == [("lost-7", "crashed", "crashed; counted as 40")]
    assert "lost-7" in worst.run_ids
    assert worst.comparison.n_treatment == 7
    assert worst.warnings == ("1 run that did not finish with a result counts as the worst value of any run: lost-7",)
    assert left.input_hash != worst.input_hash


def test_when_no_run_has_a_value_none_is_made_up():
    made = [Made(f"{arm}-{s}", arm, s, (None,), state="crashed") for arm in ("heuristic", "none") for s in range(3)]
    found = aggregate(experiment(made), **ARMS, unfinished="worst")
    assert (found.comparison, len(found.excluded), found.counted) == (None, 6, ())
