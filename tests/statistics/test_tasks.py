"""Numbers over several tasks: rliable's values, plain loops, and where runs say nothing about an interval."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import (
    difference_over_tasks,
    improvement_over_tasks,
    meaning,
    over_tasks,
    performance_profile,
)
from karn_wandb.statistics.task_scores import BATCH_ELEMENTS, resampled_weights, task_scores

RLIABLE = json.loads(Path(__file__).with_name("reference_rliable.json").read_text())
STATISTICS = ("iqm", "mean", "median", "optimality gap")
FEW = settings(max_examples=50)
QUARTERS = st.integers(-40, 40).map(lambda number: number / 4)
RAGGED = st.lists(st.lists(QUARTERS, min_size=2, max_size=5), min_size=1, max_size=4)

rng = np.random.default_rng(0)
SCORES, CONTROL = rng.gamma(4, 0.25, (6, 12)), rng.gamma(4, 0.22, (6, 12))


def close(expected):
    return pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("case", range(len(RLIABLE)))
def test_estimates_are_those_of_rliable(case, statistic):
    assert over_tasks(RLIABLE[case]["scores"], statistic, resamples=100).estimate == close(RLIABLE[case][statistic])


@pytest.mark.parametrize("case", range(len(RLIABLE)))
def test_probability_of_improvement_is_that_of_rliable(case):
    scores, control, expected = (RLIABLE[case][name] for name in ("scores", "control", "improvement"))
    assert improvement_over_tasks(scores, control, resamples=100).estimate == close(expected)
    assert improvement_over_tasks(scores, control, higher_is_better=False, resamples=100).estimate == close(1 - expected)


@pytest.mark.parametrize("case", range(len(RLIABLE)))
def test_profiles_are_those_of_rliable(case):
    found = performance_profile(RLIABLE[case]["scores"], RLIABLE[case]["thresholds"], resamples=100)
    assert found.shares == close(tuple(RLIABLE[case]["profile"]))


def resampled(scores, generator):
    return [generator.choice(row, row.size) for row in scores]


@pytest.mark.parametrize(
    ("statistic", "by_hand"),
    [
        ("iqm", lambda rows: stats.trim_mean(np.concatenate(rows), 0.25)),
        ("mean", lambda rows: np.mean([np.mean(row) for row in rows])),
        ("median", lambda rows: np.median([np.mean(row) for row in rows])),
        ("optimality gap", lambda rows: np.mean([np.mean(np.maximum(0.9 - row, 0)) for row in rows])),
    ],
)
def test_intervals_are_those_of_resampling_within_each_task_in_a_loop(statistic, by_hand):
    found = over_tasks(SCORES, statistic, target=0.9)
    draws = np.random.default_rng(1)
    looped = np.quantile([by_hand(resampled(SCORES, draws)) for _ in range(1_000)], [0.025, 0.975])
    spread = looped[1] - looped[0]
    assert (found.low, found.high) == pytest.approx(looped, abs=0.08 * spread)


def test_the_interval_of_improvement_is_that_of_resampling_both_arms_in_a_loop():
    found = improvement_over_tasks(SCORES, CONTROL)
    draws = np.random.default_rng(1)

    def chance():
        pairs = zip(resampled(SCORES, draws), resampled(CONTROL, draws), strict=True)
        return np.mean([np.mean(ours[:, None] > theirs) + np.mean(ours[:, None] == theirs) / 2 for ours, theirs in pairs])

    looped = np.quantile([chance() for _ in range(1_000)], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(looped, abs=0.08 * (looped[1] - looped[0]))


def test_the_interval_of_a_difference_is_that_of_resampling_both_arms_in_a_loop():
    found = difference_over_tasks(SCORES, CONTROL, "mean")
    draws = np.random.default_rng(1)
    looped = np.quantile(
        [np.mean(resampled(SCORES, draws)) - np.mean(resampled(CONTROL, draws)) for _ in range(1_000)], [0.025, 0.975]
    )
    assert found.estimate == pytest.approx(SCORES.mean() - CONTROL.mean())
    assert (found.low, found.high) == pytest.approx(looped, abs=0.08 * (looped[1] - looped[0]))


def test_the_interval_of_a_profile_is_that_of_resampling_in_a_loop():
    found = performance_profile(SCORES, [0.6, 1.0, 1.4])
    draws = np.random.default_rng(1)
    shares = [[np.mean(np.concatenate(rows) > level) for level in found.thresholds]
              for rows in (resampled(SCORES, draws) for _ in range(1_000))]  # fmt: skip
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    assert found.low == pytest.approx(low, abs=0.021)  # a share moves in steps of one run, 1/72
    assert found.high == pytest.approx(high, abs=0.021)


@pytest.mark.parametrize("sizes", [(4, 4, 4), (2, 7, 3)])
def test_a_resample_draws_every_run_as_often_as_any_other_of_its_task(sizes):
    arm = task_scores([np.arange(size) for size in sizes])
    rows = np.concatenate(list(resampled_weights(arm, 20_000, np.random.default_rng(0))))
    counts = rows * np.repeat(sizes, sizes) * len(sizes)
    assert np.allclose(counts, np.rint(counts))
    for task, size in zip(arm.tasks(), sizes, strict=True):
        assert counts[:, task].sum(axis=1) == pytest.approx(np.full(20_000, size))
        assert counts[:, task].mean(axis=0) == pytest.approx(np.ones(size), abs=0.03)
        assert counts[:, task].var(axis=0) == pytest.approx(np.full(size, 1 - 1 / size), abs=0.04)


@given(RAGGED)
@FEW
def test_all_tasks_weigh_the_same_whatever_their_runs(scores):
    means = [np.mean(row) for row in scores]
    assert over_tasks(scores, "mean", resamples=100).estimate == pytest.approx(np.mean(means), abs=1e-12)
    assert over_tasks(scores, "median", resamples=100).estimate == pytest.approx(np.median(means), abs=1e-12)
    gaps = [np.mean(np.maximum(1 - np.array(row), 0)) for row in scores]
    assert over_tasks(scores, "optimality gap", resamples=100).estimate == pytest.approx(np.mean(gaps), abs=1e-12)
    repeated = [row * (60 // len(row)) for row in scores]  # as many runs of each: then all runs weigh the same
    cells = sum(map(len, scores))
    cut = int(60 * len(scores) * (cells // 4) / cells)
    if cut == 60 * len(scores) * (cells // 4) / cells:
        middle = np.sort(np.concatenate(repeated))[cut : 60 * len(scores) - cut].mean()
        assert over_tasks(scores, "iqm", resamples=100).estimate == pytest.approx(middle, abs=1e-12)


@given(RAGGED, st.sampled_from(STATISTICS), st.randoms())
@FEW
def test_the_order_of_the_runs_changes_not_one_bit(scores, statistic, random):
    shuffled = [random.sample(row, len(row)) for row in scores]
    assert over_tasks(scores, statistic, resamples=100) == over_tasks(shuffled, statistic, resamples=100)


def test_the_size_of_a_batch_changes_nothing():
    wide = np.tile(SCORES, (1, 300))  # several batches
    assert wide.size * 100 > BATCH_ELEMENTS
    arm = task_scores(wide)
    whole = np.concatenate(list(resampled_weights(arm, 100, np.random.default_rng(0))))
    parts = np.concatenate(list(resampled_weights(arm, 100, np.random.default_rng(0), width=BATCH_ELEMENTS)))
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_seed_decides_the_draws(statistic):
    first, again, other = (over_tasks(SCORES, statistic, rng=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_missing_cells_are_counted_and_the_rest_is_used():
    holes = SCORES.copy()
    holes[0, 3] = holes[2, 0] = holes[2, 1] = np.nan
    found = over_tasks(holes, "mean")
    ragged = over_tasks([row[~np.isnan(row)] for row in holes], "mean")
    assert (found.estimate, found.low, found.high) == (ragged.estimate, ragged.low, ragged.high)
    assert found.runs == (11, 12, 10, 12, 12, 12)
    assert found.warnings == ("3 of 72 cells are missing: each task rests on the runs it has, and all tasks weigh the same",)
    assert found.estimate == pytest.approx(np.mean([np.nanmean(row) for row in holes]))


def test_tasks_with_different_numbers_of_runs_are_pointed_out():
    found = over_tasks([SCORES[0], SCORES[1, :10]])
    assert found.warnings == ("tasks have 10 to 12 runs: all tasks weigh the same",)


def test_few_runs_a_task_are_said_to_make_the_interval_too_narrow():
    found = over_tasks(SCORES[:, :3])
    assert found.warnings == (
        "as few as 3 runs a task: resampling them shows 82 % of their spread, so the interval is too narrow",
    )
    assert found.low < found.estimate < found.high


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_task_with_one_run_leaves_no_interval(statistic):
    found = over_tasks([[0.5], [0.1, 0.4, 0.7]], statistic)
    assert (found.low, found.high) == (None, None)
    assert "1 task has a single run: how much runs differ there is not known, so there is no interval" in found.warnings
    assert performance_profile([[0.5], [0.1, 0.4, 0.7]]).low is None


def test_no_spread_leaves_no_interval():
    found = over_tasks([[0.5] * 10, [0.7] * 10])
    assert (found.estimate, found.low, found.high) == (pytest.approx(0.6), None, None)
    assert found.warnings == ("all resamples give the same: without spread there is no interval",)


def test_arms_that_are_wholly_apart_have_no_interval_of_improvement():
    found = improvement_over_tasks(SCORES + 100, CONTROL)
    assert (found.estimate, found.low, found.high) == (1.0, None, None)
    assert found.warnings == ("all resamples give the same: without spread there is no interval",)


def test_an_interquartile_mean_of_three_is_said_to_be_the_plain_mean():
    assert "with 3 scores an interquartile mean is the plain mean" in over_tasks([[1.0, 2.0, 6.0]]).warnings


def test_runs_paired_by_seed_are_wins_averaged_over_tasks():
    better = CONTROL + 0.1 * (np.arange(12) % 6 - 1)  # the same luck: four of six pairs are won, one is tied
    found = over_tasks((1 + np.sign(better - CONTROL)) / 2, "mean")
    assert found.estimate == pytest.approx(4.5 / 6)
    assert meaning(found.low, found.high) == "shown, may reach the bar"
    assert improvement_over_tasks(better, CONTROL).estimate < found.estimate  # where luck is compared with other luck


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "scores must have a row for each task. Pass at least one task with one run."),
        (5.0, "scores must have a row for each task. Pass at least one task with one run."),
        ([1.0, 2.0], "task 0 of scores must be one-dimensional; got shape (). Pass one number per run."),
        ([[1.0], []], ("task 1 of scores has no run; got 0 missing values. "
         "Leave the task out of both arms, by name, or give its runs the worst score.")),
        ([[1.0], [np.nan, np.nan]], ("task 1 of scores has no run; got 2 missing values. "
         "Leave the task out of both arms, by name, or give its runs the worst score.")),
        ([[1.0, np.inf]], ("task 0 of scores must hold numbers of size at most 1e+150; got inf at index 1. "
         "Give a run that diverged the worst score.")),
        ([["a"]], "task 0 of scores must hold numbers; got dtype <U1. Pass NaN where a run is missing."),
        ([[1.0, None]], "task 0 of scores must hold numbers; got dtype object. Pass NaN where a run is missing."),
        ([[[1.0], [1.0, 2.0]]], "task 0 of scores must be one-dimensional; got ragged rows. Pass one number per run."),
    ],
)  # fmt: skip
def test_what_is_no_row_of_runs_is_named(scores, message):
    with pytest.raises(StatisticsError) as error:
        over_tasks(scores)
    assert str(error.value) == message


def test_arms_have_the_same_tasks():
    with pytest.raises(StatisticsError) as error:
        improvement_over_tasks(SCORES, CONTROL[:5])
    assert str(error.value) == (
        "both arms must have the same tasks, in the same order; got 6 and 5 tasks. "
        "Leave out, by name, the tasks that only one of them has."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic": "mode"}, 'unknown statistic; got \'mode\'. Use one of "iqm", "mean", "median", "optimality gap".'),
        ({"resamples": 50},
         "resamples must be a whole number of at least 100; got 50. Use 10,000: the ends of an interval are rare."),
        ({"target": np.nan}, "target must be finite; got nan. Give the score that counts as reached."),
        ({"confidence": 95}, "confidence must be above 0.5 and at most 0.9999; got 95. Use 0.95 unless there is a reason."),
    ],
)  # fmt: skip
def test_options_are_checked(options, message):
    with pytest.raises(StatisticsError) as error:
        over_tasks(SCORES, **options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([], "thresholds must be numbers, at least one; got array([], dtype=float64). Pass scores, rising."),
        ([1.0, 0.5], "thresholds must be finite and rising; got [1.0, 0.5]. Sort them."),
        ([0.0, np.inf], "thresholds must be finite and rising; got [0.0, inf]. Sort them."),
    ],
)
def test_thresholds_rise(thresholds, message):
    with pytest.raises(StatisticsError) as error:
        performance_profile(SCORES, thresholds)
    assert str(error.value) == message


def test_a_profile_falls_from_nearly_all_to_none():
    found = performance_profile(SCORES)
    assert len(found.thresholds) == 101
    assert found.shares[0] == pytest.approx(1 - 1 / SCORES.size)
    assert found.shares[-1] == 0
    assert list(found.shares) == sorted(found.shares, reverse=True)
    assert all(low <= share <= high for low, share, high in zip(found.low, found.shares, found.high, strict=True))
