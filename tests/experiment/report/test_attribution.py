"""Shapley values across runs: each finished run is one observation, at its last evaluated epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from report_runs import Made, experiment
from scipy import stats

from karn_wandb.experiment.decide import default_claims
from karn_wandb.experiment.report.arms import Arms, arms_of
from karn_wandb.experiment.report.attribution import attribution
from karn_wandb.experiment.report.tables import states

EARLY, LATE = (2.0, 2.6, 1.7, 2.3), (0.1, -0.2, 0.3, -0.1)


def of(made):
    found = experiment(made)
    arms = arms_of(found.episodes, default_claims(found.episodes))
    return attribution(found.shapley, states(found.episodes), arms)


def grown(controller="heuristic"):
    return [
        Made(f"{controller}-{s}", controller, s, shapley={"early": early, "late": late})
        for s, (early, late) in enumerate(zip(EARLY, LATE, strict=True))
    ]


def test_mean_interval_and_p_are_those_of_the_one_sample_t_test():
    early, late = of(grown())
    reference = stats.ttest_1samp(EARLY, 0)  # SciPy
    assert (early.slot, late.slot, early.unit) == ("early", "late", "percentage points")
    assert early.mean == pytest.approx(np.mean(EARLY), abs=1e-12)
    assert (early.ci_low, early.ci_high) == pytest.approx(tuple(reference.confidence_interval()), abs=1e-12)
    assert early.p == pytest.approx(reference.pvalue, abs=1e-12)
    assert late.ci_low < 0 < late.ci_high


def test_p_is_corrected_over_the_slots_of_the_arm():
    early, late = of(grown())
    assert early.p_adjusted == pytest.approx(2 * early.p)
    assert late.p_adjusted == late.p


def test_each_runs_own_value_and_interval_are_kept():
    early, _ = of(grown())
    assert [value.run_id for value in early.runs] == [f"heuristic-{s}" for s in range(4)]
    first = early.runs[0]
    assert (first.epoch, first.mean, first.ci_low, first.ci_high) == (4, 2.0, 1.2, 2.8)
    assert first.exact


def test_arms_are_kept_apart():
    found = of([*grown(), *grown("policy"), Made("host", "none")])
    assert [(slot.arm, slot.slot) for slot in found] == [
        ("heuristic", "early"),
        ("heuristic", "late"),
        ("policy", "early"),
        ("policy", "late"),
    ]


def test_a_run_that_did_not_finish_is_no_observation():
    found = of([*grown(), Made("lost", "heuristic", 9, state="crashed", shapley={"early": 99.0, "late": 99.0})])
    assert [len(slot.runs) for slot in found] == [4, 4]


def test_a_run_without_the_slot_is_no_observation_of_it():
    found = of([*grown(), Made("short", "heuristic", 9, shapley={"early": 2.0})])
    assert {slot.slot: len(slot.runs) for slot in found} == {"early": 5, "late": 4}


def test_episodes_of_a_run_are_averaged_and_have_no_interval_of_their_own():
    (early,) = of([Made("many", "heuristic", 0, (60.0, 61.0), shapley={"early": 2.0})])
    assert len(early.runs) == 1
    assert (early.runs[0].mean, early.runs[0].ci_low) == (2.0, None)


def test_below_three_runs_there_is_a_mean_and_no_inference():
    early, _ = of(grown()[:2])
    assert early.mean == pytest.approx(2.3)
    assert (early.ci_low, early.ci_high, early.p, early.p_adjusted) == (None, None, None, None)


def test_only_the_last_evaluated_epoch_counts_and_loss_games_have_their_unit():
    row = {"run_id": "a", "env_id": 0, "episode_idx": 0, "slot": "early", "algorithm": "exact", "exact": True, "metric": "loss"}
    frame = pd.DataFrame(
        [{**row, "epoch": epoch, "mean": mean, "ci_low": None, "ci_high": None} for epoch, mean in ((3, 9.0), (7, 1.0))]
    )
    (early,) = attribution(frame, {"a": "finished"}, Arms())
    assert (early.mean, early.runs[0].epoch, early.unit, early.arm) == (1.0, 7, "loss", "")
    assert early.runs[0].ci_low is None
