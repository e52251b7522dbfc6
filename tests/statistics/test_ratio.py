"""Fieller's set of ratios, bounded and not, against its definition and simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import Ratio, ratio_of_means

EIGHTHS = st.integers(-80, 80).map(lambda number: number / 8)
ARM = st.lists(EIGHTHS, min_size=3, max_size=8)


@given(ARM, ARM, st.sampled_from([0.8, 0.95]))
@settings(max_examples=50)
def test_a_ratio_is_in_the_set_exactly_when_the_paired_t_test_does_not_reject_it(a, b, confidence):
    n = min(len(a), len(b))
    x, y = np.array(a[:n]), np.array(b[:n])
    assume(np.ptp(x) + np.ptp(y) > 0 and y.any())
    found = ratio_of_means(x, y, paired=True, confidence=confidence)
    critical = stats.t.ppf((1 + confidence) / 2, n - 1)
    for ratio in (-7.3, -1.1, 0.0, 0.4, 1.0, 2.2, 31.0):
        rest = x - ratio * y
        t = abs(rest.mean()) * math.sqrt(n) / max(rest.std(ddof=1), 1e-300)
        if abs(t / critical - 1) > 1e-9:
            assert (ratio in found) == (t < critical)


def test_a_denominator_far_from_zero_gives_an_interval_around_the_ratio():
    found = ratio_of_means([6.0, 6.3, 5.8, 6.1], [3.0, 3.1, 2.9, 3.05])
    assert found.kind == "interval"
    assert found.low < found.ratio < found.high
    assert found.ratio == pytest.approx(6.05 / 3.0125)


def test_a_denominator_that_may_have_either_sign_leaves_what_is_outside():
    """The numerator is far from zero, the denominator near it: the ratio is large, up or down."""
    found = ratio_of_means([60.0, 61.0, 59.0, 60.5], [-1.0, 2.0, -0.5, 1.0])
    assert found.kind == "outside"
    assert found.low < 0 < found.high
    assert 0.0 not in found
    assert math.inf in found


def test_two_means_near_zero_leave_every_ratio():
    found = ratio_of_means([-1.0, 2.0, 0.5, -0.7], [-1.0, 2.0, -0.5, 1.0])
    assert (found.kind, found.low, found.high) == ("everything", -math.inf, math.inf)
    assert all(ratio in found for ratio in (-1e9, 0.0, 1e9))


@pytest.mark.parametrize(
    ("x", "expected"), [([1.0, 2.0, 3.0], math.inf), ([-1.0, -2.0, -3.0], -math.inf), ([-1.0, 1.0, 0.0], None)]
)
def test_a_denominator_of_zero_is_no_error(x, expected):
    found = ratio_of_means(x, [-1.0, 1.0, 0.0])
    assert math.isnan(found.ratio) if expected is None else found.ratio == expected
    assert found.kind != "interval"


@given(st.sampled_from([1e-140, 1e-9, 1e9, 1e140]), st.booleans())
def test_the_units_of_both_means_do_not_matter(unit, paired):
    x, y = np.array([6.0, 6.3, 5.8, 6.1]), np.array([3.0, 3.1, 2.9, 3.05])
    usual, scaled = ratio_of_means(x, y, paired), ratio_of_means(x * unit, y * unit, paired)
    assert (scaled.ratio, scaled.low, scaled.high) == pytest.approx((usual.ratio, usual.low, usual.high))
    one = ratio_of_means(x * 1e3, y, paired)
    assert (one.low, one.high) == pytest.approx((1e3 * usual.low, 1e3 * usual.high))


def test_it_covers_the_true_ratio_as_often_as_promised_even_near_zero():
    """Where most sets are unbounded: 2,000 experiments, four standard errors."""
    rng = np.random.default_rng(0)
    hits = [3.0 in ratio_of_means(rng.normal(1.5, 1, 6), rng.normal(0.5, 1, 6), paired=True) for _ in range(2_000)]
    assert np.mean(hits) == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / 2_000))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0], [1.0, 2.0], "a ratio's interval needs two runs an arm; got 1 and 2. Give more runs, or no interval."),
        ([1.0] * 3, [2.0] * 3, "without spread a ratio has no interval. Check that the runs are independent repetitions."),
        (
            [1.0, 2.0],
            [0.0, 0.0],
            "there is no ratio to a control that is zero in every run. Compare the difference instead.",
        ),
    ],
)
def test_what_has_no_spread_has_no_ratio(x, y, message):
    with pytest.raises(StatisticsError) as error:
        ratio_of_means(x, y)
    assert str(error.value) == message


def test_a_set_knows_its_members():
    assert 1.0 in Ratio(1.0, "interval", 0.5, 2.0, 0.95)
    assert 3.0 not in Ratio(1.0, "interval", 0.5, 2.0, 0.95)
    assert 1.0 not in Ratio(9.0, "outside", 0.5, 2.0, 0.95)
    assert 0.5 in Ratio(9.0, "outside", 0.5, 2.0, 0.95)
