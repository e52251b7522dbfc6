"""Causal contribution from control runs, beside removal cost: paired by seed, corrected over slots, nothing left out silently."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_runs import Made, controls, experiment
from scipy import stats

from karn_wandb.errors import SourceError, StatisticsError
from karn_wandb.experiment.controls import causal_contributions, control_groups
from karn_wandb.records import (
    CausalContributions,
    EpochSnapshot,
    ExcludedRun,
    Pair,
    RemovalCost,
    SeedStage,
    SlotSnapshot,
)

FULL = (90.0, 91.0, 89.0, 92.0)
EARLY, LATE = (89.0, 91.5, 87.0, 90.0), (86.0, 87.5, 84.5, 88.25)
COSTS = {"early": (3.0, 2.0, 4.0, 2.5), "late": (1.0, 0.0, 0.5, -0.5)}


def made():
    return controls(FULL, {"late": LATE, "early": EARLY}, **COSTS)


def of(runs, **options):
    found = causal_contributions(experiment(runs), **options)
    return {slot.slot: slot for slot in found.slots}


def test_each_slots_contribution_is_full_minus_without_paired_by_seed():
    early = of(made())["early"]
    assert early.causal.pairs[0] == Pair("0", "full-0", "no-early-0", 90.0, 89.0)
    assert early.causal.mean_delta == (1.0 - 0.5 + 2.0 + 2.0) / 4
    reference = stats.ttest_rel(FULL, EARLY)  # SciPy's paired t test
    assert early.causal.p_value == pytest.approx(reference.pvalue, abs=1e-12)
    ends = (early.causal.comparison.ci_low, early.causal.comparison.ci_high)
    assert ends == pytest.approx(tuple(reference.confidence_interval()), abs=1e-12)


def test_removal_cost_is_the_mean_over_runs_with_its_t_interval():
    early = of(made())["early"]
    assert early.removals[0] == RemovalCost("0", "full-0", 4, 60.0, 57.0)
    assert [removal.cost for removal in early.removals] == list(COSTS["early"])
    reference = stats.ttest_1samp(COSTS["early"], 0)
    assert early.removal.mean_delta == pytest.approx(11.5 / 4, abs=1e-12)
    assert (early.removal.ci_low, early.removal.ci_high) == pytest.approx(tuple(reference.confidence_interval()), abs=1e-12)


def test_the_difference_is_removal_cost_minus_contribution_of_the_same_seeds():
    early = of(made())["early"]
    apart = [2.0, 2.5, 2.0, 0.5]  # 3 - 1, 2 + 0.5, 4 - 2, 2.5 - 2
    reference = stats.ttest_1samp(apart, 0)
    assert early.difference.mean_delta == pytest.approx(np.mean(apart), abs=1e-12)
    assert (early.difference.mean_treatment, early.difference.mean_control) == pytest.approx((2.875, 1.125), abs=1e-12)
    assert early.difference.p_value == pytest.approx(reference.pvalue, abs=1e-12)


def test_p_is_corrected_over_the_slots_by_holm():
    found = of(made())
    early, late = found["early"], found["late"]
    assert late.causal.p_value < early.causal.p_value
    assert late.p_causal == pytest.approx(2 * late.causal.p_value)
    assert early.p_causal == early.causal.p_value
    assert early.p_removal == pytest.approx(2 * early.removal.p_value)
    assert late.p_removal == late.removal.p_value


def test_a_slot_that_cannot_be_tested_still_counts_in_the_correction():
    found = of(controls(FULL, {"early": EARLY, "late": LATE[:2]}, **COSTS))
    assert found["late"].p_causal is None
    assert found["early"].p_causal == pytest.approx(2 * found["early"].causal.p_value)


def test_slots_come_in_the_order_of_the_network():
    assert list(of(made())) == ["early", "late"]
    bare = [replace(run, removal={}) for run in controls(FULL, {"slot10": EARLY, "slot9": LATE})]
    assert list(of(bare)) == ["slot10", "slot9"]


def test_below_three_pairs_nothing_is_inferred_and_the_runs_needed_are_said():
    early = of(controls(FULL[:2], {"early": EARLY[:2]}, early=(3.0, 2.0)))["early"]
    assert early.causal.mean_delta == 0.25
    for found in (early.causal.comparison, early.removal, early.difference):
        assert (found.ci_low, found.p_value, found.verdict) == (None, None, "inconclusive")
    assert early.causal.comparison.warnings[0] == (
        "2 pairs: nothing is inferred from fewer than 3; 6 pairs are needed before the permutation test can reach 0.05"
    )
    assert (early.p_causal, early.p_removal, early.p_difference) == (None, None, None)


def test_crashed_runs_and_those_without_partner_are_listed_with_the_reason():
    runs = [replace(r, state="crashed", reason="killed") if r.run_id in ("full-1", "no-early-2") else r for r in made()]
    early = of(runs)["early"]
    assert early.causal.excluded == (
        ExcludedRun("full-1", "treatment", "crashed", "crashed: killed"),
        ExcludedRun("no-early-2", "control", "crashed", "crashed: killed"),
    )
    assert [(run.run_id, run.reason) for run in early.causal.unmatched] == [
        ("no-early-1", "no analysed run of the other arm has base_seed 1"),
        ("full-2", "no analysed run of the other arm has base_seed 2"),
    ]
    assert [removal.key for removal in early.removals] == ["0", "2", "3"]
    assert early.difference.n_treatment == 2


def test_a_full_run_that_was_not_evaluated_is_listed_and_is_no_zero():
    runs = [replace(run, removal={}) if run.run_id == "full-0" else run for run in made()]
    early = of(runs)["early"]
    assert early.not_evaluated == (ExcludedRun("full-0", "treatment", "finished", "early was not evaluated with and without"),)
    assert early.removal.n_treatment == early.difference.n_treatment == 3
    assert early.causal.comparison.n_treatment == 4


def test_without_any_evaluation_there_is_a_contribution_and_no_removal_cost():
    early = of([replace(run, removal={}) for run in made()])["early"]
    assert (early.removal, early.difference, early.p_removal, early.removals) == (None, None, None, ())
    assert early.causal.comparison.n_treatment == 4


def test_of_a_metric_that_coalitions_are_not_evaluated_for_there_is_no_removal_cost():
    early = of(made(), metric="best_accuracy")["early"]
    assert early.removal is None
    assert {run.reason for run in early.not_evaluated} == {"coalitions are evaluated for accuracy and loss only"}


def test_losses_are_compared_in_their_own_unit_and_direction():
    runs = [replace(run, loss=1.0 + 0.01 * i * i) for i, run in enumerate(made())]
    early = of(runs, metric="final_loss", higher_is_better=False)["early"]
    assert [removal.cost for removal in early.removals] == pytest.approx([-0.03, -0.02, -0.04, -0.025])
    assert early.removal.verdict == "better"


def test_several_runs_of_a_seed_count_once_by_their_mean():
    runs = [
        *made(),
        Made("full-0b", seed=0, finals=(94.0,), removal={"early": 5.0, "late": 1.0}, config={"disabled_slot": "none"}),
    ]
    early = of(runs)["early"]
    assert early.removals[0] == RemovalCost("0", "full-0 + full-0b", 4, 60.0, 56.0)
    assert early.causal.pairs[0] == Pair("0", "full-0 + full-0b", "no-early-0", 92.0, 89.0)
    assert early.grown == ("full-0", "full-0b", "full-1", "full-2", "full-3")


def test_episodes_of_a_run_are_averaged_and_all_must_have_been_evaluated():
    runs = [replace(run, finals=(run.finals[0], run.finals[0] + 1)) for run in made()]
    early = of(runs)["early"]
    assert early.causal.mean_delta == 1.125
    assert [removal.cost for removal in early.removals] == list(COSTS["early"])


def test_null_and_missing_mean_a_full_run_too():
    for value in ({"disabled_slot": None}, {}):
        runs = [replace(run, config=value) if run.run_id.startswith("full") else run for run in made()]
        found = causal_contributions(experiment(runs))
        assert found.slots[0].causal.mean_delta == 1.125
        assert found.slots[0].causal.treatment == "disabled_slot = null or none, controller = heuristic"


def test_host_only_runs_are_no_full_runs():
    """They too name no disabled slot; averaged with the full runs they would spoil every pair."""
    hosts = [Made(f"host-{seed}", "none", seed, (50.0,)) for seed in range(4)]
    found = causal_contributions(experiment([*made(), *hosts]))
    assert found.where == "controller = heuristic"
    assert found.slots[0].causal.mean_delta == 1.125


def test_several_controllers_must_be_told_apart():
    policy = [replace(run, run_id=f"policy-{run.run_id}", controller="policy") for run in made()]
    both = experiment([*made(), *policy])
    with pytest.raises(StatisticsError) as error:
        causal_contributions(both)
    assert str(error.value) == (
        "the control runs are of several controllers; got controller = heuristic; controller = policy. Choose one with where=."
    )
    assert control_groups(both.episodes) == ({"controller": "heuristic"}, {"controller": "policy"})
    found = causal_contributions(both, where={"controller": "policy"})
    assert found.slots[0].causal.pairs[0].treatment_run == "policy-full-0"


def of_only(kind):
    return experiment([run for run in made() if run.run_id.startswith(kind)])


@pytest.mark.parametrize("found", [experiment([Made("a"), Made("b", "none")]), of_only("full"), of_only("no-")])
def test_without_control_runs_or_without_full_runs_the_error_says_how_to_make_them(found):
    assert control_groups(found.episodes) == ()
    with pytest.raises(SourceError) as error:
        causal_contributions(found)
    assert str(error.value) == (
        "there are no control runs with full runs beside them. Train runs in which nothing ever germinates in a slot, "
        "with its name as 'disabled_slot' in the config, and runs with all slots."
    )


def test_a_choice_that_leaves_one_kind_of_run_is_an_error():
    found = experiment([*made(), Made("b", "none"), Made("c", "policy", config={"disabled_slot": "early"})])
    with pytest.raises(SourceError) as error:
        causal_contributions(found, where={"controller": "none"})
    assert str(error.value) == "there are no control runs: no run with controller = none names a slot in 'disabled_slot'."
    with pytest.raises(SourceError, match="no run has disabled_slot = null or none, controller = policy"):
        causal_contributions(found, where={"controller": "policy"})


def test_arms_named_after_the_slots_do_not_keep_full_and_control_runs_apart():
    runs = [replace(run, config={**run.config, "arm": run.config["disabled_slot"]}) for run in made()]
    assert causal_contributions(experiment(runs)).where == "controller = heuristic"


def test_runs_without_a_controller_need_none():
    found = causal_contributions(experiment([replace(run, controller=None) for run in made()]))
    assert found.where == ""
    assert found.slots[0].causal.mean_delta == 1.125


def test_another_name_may_say_which_slot_was_disabled():
    runs = [replace(run, config={"closed": run.config["disabled_slot"]}) for run in made()]
    found = causal_contributions(experiment(runs), control_key="closed")
    assert found.control_key == "closed"
    assert found.slots[0].causal.mean_delta == 1.125


def retold(run_id, epoch, change):
    """The runs, with another snapshot in place of one."""
    found = experiment(made())
    runs = []
    for run in found.runs:
        events = [
            replace(event, data=change(event.data))
            if run.run_id == run_id and isinstance(event.data, EpochSnapshot) and event.data.epoch == epoch
            else event
            for event in run.telemetry
        ]
        runs.append(replace(run, telemetry=tuple(events)))
    return replace(found, runs=tuple(runs))


def test_a_control_run_in_which_the_slot_grew_all_the_same_is_pointed_out():
    grown = {"early": SlotSnapshot("early", SeedStage.TRAINING)}
    found = retold("no-early-1", 2, lambda snapshot: replace(snapshot, slots=grown))
    assert causal_contributions(found).slots[0].warnings == (
        "something grew in early all the same in no-early-1, named as trained without it",
    )


def test_a_removal_cost_older_than_the_last_epoch_is_pointed_out():
    older = retold("full-2", 4, lambda snapshot: replace(snapshot, epoch=9, host=replace(snapshot.host, epoch=9)))
    assert causal_contributions(older).slots[0].warnings == (
        "the removal cost of full-2 was measured before the last epoch, in a network that was trained further",
    )


def test_where_nothing_ever_grew_is_counted():
    runs = [replace(run, removal={"late": 1.0}) if run.run_id in ("full-0", "full-1") else run for run in made()]
    found = of(runs)
    assert found["early"].grown == ("full-2", "full-3")
    assert found["late"].grown == ("full-0", "full-1", "full-2", "full-3")


def test_the_order_in_which_runs_are_found_changes_nothing_and_the_record_is_stored_exactly():
    found = causal_contributions(experiment(made()))
    assert found == causal_contributions(experiment(made()[::-1]))
    assert CausalContributions.from_plain(found.to_plain()) == found
    other = causal_contributions(experiment(made()), confidence=0.9)
    assert other.confidence == other.slots[0].removal.confidence == 0.9
    assert other.input_hash != found.input_hash


def test_a_margin_lets_small_be_shown():
    close = controls(FULL, {"early": tuple(value + d for value, d in zip(FULL, (0.1, -0.1, 0.05, 0.0), strict=True))})
    assert of(close, margin=1.0)["early"].causal.comparison.verdict == "equivalent"
