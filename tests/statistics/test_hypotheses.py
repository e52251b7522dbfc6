"""The t tests against scipy and statsmodels, which compute them by other routes."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from karn_wandb.statistics import compare

SIZES = [(3, 3), (5, 5), (4, 11), (30, 12)]


def arms(n, m):
    rng = np.random.default_rng(n * 100 + m)
    return rng.normal(62, 3, n), rng.normal(60, 1, m)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_welch_agrees_with_scipy(n, m):
    treatment, control = arms(n, m)
    c, expected = compare(treatment, control, confidence=0.9), stats.ttest_ind(treatment, control, equal_var=False)
    assert c.ci_method == "Welch t"
    assert c.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert (c.ci_low, c.ci_high) == pytest.approx(tuple(expected.confidence_interval(0.9)), rel=1e-10)


@pytest.mark.parametrize("n", [3, 5, 30])
def test_paired_t_agrees_with_scipy(n):
    treatment, control = arms(n, n)
    c, expected = compare(treatment, control, paired=True), stats.ttest_rel(treatment, control)
    assert c.ci_method == "paired t"
    assert c.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert (c.ci_low, c.ci_high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-10)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_equivalence_agrees_with_statsmodels_tost(n, m):
    treatment, control = arms(n, m)
    expected = ttost_ind(treatment, control, -2.5, 2.5, usevar="unequal")[0]
    assert compare(treatment, control, margin=2.5).p_equivalence == pytest.approx(expected, rel=1e-10)


def test_paired_equivalence_agrees_with_statsmodels_tost():
    treatment, control = arms(9, 9)
    expected = ttost_paired(treatment, control, -2.5, 2.5)[0]
    assert compare(treatment, control, paired=True, margin=2.5).p_equivalence == pytest.approx(expected, rel=1e-10)


def test_p_values_are_those_of_the_interval_that_ends_at_the_bound():
    """The interval at confidence 1 - 2 p of a one-sided p just touches the hypothetical value."""
    treatment, control = arms(8, 8)
    c = compare(treatment, control, margin=1.0)
    touching = compare(treatment, control, confidence=1 - 2 * c.p_non_inferiority)
    assert touching.ci_low == pytest.approx(-1.0)


def test_without_a_margin_nothing_is_said_about_one():
    c = compare(*arms(5, 5))
    assert (c.p_non_inferiority, c.p_equivalence) == (None, None)


def test_a_large_p_value_is_no_equivalence():
    """Two arms that differ by nothing measurable, but are measured poorly, are not shown to match."""
    c = compare([50.0, 60.0, 70.0, 65.0], [52.0, 58.0, 71.0, 64.0], margin=1.0)
    assert c.p_value > 0.9
    assert c.verdict == "inconclusive"
