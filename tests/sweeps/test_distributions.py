"""Distributions of sweep parameters, against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.sweeps.distributions import FAMILIES, Distribution


def made(name, **fields):
    return Distribution(name, {**FAMILIES[name].defaults, **fields})


def drawn(distribution, n=2000, seed=3):
    return [distribution.at(u) for u in np.random.default_rng(seed).uniform(size=n)]


CONTINUOUS = [
    (made("uniform", min=-1.0, max=3.0), stats.uniform(-1, 4)),
    (made("log_uniform", min=-3, max=1), stats.loguniform(math.exp(-3), math.e)),
    (made("log_uniform_values", min=1e-5, max=0.1), stats.loguniform(1e-5, 0.1)),
    # X with log(1/X) uniform between min and max (W&B's documentation): X is log-uniform between exp(-max) and exp(-min)
    (made("inv_log_uniform", min=1, max=4), stats.loguniform(math.exp(-4), math.exp(-1))),
    (made("inv_log_uniform_values", min=1e-3, max=2.0), stats.loguniform(1e-3, 2)),
    (made("normal", mu=2.0, sigma=0.5), stats.norm(2, 0.5)),
    (made("log_normal", mu=-1.0, sigma=0.7), stats.lognorm(0.7, scale=math.exp(-1))),
    (made("beta", a=2, b=5), stats.beta(2, 5)),
]

QUANTISED = [pair for pair in CONTINUOUS if not pair[0].name.startswith("inv_")]  # W&B has no q_inv_*


@pytest.mark.parametrize(("ours", "reference"), CONTINUOUS, ids=lambda d: getattr(d, "name", ""))
def test_draws_have_the_distribution_by_kolmogorov_and_smirnov(ours, reference):
    assert stats.kstest(drawn(ours), reference.cdf).pvalue > 0.01


@pytest.mark.parametrize(("ours", "reference"), CONTINUOUS, ids=lambda d: getattr(d, "name", ""))
def test_another_distribution_of_the_same_mean_is_told_apart(ours, reference):
    """So that the test above can fail."""
    other = stats.norm(reference.mean(), 1.5 * reference.std())
    assert stats.kstest(drawn(ours), other.cdf).pvalue < 0.01


@pytest.mark.parametrize(("ours", "reference"), QUANTISED, ids=lambda d: getattr(d, "name", ""))
def test_quantised_draws_are_multiples_of_q_with_the_mass_around_them(ours, reference):
    q = float(reference.std())
    values = np.asarray(drawn(Distribution(f"q_{ours.name}", {**ours.fields, "q": q})))
    steps = np.round(values / q)
    np.testing.assert_allclose(values, steps * q)
    for step in np.unique(steps):
        mass = reference.cdf((step + 0.5) * q) - reference.cdf((step - 0.5) * q)
        assert np.mean(steps == step) == pytest.approx(mass, abs=5 * math.sqrt(0.25 / len(values)))


def test_whole_numbers_are_even_both_ends_included_and_whole():
    values = drawn(made("int_uniform", min=2, max=5))
    assert {type(value) for value in values} == {int}
    assert stats.chisquare(np.bincount(values)[2:]).pvalue > 0.01
    assert set(values) == {2, 3, 4, 5}


def test_a_whole_q_gives_whole_numbers():
    assert {type(value) for value in drawn(made("q_log_uniform_values", min=8, max=512, q=8))} == {int}


def test_listed_values_are_drawn_by_their_probabilities_which_need_not_add_up_to_1():
    values = drawn(made("categorical", values=["a", "b", "c"], probabilities=[1, 0, 3]))
    assert "b" not in values
    assert values.count("c") / len(values) == pytest.approx(0.75, abs=0.05)
    even = drawn(made("categorical", values=["a", "b", "c"]))
    assert stats.chisquare([even.count(letter) for letter in "abc"]).pvalue > 0.01


@given(low=st.floats(1e-12, 1e12), ratio=st.floats(1, 1e6), u=st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_log_uniform_value_never_leaves_its_limits(low, ratio, u):
    assert low <= made("log_uniform_values", min=low, max=low * ratio).at(u) <= low * ratio


def test_the_grid_of_each_distribution_that_has_one():
    assert made("constant", value=None).grid() == (None,)
    assert made("categorical", values=[1, 2, 1, 1.0, True]).grid() == (1, 2, True)
    assert made("int_uniform", min=-1, max=1).grid() == (-1, 0, 1)
    # W&B's grid search steps by numpy.arange, which ends before max
    assert made("q_uniform", min=0, max=1, q=0.25).grid() == tuple(np.arange(0, 1, 0.25).tolist())
    assert made("uniform", min=0.0, max=1.0).grid() is None
    assert made("categorical", values=[1], probabilities=[1]).grid() is None
