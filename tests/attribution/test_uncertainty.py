"""Standard errors against simulations, intervals against the distributions they are taken from."""

import numpy as np
import pytest
from scipy import stats

from karn_wandb.attribution import CounterfactualEngine
from karn_wandb.attribution.games import coalition_sizes, shapley_values
from karn_wandb.attribution.uncertainty import estimate, p_positive
from karn_wandb.records import CounterfactualConfig, Evaluation, ShapleyEstimate

SAMPLED = {"n_samples": 20, "algorithm": "permutation_antithetic", "sampling_freedom": 9}
EXACT = {"n_samples": 8, "algorithm": "exact"}


@pytest.mark.parametrize("estimator", ["permutation_antithetic", "leverage_regression"])
def test_the_error_from_sampling_is_the_spread_over_samples(estimator):
    """Also when permutations share cached coalitions: a cache saves evaluations, it does not correlate permutations."""
    table = np.random.default_rng(5).normal(50, 3, size=(2,) * 8)
    config = CounterfactualConfig(strategy="shapley", shapley_samples=20, estimator=estimator)
    slots = tuple("abcdefgh")
    runs = [
        CounterfactualEngine(config, seed).evaluate(slots, lambda c: float(table[tuple(map(int, c))]), 1) for seed in range(200)
    ]
    means = np.array([[found.mean for found in run.shapley_values.values()] for run in runs])
    squares = np.array([[found.std**2 for found in run.shapley_values.values()] for run in runs])
    np.testing.assert_allclose(np.sqrt(squares.mean(axis=0)), means.std(axis=0, ddof=1), rtol=0.2)
    covered = [
        found.ci_low <= exact <= found.ci_high
        for run in runs
        for found, exact in zip(run.shapley_values.values(), shapley_values(table.ravel()), strict=True)
    ]
    assert 0.92 < np.mean(covered) < 0.98


@pytest.mark.parametrize(("estimator", "samples"), [("permutation_antithetic", 6), ("leverage_regression", 4)])
def test_both_errors_together_are_the_spread_over_samples_and_validation_sets(estimator, samples):
    """Slots of a network whose examples interact far more than their mean does, each draw with new examples."""
    n, examples, slots = 6, 100, tuple("abcdef")
    sizes = coalition_sizes(n)
    rng = np.random.default_rng(2)
    order = CounterfactualConfig(strategy="shapley", shapley_samples=samples, estimator=estimator)
    found = []
    for seed in range(250):
        needed = rng.uniform(0, 8, size=examples)  # how many slots an example needs, some of them of its own
        correct = sizes[:, None] + rng.normal(0, 1.5, size=(2**n, examples)) > needed
        table = correct.reshape(*(2,) * n, examples).tolist()
        found.append(CounterfactualEngine(order, seed).evaluate(slots, lambda c, t=table: Evaluation(correct=at(t, c)), 1))
    means = np.array([[e.mean for e in run.shapley_values.values()] for run in found])
    squares = {part: np.array([[getattr(e, part) ** 2 for e in run.shapley_values.values()] for run in found]) for part in PARTS}
    # All slots are alike, so they are pooled: 1,500 values, their sd uncertain by about 2 %.
    assert np.sqrt(squares["std"].mean()) == pytest.approx(means.std(ddof=1), rel=0.08)
    assert squares["evaluation_std"].mean() > 0.1 * squares["std"].mean()
    assert squares["sampling_std"].mean() > 0.1 * squares["std"].mean()


PARTS = ("std", "sampling_std", "evaluation_std")


def at(nested, config):
    for on in config:
        nested = nested[on]
    return nested


def test_both_errors_add_in_quadrature():
    found = estimate(1.0, sampling=0.3, evaluation=0.4, **SAMPLED)
    assert (found.std, found.sampling_std, found.evaluation_std) == (pytest.approx(0.5), 0.3, 0.4)


def test_sampling_error_alone_has_students_interval_with_pairs_minus_one():
    found = estimate(1.0, sampling=0.5, evaluation=None, **SAMPLED)
    assert (found.std, found.exact) == (0.5, False)
    assert (found.ci_low, found.ci_high) == pytest.approx(stats.t.interval(0.95, 9, loc=1.0, scale=0.5))
    assert p_positive(found) == pytest.approx(stats.t.sf(2.0, 9))


def test_evaluation_error_alone_has_the_normal_interval():
    found = estimate(1.0, sampling=0.0, evaluation=0.5, **EXACT)
    assert (found.std, found.exact) == (0.5, True)
    assert (found.ci_low, found.ci_high) == pytest.approx(stats.norm.interval(0.95, loc=1.0, scale=0.5))
    assert p_positive(found) == pytest.approx(stats.norm.sf(2.0))


def test_evaluation_error_of_few_groups_alone_has_students_interval():
    found = estimate(1.0, sampling=0.0, evaluation=0.5, evaluation_method="group_jackknife", evaluation_freedom=7, **EXACT)
    assert (found.evaluation_method, found.degrees_of_freedom) == ("group_jackknife", pytest.approx(7))
    assert (found.ci_low, found.ci_high) == pytest.approx(stats.t.interval(0.95, 7, loc=1.0, scale=0.5))
    assert p_positive(found) == pytest.approx(stats.t.sf(2.0, 7))


def test_two_errors_of_few_degrees_of_freedom_are_joined_by_satterthwaite():
    """Reference: (s^2 + e^2)^2 / (s^4 / 4 + e^4 / 7)."""
    found = estimate(1.0, sampling=0.3, evaluation=0.4, evaluation_freedom=7, **(SAMPLED | {"sampling_freedom": 4}))
    assert found.degrees_of_freedom == pytest.approx(0.25**2 / (0.3**4 / 4 + 0.4**4 / 7))


def test_an_estimate_that_tells_no_degrees_of_freedom_is_taken_as_normal():
    assert p_positive(ShapleyEstimate(mean=1.0, std=0.5, n_samples=20)) == pytest.approx(stats.norm.sf(2.0))


def test_both_errors_have_degrees_of_freedom_between_by_satterthwaite():
    """Reference: Welch-Satterthwaite with a component of infinite degrees of freedom, (s^2 + e^2)^2 / (s^4 / 9)."""
    found = estimate(1.0, sampling=0.3, evaluation=0.4, **SAMPLED)
    assert found.degrees_of_freedom == pytest.approx((0.09 + 0.16) ** 2 / (0.09**2 / 9))


def test_an_exact_value_without_outcomes_has_no_standard_error_rather_than_none_at_all():
    found = estimate(1.0, sampling=0.0, evaluation=None, **EXACT)
    assert (found.std, found.ci_low, found.ci_high) == (None, None, None)
    assert found.sampling_std == 0.0
    assert p_positive(found) == 1.0


def test_one_pair_does_not_tell_its_sampling_error_so_the_rest_is_not_passed_off_as_all():
    found = estimate(1.0, sampling=None, evaluation=0.4, n_samples=2, algorithm="permutation_antithetic", sampling_freedom=0)
    assert (found.std, found.ci_low, found.evaluation_std, found.degrees_of_freedom) == (None, None, 0.4, None)


@pytest.mark.parametrize(("mean", "p"), [(1.0, 0.0), (0.0, 1.0), (-1.0, 1.0)])
def test_without_any_spread_the_sign_decides(mean, p):
    found = estimate(mean, sampling=0.0, evaluation=0.0, **SAMPLED)
    assert (found.ci_low, found.ci_high) == (mean, mean)
    assert p_positive(found) == p


@pytest.mark.parametrize("tiny", [1e-100, 1e-300, 5e-324])
def test_a_vanishing_sampling_error_counts_as_none(tiny):
    found = estimate(1.0, sampling=tiny, evaluation=0.5, **SAMPLED)
    assert (found.ci_low, found.ci_high) == pytest.approx(stats.norm.interval(0.95, loc=1.0, scale=0.5))
