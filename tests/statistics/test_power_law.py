"""The power law with a floor, against NIST's certified values, SciPy's optimisers and its own definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, least_squares

from karn_wandb.statistics.power_law import EXPONENTS, PowerLaws, fit_power_laws

few = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def one(costs, errors, weights=None) -> PowerLaws:
    costs, errors = np.array([costs], dtype=float), np.array([errors], dtype=float)
    return fit_power_laws(costs, errors, np.ones(costs.size) if weights is None else np.array(weights, dtype=float))


def squares(law: PowerLaws, costs, errors, weights) -> float:
    return float(np.sum(weights * (errors - law.errors(costs)) ** 2))


def drawn(seed: int, noise: float = 0.3):
    """Costs, errors and weights around a curve that has nothing special."""
    rng = np.random.default_rng(seed)
    costs = np.sort(10 ** rng.uniform(3, 7, rng.integers(4, 9)))
    curve = rng.uniform(0, 20) + rng.uniform(50, 3000) * costs ** -rng.uniform(0.15, 0.8)
    return costs, np.maximum(curve + rng.normal(0, noise, costs.size), 0), rng.integers(1, 6, costs.size).astype(float)


def test_nists_certified_values_of_danwood():
    """NIST StRD, nonlinear regression, "DanWood": y = b1 x^b2, with x = 1 / cost; E is at its bound of 0."""
    x = np.array([1.309, 1.471, 1.490, 1.565, 1.611, 1.680])
    y = np.array([2.138, 3.421, 3.597, 4.340, 4.882, 5.660])
    law = one(1 / x, y)
    assert law.floors[0] == 0
    assert law.coefficients[0] == pytest.approx(7.6886226176e-01, rel=1e-8)
    assert law.exponents[0] == pytest.approx(3.8604055871e00, rel=1e-8)
    assert squares(law, 1 / x, y, 1) == pytest.approx(4.3173084083e-03, rel=1e-8)


@pytest.mark.parametrize(
    "truth",
    [
        (1.69, 406.4, 0.34),  # Hoffmann et al. 2022, in parameters
        (1.69, 410.7, 0.28),  # and in tokens
        (0.0, (8.8e13) ** 0.076, 0.076),  # Kaplan et al. 2020, in parameters: (8.8e13 / N)^0.076
    ],
)
def test_published_curves_are_found_again_from_their_own_values(truth):
    floor, coefficient, exponent = truth
    costs = np.array([1e7, 1e8, 1e9, 1e10, 1e11])
    law = one(costs, floor + coefficient * costs**-exponent)
    assert law.exponents[0] == pytest.approx(exponent, rel=1e-7)
    assert law.floors[0] == pytest.approx(floor, abs=1e-7)
    assert law.coefficients[0] == pytest.approx(coefficient, rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_inside_the_bounds_it_agrees_with_scipys_curve_fit(seed):
    costs, errors, weights = drawn(seed, noise=0.05)
    law = one(costs, errors, weights)
    if law.floors[0] == 0:
        errors = errors + 5  # so that E is free
        law = one(costs, errors, weights)
    reference = costs.min()
    start = (law.floors[0] * 0.8, law.amplitudes[0] * 1.1, law.exponents[0] * 0.9)
    found, _ = curve_fit(
        lambda c, e, a, alpha: e + a * (c / reference) ** -alpha,
        costs,
        errors,
        start,
        1 / np.sqrt(weights),
        xtol=1e-14,
        ftol=1e-14,
    )
    assert (law.floors[0], law.amplitudes[0], law.exponents[0]) == pytest.approx(tuple(found), rel=1e-5)


@few
@given(seeds)
def test_no_bounded_optimiser_from_any_start_finds_less(seed):
    costs, errors, weights = drawn(seed)
    law, z = one(costs, errors, weights), np.log(costs / costs.min())

    def residuals(p):
        return np.sqrt(weights) * (errors - p[0] - p[1] * np.exp(-p[2] * z))

    bounds = ([0, 0, EXPONENTS[0]], [np.inf, np.inf, EXPONENTS[1]])
    starts = [(floor, errors.max(), exponent) for floor in (0, 0.9 * errors.min()) for exponent in (0.05, 0.4, 1.5)]
    least = min(2 * least_squares(residuals, start, bounds=bounds).cost for start in starts)
    assert squares(law, costs, errors, weights) <= least * (1 + 1e-9) + 1e-12


def test_where_larger_is_not_better_the_curve_is_flat():
    for errors in ([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]):
        law = one([1, 10, 100, 1000], errors, [1, 1, 1, 3])
        assert law.amplitudes[0] == 0
        assert law.floors[0] == pytest.approx(np.average(errors, weights=[1, 1, 1, 3]))


def test_the_exponent_stays_within_its_bounds():
    steep = one([1, 10, 100, 1000], [50.0, 1.0, 1.0, 1.0])
    shallow = one([1, 10, 100, 1000], [4.0, 3.0, 2.0, 0.0])  # a line over the logarithm, which would need E < 0
    assert steep.exponents[0] == pytest.approx(EXPONENTS[1])
    assert shallow.floors[0] == 0
    assert EXPONENTS[0] <= shallow.exponents[0] < 0.5


@few
@given(seeds)
def test_many_at_once_are_as_each_by_itself(seed):
    costs, errors, weights = drawn(seed)
    many = fit_power_laws(np.tile(costs, (3, 1)), np.stack([errors, errors[::-1], errors * 2]), weights)
    alone = [one(costs, values, weights) for values in (errors, errors[::-1], errors * 2)]
    for place, law in enumerate(alone):
        each = (many.floors[place], many.amplitudes[place], many.exponents[place])
        assert each == pytest.approx((law.floors[0], law.amplitudes[0], law.exponents[0]), rel=1e-6, abs=1e-9)


@few
@given(seeds, st.floats(1e-9, 1e9))
def test_the_unit_of_cost_does_not_matter(seed, unit):
    costs, errors, weights = drawn(seed)
    law, other = one(costs, errors, weights), one(costs * unit, errors, weights)
    assert other.errors(costs * unit) == pytest.approx(law.errors(costs), rel=1e-6)


def test_a_cost_is_where_the_curve_reaches_an_error_and_infinite_where_it_never_does():
    law = one([1e9, 3e9, 1e10, 3e10], [1.69 + 406.4 * c**-0.34 for c in (1e9, 3e9, 1e10, 3e10)])
    for cost in (1e6, 1e9, 130e9):
        assert law.costs(law.errors(cost)) == pytest.approx(cost)
    assert math.isinf(law.costs(law.floors[0])[0])
    assert math.isinf(law.costs(0.0)[0])


def test_a_flat_curve_reaches_what_is_worse_at_no_cost_and_what_is_better_nowhere():
    law = one([1, 10, 100, 1000], [2.0, 2.0, 2.0, 2.0])
    assert law.costs(3.0)[0] == 0
    assert math.isinf(law.costs(1.0)[0])
