"""Probability of improvement: the estimate by counting, and an interval that never pretends to be certain."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import BAR, compare, meaning, probability_of_improvement
from karn_wandb.statistics.improvement import probability

ARM = st.lists(st.integers(0, 9).map(float), min_size=2, max_size=9)
FEW = settings(max_examples=50)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_it_counts_all_pairings_with_ties_one_half(a, b):
    expected = np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b])
    treatment, control = np.array(a, dtype=float), np.array(b, dtype=float)
    assert probability(treatment, control, paired=False, higher_is_better=True) == pytest.approx(expected)
    assert probability(treatment, control, paired=False, higher_is_better=False) == pytest.approx(1 - expected)


def test_paired_it_is_over_pairs():
    treatment, control = np.array([2.0, 3.0, 5.0, 1.0]), np.array([1.0, 3.0, 4.0, 9.0])
    assert probability(treatment, control, paired=True, higher_is_better=True) == 0.625
    assert probability(treatment, control, paired=True, higher_is_better=False) == 0.375


@given(ARM, ARM, st.booleans(), st.sampled_from([0.8, 0.95, 0.9999]))
@FEW
def test_the_interval_encloses_the_estimate_has_a_width_and_mirrors(a, b, paired, confidence):
    n = min(len(a), len(b)) if paired else None
    there = probability_of_improvement(a[:n], b[:n], paired, confidence=confidence)
    back = probability_of_improvement(b[:n], a[:n], paired, confidence=confidence)
    assert 0 <= there.low <= there.probability <= there.high <= 1
    assert there.high - there.low > 0.05
    assert (back.low, back.high) == pytest.approx((1 - there.high, 1 - there.low), abs=1e-9)


@pytest.mark.parametrize("paired", [True, False])
def test_it_is_the_number_that_a_comparison_shows(paired):
    treatment, control = [3.0, 1.0, 4.0, 1.0, 5.0], [2.0, 1.0, 3.0, 2.0, 4.5]
    shown = compare(treatment, control, paired=paired, higher_is_better=False).probability_of_improvement
    assert probability_of_improvement(treatment, control, paired, higher_is_better=False).probability == shown


@given(ARM, ARM)
@FEW
def test_the_ends_are_where_the_score_is_the_quantile(a, b):
    found = probability_of_improvement(a, b)
    n, m = len(a), len(b)
    t = stats.t.ppf(0.975, n + m - 2)
    for end in (found.low, found.high):
        if 0 < end < 1:
            rest = (n + m) / 2 - 1
            variance = end * (1 - end) * (1 + rest * ((1 - end) / (2 - end) + end / (1 + end))) / (n * m)
            assert abs(found.probability - end) == pytest.approx(t * math.sqrt(variance), rel=1e-9)


@pytest.mark.parametrize("n", range(3, 12))
def test_pairs_show_an_improvement_exactly_when_the_sign_test_does(n):
    for wins in range(n + 1):
        treatment = np.where(np.arange(n) < wins, 1.0, -1.0)
        found = probability_of_improvement(treatment, np.zeros(n), paired=True)
        rejects = stats.binomtest(wins, n).pvalue < 0.05
        assert (meaning(found.low, found.high) != "not shown") == (rejects and wins > n / 2)


def test_three_against_three_never_show_an_improvement():
    """Their permutation test cannot go below 0.1 either."""
    found = probability_of_improvement([7.0, 8.0, 9.0], [1.0, 2.0, 3.0])
    assert (found.probability, meaning(found.low, found.high)) == (1.0, "not shown")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.3, 0.9, "not shown"),
        (0.5, 0.9, "not shown"),
        (0.51, 0.75, "shown, below the bar"),
        (0.51, 0.9, "shown, may reach the bar"),
        (0.75, 0.9, "shown, may reach the bar"),
        (0.76, 0.9, "shown, above the bar"),
    ],
)
def test_what_an_interval_shows_about_one_half_and_the_bar(low, high, expected):
    assert meaning(low, high) == expected
    assert BAR == 0.75


def test_one_run_against_one_is_refused():
    with pytest.raises(StatisticsError) as error:
        probability_of_improvement([1.0], [2.0])
    assert str(error.value) == (
        "one run against one says nothing of how often one beats the other. Give at least two runs of one of the arms."
    )
