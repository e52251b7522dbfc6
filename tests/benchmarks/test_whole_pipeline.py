"""The whole way from records to verdicts: what the benchmark counts."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from scipy import stats

from benchmarks.whole_pipeline import LOOKS, METRICS, SETTINGS, Setting, experiment, nominal, rows, run, upper_bound
from karn_wandb.experiment import Experiment


def test_an_experiment_depends_on_its_number_alone():
    assert experiment(SETTINGS["looks"], 3) == experiment(SETTINGS["looks"], 3)


def test_a_huge_effect_is_claimed_and_the_other_way_round_it_is_called_worse():
    assert experiment(Setting("huge", ("final_accuracy",), 20.0), 0).better == {"final_accuracy"}
    assert experiment(Setting("harm", ("final_accuracy",), -20.0), 0).worse == {"final_accuracy"}


def test_every_metric_is_a_column_of_the_runs_and_varies():
    found = [run("none", seed, np.full(4, float(seed)), crashed=False) for seed in range(3)]
    assert Experiment(tuple(found)).episodes[list(METRICS)].nunique().tolist() == [3] * len(METRICS)


def test_the_bound_is_that_of_the_binomial_distribution():
    bound = upper_bound(25, 1000)
    assert stats.binom.cdf(25, 1000, bound) == pytest.approx(0.05)
    assert upper_bound(5, 5) == 1.0


def test_nominal_power_is_that_of_the_t_test():
    setting = Setting("one", ("final_accuracy",), 1.0, LOOKS[-1:])
    alone = stats.nct.sf(stats.t.isf(0.025, 9), 9, np.sqrt(10))
    assert nominal(setting, [10, 10]) == pytest.approx(alone, abs=1e-3)
    assert nominal(setting, [10, 2]) == pytest.approx(alone / 2, abs=1e-3)


def test_a_row_says_how_many_claimed_something():
    with ProcessPoolExecutor(1) as pool:
        ((name, number, *_),) = rows(["one"], 2, pool)
    assert (name, number) == ("true effect, 1 claim, 1 look", "2")
