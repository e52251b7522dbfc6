"""Effect sizes: bias correction, non-central t limits where packages fail, IQM."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from karn_wandb.statistics import compare
from karn_wandb.statistics.effects import (
    LARGEST_T,
    effect_interval,
    glass_delta,
    hedges_correction,
    interquartile_mean,
)


def chance_below(t, freedom, noncentrality):
    """P(T < t) of the non-central t, by integrating the normal distribution over the standard deviation's."""

    def at(share):
        spread = math.sqrt(stats.chi2.ppf(share, freedom) / freedom)
        return stats.norm.cdf(t * spread - noncentrality)

    return integrate.quad(at, 0, 1, limit=200)[0]


@pytest.mark.parametrize(("effect", "n", "m", "paired"), [
    (2.0, 3, 3, False), (0.0, 4, 4, True), (0.3, 5, 9, False), (-1.2, 8, 8, True), (25.0, 5, 5, False), (0.1, 300, 200, False),
])  # fmt: skip
def test_the_limits_are_the_effects_under_which_the_observation_is_just_not_extreme(effect, n, m, paired):
    low, high = effect_interval(effect, n, m, paired=paired, confidence=0.95)
    root = math.sqrt(n if paired else n * m / (n + m))
    freedom = n - 1 if paired else n + m - 2
    assert chance_below(effect * root, freedom, low * root) == pytest.approx(0.975, abs=1e-6)
    assert chance_below(effect * root, freedom, high * root) == pytest.approx(0.025, abs=1e-6)


@given(st.floats(0, 1e12), st.integers(3, 500), st.booleans(), st.sampled_from([0.6, 0.95, 0.9999]))
def test_limits_exist_enclose_the_effect_and_mirror(effect, n, paired, confidence):
    """The distribution function of scipy is NaN for negative t and for large non-centrality."""
    low, high = effect_interval(effect, n, n, paired=paired, confidence=confidence)
    assert -math.inf < low <= effect <= high < math.inf
    assert effect_interval(-effect, n, n, paired=paired, confidence=confidence) in ((-high, -low), (low, high))


@pytest.mark.parametrize("n", [3, 10, 200])
def test_the_limits_pass_over_smoothly_to_the_chi_squared_ones(n):
    below, above = (effect_interval(t / math.sqrt(n), n, n, paired=True, confidence=0.95) for t in (LARGEST_T, LARGEST_T + 1e-6))
    assert below == pytest.approx(above, rel=1e-5)


@pytest.mark.parametrize(("freedom", "j"), [(2, 0.5642), (4, 0.7979), (8, 0.9027), (18, 0.9576)])
def test_the_correction_is_hedges_exact_one(freedom, j):
    """Hedges 1981, table 1 (c(m) for m = 2, 4, 8, 18)."""
    assert round(hedges_correction(freedom), 4) == j


def test_the_correction_tends_to_one():
    assert hedges_correction(100_000) == pytest.approx(1 - 3 / (4 * 100_000 - 1), abs=1e-9)


def test_paired_effects_keep_their_sign_and_are_divided_by_the_deltas_deviation():
    """The paired t test of pingouin 0.7 reports the size by the pooled deviation."""
    rng = np.random.default_rng(0)
    control = rng.normal(60, 5, 10)
    treatment = control - 1 + rng.normal(0, 0.5, 10)
    deltas = treatment - control
    assert compare(treatment, control, paired=True).cohens_d == pytest.approx(deltas.mean() / deltas.std(ddof=1))


def test_glasss_delta_is_in_deviations_of_the_control_alone():
    control = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    wild, calm = control * 10 - 25, control / 10 + 4.7
    assert glass_delta(wild, control) == pytest.approx(
        glass_delta(calm, control) + (wild.mean() - calm.mean()) / control.std(ddof=1) * hedges_correction(4)
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, 30], 11.0), ([0, 2, 4, 100], 3.0), ([0, 1, 2, 3, 400], 2.0), ([0, 1, 2, 3, 4, 5, 6, 1000], 3.5)],
)
def test_the_interquartile_mean_cuts_whole_values_as_rliable_does(values, expected):
    assert interquartile_mean(np.array(values, dtype=float)) == expected
