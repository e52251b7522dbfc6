"""Other readings of two arms: each agrees with its reference, and all follow one rule for the verdict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import compare
from karn_wandb.statistics.sensitivity import MOST_PERMUTED, far, readings

GROWN, HOST = np.array([64.9, 64.1, 66.0, 64.6, 65.2, 63.3]), np.array([61.2, 62.5, 60.8, 63.1, 61.7, 62.4])
NOISY = np.array([-9.0, 14.8, 32.0, 8.6, -11.7, -11.3, 15.2, -24.2])
"""Eight paired differences, of which nothing can be concluded."""

SLEEP_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SLEEP_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
"""Student's sleep data (Cushny & Peebles 1905), as in R's data set `sleep`."""


def named(found):
    return {(each.test, each.aggregate): each for each in found}


@pytest.mark.parametrize("paired", [True, False])
def test_the_primary_reading_is_that_of_the_comparison(paired):
    first, permuted, bootstrap, *_ = readings(GROWN, HOST, paired=paired, margin=1.0)
    found = compare(GROWN, HOST, paired=paired, margin=1.0)
    assert (first.test, first.low, first.high, first.p, first.verdict) == (
        found.ci_method,
        found.ci_low,
        found.ci_high,
        found.p_value,
        found.verdict,
    )
    assert permuted.p == found.p_permutation
    assert (bootstrap.low, bootstrap.high) == pytest.approx(found.bootstrap_ci, abs=0.05)


def test_ranks_agree_with_published_values():
    """R: wilcox.test(extra ~ group, sleep, exact = FALSE) gives W = 25.5, p = 0.06933; the t test 0.07939; paired 0.002833."""
    unpaired = named(readings(SLEEP_2, SLEEP_1))
    assert unpaired["Mann-Whitney", "probability of improvement"].p == pytest.approx(0.06933, abs=5e-6)
    assert unpaired["Mann-Whitney", "probability of improvement"].estimate == pytest.approx(1 - 25.5 / 100)
    assert unpaired["Welch t", "mean"].p == pytest.approx(0.07939, abs=5e-6)
    assert named(readings(SLEEP_2, SLEEP_1, paired=True))["paired t", "mean"].p == pytest.approx(0.002833, abs=5e-7)


def test_ranks_are_exact_without_ties():
    """Six pairs that all agree: 2 / 2^6; six against six that do not overlap: 2 / C(12, 6)."""
    paired = named(readings(GROWN, HOST, paired=True))["Wilcoxon signed-rank", "probability of improvement"]
    apart = named(readings(GROWN, HOST))["Mann-Whitney", "probability of improvement"]
    assert (paired.p, paired.estimate, paired.verdict) == (2 / 2**6, 1.0, "better")
    assert (apart.p, apart.estimate, apart.verdict) == (pytest.approx(2 / 924), 1.0, "better")


def test_bootstrap_intervals_agree_with_scipys():
    """Percentile intervals of the median and the interquartile mean of paired differences, to the noise of resampling."""
    mine = named(readings(SLEEP_2, SLEEP_1, paired=True))
    deltas = SLEEP_2 - SLEEP_1
    for aggregate, statistic in (
        ("median", np.median),
        ("interquartile mean", lambda values, axis: stats.trim_mean(values, 0.25, axis=axis)),
    ):
        theirs = stats.bootstrap((deltas,), statistic, n_resamples=20_000, method="percentile", rng=1).confidence_interval
        found = mine["bootstrap", aggregate]
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.06)
        assert found.estimate == pytest.approx(statistic(deltas, axis=0))


def test_nothing_is_concluded_from_noise_by_any_reading():
    found = readings(NOISY, np.zeros(8), paired=True)
    assert {each.verdict for each in found} == {"inconclusive"}
    assert len(found) == 6


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("shift", "margin", "verdict"),
    [
        (3.0, None, "better"),
        (-3.0, None, "worse"),
        (0.0, 3.0, "equivalent"),
        (0.3, 1.0, "non-inferior"),
        (0.0, None, "inconclusive"),
    ],
)
def test_every_reading_follows_the_same_rule(paired, shift, margin, verdict):
    """Twelve quantiles of a normal distribution of spread 1, shuffled so that pairs tell no more than arms do."""
    normal = stats.norm.ppf((np.arange(12) + 0.5) / 12)
    order = np.array([5, 9, 0, 7, 2, 11, 4, 1, 10, 3, 8, 6])
    found = readings(normal + shift, normal[order], paired=paired, margin=margin)
    assert {each.verdict for each in found if each.test != "bootstrap"} == {verdict}


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(-50, 50), min_size=3, max_size=7),
    st.lists(st.integers(-50, 50), min_size=3, max_size=7),
    st.booleans(),
)
def test_when_lower_is_better_the_verdict_is_that_of_the_mirrored_values(first, second, paired):
    size = min(len(first), len(second))
    a, b = (np.array(values[:size], dtype=float) for values in (first, second))
    mirrored = readings(-a, -b, paired=paired, higher_is_better=False, margin=5.0)
    for one, other in zip(readings(a, b, paired=paired, margin=5.0), mirrored, strict=True):
        if one.test != "bootstrap":  # resamples of mirrored values are other resamples
            assert (one.verdict, one.p) == (other.verdict, pytest.approx(other.p))
        if one.aggregate == "probability of improvement":
            assert one.estimate == pytest.approx(other.estimate)


def test_a_test_that_could_not_show_anything_gives_no_verdict():
    """Five pairs cannot go below 2 / 2^5 = 0.0625, three against three not below 0.1; the t test can."""
    pairs = named(readings(GROWN[:5], HOST[:5], paired=True))
    assert pairs["permutation", "mean"].verdict is None
    assert pairs["Wilcoxon signed-rank", "probability of improvement"].verdict is None
    assert pairs["paired t", "mean"].verdict == "better"
    few = named(readings(GROWN[:3], HOST[:3]))
    assert few["permutation", "mean"].verdict is None
    assert few["Mann-Whitney", "probability of improvement"].verdict is None


@pytest.mark.parametrize(
    ("treatment", "control", "paired"),
    [
        ([1.0, 2.0], [0.0, 1.0], True),
        ([1.0, 2.0], [0.0, 1.0, 2.0], False),
        ([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], True),
        ([1.0] * 4, [2.0] * 4, False),
    ],
)
def test_without_runs_or_spread_only_the_difference_is_given(treatment, control, paired):
    (only,) = readings(treatment, control, paired=paired)
    assert (only.low, only.high, only.p, only.verdict) == (None, None, None, None)
    assert only.estimate == pytest.approx(np.mean(treatment) - np.mean(control))


def test_the_same_arms_give_the_same_readings_in_any_order():
    rng = np.random.default_rng(3)
    order = rng.permutation(6)
    assert readings(GROWN, HOST, margin=1.0) == readings(GROWN[order], HOST[::-1], margin=1.0)
    assert readings(GROWN, HOST, paired=True) == readings(GROWN[order], HOST[order], paired=True)


def test_large_arms_are_not_relabelled():
    rng = np.random.default_rng(0)
    size = MOST_PERMUTED // 2 + 1
    found = readings(rng.normal(1, 1, size), rng.normal(0, 1, size))
    assert [each.test for each in found] == ["Welch t", "bootstrap", "bootstrap", "bootstrap", "Mann-Whitney"]
    assert {each.verdict for each in found} == {"better"}


def test_what_is_far_from_the_others_is_marked():
    assert far(np.array([1.0, 1.1, 0.9, 1.05, 9.0])).tolist() == [False, False, False, False, True]
    assert not far(np.array([1.0, 1.1, 0.9, 9.0])).any()  # of four none can be told
    assert not far(np.array([1.0, 1.0, 1.0, 1.0, 9.0])).any()  # no distance to measure by
    assert far(np.array([])).size == 0


def test_bad_input_is_refused():
    with pytest.raises(StatisticsError, match="margin must be a positive number or None"):
        readings(GROWN, HOST, margin=-1.0)
    with pytest.raises(StatisticsError, match="confidence must be above"):
        readings(GROWN, HOST, confidence=95)
