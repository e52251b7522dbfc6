"""Episodes of one run count as one run, and a guard says so."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import (
    check_independent,
    clustered,
    clustered_difference,
    clustered_mean,
    paired_difference,
    t_interval,
    welch_difference,
)

QUARTERS = st.integers(-40, 40).map(lambda number: number / 4)


@given(st.lists(st.lists(QUARTERS, min_size=3, max_size=3), min_size=2, max_size=6))
@settings(max_examples=50)
def test_with_clusters_of_one_size_it_is_students_t_of_their_means(runs):
    assume(np.ptp(np.sum(runs, axis=1)) > 0)
    found = clustered_mean(np.ravel(runs), np.repeat(np.arange(len(runs)), 3).tolist())
    means = np.mean(runs, axis=1)
    expected = paired_difference(means, 0 * means)
    assert found.delta == pytest.approx(expected.delta, abs=1e-12)
    assert found.standard_error == pytest.approx(expected.standard_error, abs=1e-12)
    assert found.degrees_of_freedom == expected.degrees_of_freedom


def test_two_arms_with_clusters_of_one_size_are_welchs_test_of_their_means():
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, (5, 4)), rng.normal(0, 2, (7, 4))
    names = [f"run {number}" for number in range(12)]
    found = clustered_difference(
        first.ravel(), np.repeat(names[:5], 4).tolist(), second.ravel(), np.repeat(names[5:], 4).tolist()
    )
    expected = welch_difference(first.mean(axis=1), second.mean(axis=1))
    assert t_interval(found, 0.95) == pytest.approx(t_interval(expected, 0.95))


def test_the_parts_of_unequal_clusters_by_hand():
    found = clustered([1.0, 3.0, 10.0, 20.0, 30.0, 5.0], ["a", "a", "b", "b", "b", "c"])
    assert (found.names, found.means, found.sizes) == (("a", "b", "c"), (2.0, 20.0, 5.0), (2, 3, 1))
    mean = 11.5
    assert found.between == pytest.approx((2 * (2 - mean) ** 2 + 3 * (20 - mean) ** 2 + (5 - mean) ** 2) / 2)
    assert found.within == pytest.approx((1 + 1 + 100 + 100) / 3)
    size = (6 - 14 / 6) / 2
    assert found.correlation == pytest.approx((found.between - found.within) / (found.between + (size - 1) * found.within))
    assert found.design_effect == pytest.approx(1 + (14 / 6 - 1) * found.correlation)


def test_repetitions_that_say_nothing_new_are_worth_their_runs():
    found = clustered([1.0] * 5 + [2.0] * 5 + [4.0] * 5, np.repeat(["a", "b", "c"], 5).tolist())
    assert (found.correlation, found.design_effect) == (1.0, 5.0)
    assert found.caution() == (
        "15 episodes come from 3 runs: each of the runs counts once, by its mean; the episodes are worth 3 independent ones"
    )


def test_values_that_only_look_clustered_are_worth_themselves():
    found = clustered([1.0, 3.0, 1.0, 3.0], ["a", "a", "b", "b"])
    assert found.correlation < 0
    assert found.design_effect == 1.0


def test_values_of_their_own_need_no_caution():
    found = clustered([1.0, 2.0, 3.0], ["a", "b", "c"])
    assert (found.independent, found.within, found.correlation, found.caution()) == (True, None, None, None)
    check_independent(["a", "b", "c"])


@pytest.mark.parametrize(("values", "clusters"), [([1.0, 2.0], ["a", "a"]), ([1.0] * 4, ["a", "a", "b", "b"])])
def test_where_nothing_can_be_known_of_the_correlation_the_caution_says_the_rest(values, clusters):
    found = clustered(values, clusters)
    assert (found.correlation, found.design_effect) == (None, None)
    assert found.caution("games", "seeds").endswith(
        f"come from {len(set(clusters))} seeds: each of the seeds counts once, by its mean"
    )


def test_episodes_as_if_they_were_runs_are_too_narrow_and_clustered_are_not():
    """Five runs of eight episodes, half of the variance between runs: 3,000 experiments."""
    rng = np.random.default_rng(0)
    runs, names = rng.normal(size=(3_000, 5, 1)), np.repeat(np.arange(5), 8).tolist()
    misses = naive = 0
    for experiment in runs + rng.normal(size=(3_000, 5, 8)):
        low, high = t_interval(clustered_mean(experiment.ravel(), names), 0.95)
        misses += not low <= 0 <= high
        low, high = t_interval(paired_difference(experiment.ravel(), np.zeros(40)), 0.95)
        naive += not low <= 0 <= high
    assert misses / 3_000 == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 3_000))
    assert naive / 3_000 > 0.25


def test_runs_that_are_all_alike_have_no_interval():
    with pytest.raises(StatisticsError) as error:
        clustered_mean([1.0, 3.0, 2.0, 2.0], ["a", "a", "b", "b"])
    assert str(error.value) == "without spread there is no test. Check that the runs are independent repetitions."


def test_taking_episodes_for_runs_is_refused():
    with pytest.raises(StatisticsError) as error:
        check_independent(["a", "a", "b"])
    assert str(error.value) == (
        "values of one run are not independent of each other; got 3 values of 2 runs. "
        "Give each run once, by its mean: karn_wandb.statistics.clustered(values, runs).means."
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clustered([1.0, 2.0], ["a"]),
         "every value needs its cluster; got 2 values and 1 clusters. Pass the run of each value."),
        (lambda: clustered([1.0, math.nan], ["a", "b"]),
         ("values must hold finite numbers of size at most 1e+150; got nan at index 1. "
         "Decide what a run without a proper value counts as: leave it out by name, or give it the worst value.")),
        (lambda: clustered_mean([1.0, 2.0], ["a", "a"]),
         "one cluster has no spread to be seen. Give values of at least two runs."),
        (lambda: clustered_difference([1.0, 2.0], ["a", "b"], [3.0, 4.0], ["b", "c"]),
         "a cluster is in both arms; got 'b'. Take the difference within each run, and its mean."),
        (lambda: clustered_difference([1.0, 1.0], ["a", "b"], [3.0, 3.0], ["c", "d"]),
         "without spread there is no test. Check that the runs are independent repetitions."),
    ],
)  # fmt: skip
def test_what_cannot_be_clustered_is_named(call, message):
    with pytest.raises(StatisticsError) as error:
        call()
    assert str(error.value) == message
