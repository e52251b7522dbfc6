"""Required runs, by the definition and where solvers give up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.statistics.power import FEWEST_RUNS, MOST_RUNS, required_n


def power(effect, n, *, paired, alpha):
    """Chance of significance in the right direction, from the non-central t distribution."""
    freedom, size = (n - 1, n) if paired else (2 * n - 2, n / 2)
    return stats.nct.sf(stats.t.isf(alpha / 2, freedom), freedom, effect * np.sqrt(size))


@given(st.floats(0.01, 3), st.booleans(), st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([0.5, 0.8, 0.95]))
def test_it_is_the_smallest_number_that_suffices(effect, paired, alpha, wanted):
    n = required_n(effect, paired=paired, alpha=alpha, power=wanted)
    assert power(effect, n, paired=paired, alpha=alpha) >= wanted
    assert n == FEWEST_RUNS or power(effect, n - 1, paired=paired, alpha=alpha) < wanted


@pytest.mark.parametrize("paired", [True, False])
def test_the_sign_of_the_effect_does_not_matter(paired):
    assert required_n(-0.7, paired=paired, alpha=0.05) == required_n(0.7, paired=paired, alpha=0.05)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("effect", [6.0, 8.0, 24.0, 100.0, 1e6, 1e13, float("inf")])
def test_a_glaring_effect_needs_the_fewest_runs(effect, paired):
    """The two-sided power of statsmodels 0.15 is NaN for many of these."""
    assert required_n(effect, paired=paired, alpha=0.05) == FEWEST_RUNS


@pytest.mark.parametrize("paired", [True, False])
def test_no_effect_cannot_be_found_by_any_number(paired):
    assert required_n(0.0, paired=paired, alpha=0.05) is None


def test_the_search_ends_at_a_million():
    """At such sizes t is normal: n = ((z(0.975) + z(0.8)) / effect)^2."""
    normal = ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 0.0029) ** 2
    assert required_n(0.0029, paired=True, alpha=0.05) == pytest.approx(normal, abs=3)
    assert normal < MOST_RUNS
    assert required_n(0.0028, paired=True, alpha=0.05) is None


def test_simulated_experiments_of_that_size_succeed_that_often():
    rng = np.random.default_rng(0)
    n = required_n(0.8, paired=False, alpha=0.05)
    draws = rng.normal(size=(2, 4_000, n)) + np.array([0.8, 0.0])[:, None, None]
    rate = np.mean(stats.ttest_ind(draws[0], draws[1], axis=1).pvalue < 0.05)
    assert rate == pytest.approx(power(0.8, n, paired=False, alpha=0.05), abs=4 * np.sqrt(0.16 / 4_000))
