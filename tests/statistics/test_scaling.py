"""The size of a host-only model with our accuracy, against the definition of isotonic regression and numpy's lines."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.scaling import equivalent_params

few = settings(max_examples=50, deadline=None)
measured = st.dictionaries(st.integers(1, 10**9), st.floats(0, 100), min_size=2, max_size=8)


def isotonic(values):
    """The isotonic least squares fit by its max-min formula (Barlow et al. 1972, theorem 1.4)."""
    n = len(values)
    return [max(min(np.mean(values[low : high + 1]) for high in range(i, n)) for low in range(i + 1)) for i in range(n)]


def test_between_two_sizes_it_is_on_the_line_over_the_logarithm():
    assert equivalent_params({1_000: 50.0, 100_000: 70.0}, 60.0) == pytest.approx(10_000)
    assert equivalent_params({100_000: 70.0, 1_000: 50.0}, 55.0) == pytest.approx(10**3.5)


def test_at_a_measured_accuracy_it_is_that_size():
    sizes = {1_000: 50.0, 10_000: 61.0, 100_000: 70.0}
    assert [equivalent_params(sizes, accuracy) for accuracy in sizes.values()] == [1_000, 10_000, 100_000]


def test_of_sizes_that_do_equally_well_it_is_the_smallest():
    sizes = {10: 20.0, 100: 50.0, 1_000: 50.0, 10_000: 80.0}
    assert equivalent_params(sizes, 50.0) == 100
    assert equivalent_params(sizes, 50.0001) > 1_000
    assert equivalent_params({10: 50.0, 100: 50.0}, 50.0) == 10


def test_a_larger_model_that_did_worse_is_pooled_with_the_smaller_one():
    sizes = {10: 20.0, 100: 60.0, 1_000: 40.0, 10_000: 80.0}
    assert equivalent_params(sizes, 50.0) == 100
    assert equivalent_params(sizes, 65.0) == pytest.approx(10**3.5)


@pytest.mark.parametrize("accuracy", [49.9, 70.1, 0.0, 100.0])
def test_outside_the_measured_sizes_nothing_is_claimed(accuracy):
    assert equivalent_params({1_000: 50.0, 100_000: 70.0}, accuracy) is None


@pytest.mark.parametrize("sizes", [{}, {1_000: 50.0}])
def test_fewer_than_two_sizes_are_no_curve(sizes):
    assert equivalent_params(sizes, 50.0) is None


@pytest.mark.parametrize(
    ("sizes", "accuracy", "message"),
    [
        ({0: 10.0, 10: 20.0}, 15.0, "a model's size must be at least 1 parameter; got 0. Count its parameters."),
        (
            {1: math.nan, 10: 20.0},
            15.0,
            "accuracies must be finite; got nan. Leave out the sizes that were not measured.",
        ),
        ({1: 10.0, 10: 20.0}, math.inf, "accuracies must be finite; got inf. Leave out the sizes that were not measured."),
    ],
)
def test_what_is_no_measurement_is_refused(sizes, accuracy, message):
    with pytest.raises(StatisticsError) as error:
        equivalent_params(sizes, accuracy)
    assert str(error.value) == message


@few
@given(measured, st.floats(0, 100))
def test_it_is_the_inverse_of_the_isotonic_curve(sizes, accuracy):
    params = sorted(sizes)
    curve = isotonic([sizes[size] for size in params])
    assume(all(abs(accuracy - level) > 1e-9 for level in curve))
    found = equivalent_params(sizes, accuracy)
    if not curve[0] < accuracy < curve[-1]:
        assert found is None
        return
    assert params[0] <= found <= params[-1]
    steepest = max((b - a) / np.log10(q / p) for (a, b), (p, q) in zip(pairwise(curve), pairwise(params), strict=True))
    reached = np.interp(np.log10(found), np.log10(params), curve)
    assert reached == pytest.approx(accuracy, abs=1e-9 + 1e-12 * steepest)


@few
@given(measured)
def test_more_accuracy_never_takes_fewer_parameters(sizes):
    found = [equivalent_params(sizes, accuracy) for accuracy in np.linspace(0, 100, 101)]
    inside = [params for params in found if params is not None]
    assert inside == sorted(inside)


@few
@given(measured)
def test_accuracies_that_rise_with_size_are_read_off_as_measured(sizes):
    rising = dict(zip(sorted(sizes), sorted(sizes.values()), strict=True))
    for size, accuracy in rising.items():
        smallest = min(s for s, a in rising.items() if a == accuracy)
        assert equivalent_params(rising, accuracy) == smallest, size
