"""Gradient histograms add up exactly, and are drawn with bins in which numpy.histogram finds the same counts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from karn_wandb.analysis.buckets import EDGES, drawn, merge
from karn_wandb.errors import UsageError
from karn_wandb.records import GradientHistogram

few = settings(max_examples=50, deadline=None)
EMPTY = GradientHistogram()
singles = st.floats(width=32) | st.floats(-1, 1, width=32) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-40, -3e-39, 3.4028235e38])
data = arrays.arrays(np.float32, st.integers(0, 60), elements=singles)
budgets = st.integers(8, 40) | st.integers(8, 512)


def row(magnitudes):
    """First bucket and counts, by frexp: a normal magnitude is m * 2^e, m from 0.5 to 1 in four steps."""
    exponents_and_quarters = [(e, int((m - 0.5) * 8)) for m, e in map(math.frexp, magnitudes)]
    places = [4 * (e + 126) + quarter for e, quarter in exponents_and_quarters]
    # below 2^-126 the four buckets are equally wide
    places = [p if x >= 2.0**-126 else int(x / 2.0**-128) for p, x in zip(places, magnitudes, strict=True)]
    if not places:
        return 0, ()
    return min(places), tuple(places.count(k) for k in range(min(places), max(places) + 1))


def histogram(values):
    finite = [float(x) for x in values if math.isfinite(x)]
    negative_from, negative = row([-x for x in finite if x < 0])
    positive_from, positive = row([x for x in finite if x > 0])
    return GradientHistogram(negative, negative_from, positive, positive_from, finite.count(0.0), len(values) - len(finite))


def test_the_edges_are_four_steps_an_octave_from_zero_to_infinity():
    edges = EDGES
    assert len(edges) == 1021
    assert edges[0] == 0
    assert edges[1] == 2.0**-128
    assert edges[4] == 2.0**-126
    assert edges[-2:].tolist() == [1.75 * 2.0**127, math.inf]
    assert edges[127 * 4 + 1] == 1.25
    normal = edges[4:-1].reshape(-1, 4)
    np.testing.assert_array_equal(normal / normal[:, :1], np.tile([1, 1.25, 1.5, 1.75], (len(normal), 1)))


@few
@given(data, budgets)
def test_drawn_counts_are_those_of_numpy_with_the_same_edges(values, bins):
    counts, edges = drawn(histogram(values), bins)
    assert list(counts) == np.histogram(values[np.isfinite(values)], edges)[0].tolist()


@few
@given(data, budgets)
def test_every_finite_element_is_in_one_of_at_most_so_many_bins_with_finite_rising_edges(values, bins):
    counts, edges = drawn(histogram(values), bins)
    assert sum(counts) == np.isfinite(values).sum()
    assert len(edges) == len(counts) + 1 <= bins + 1
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()


@few
@given(data, budgets)
def test_the_outermost_bins_reach_no_further_than_a_bucket_beyond_the_data(values, bins):
    finite = values[np.isfinite(values)].astype(float)
    _, edges = drawn(histogram(values), bins)
    if finite.any():
        for edge, extreme in ((edges[0], finite.min()), (edges[-1], finite.max())):
            assert abs(edge - extreme) <= max(abs(extreme) / 4, 2.0**-128)


@few
@given(data, budgets)
def test_few_of_the_magnitudes_share_the_central_bin_with_the_zeros(values, bins):
    counts, edges = drawn(histogram(values), bins)
    finite = np.abs(values[np.isfinite(values)])
    tiny, nonzero = np.count_nonzero(finite < 2.0**-128), np.count_nonzero(finite)
    central = sum(n for n, low, high in zip(counts, edges, edges[1:], strict=False) if low <= 0 <= high)
    assert central <= tiny + 0.05 * nonzero


@few
@given(data, data, data)
def test_merging_is_the_histogram_of_all_elements_in_whatever_order(a, b, c):
    one, two, three = histogram(a), histogram(b), histogram(c)
    together = histogram(np.concatenate([a, b, c]))
    assert merge([one, two, three]) == merge([merge([one, two]), three]) == merge([one, merge([two, three])]) == together
    assert merge([three, one, EMPTY, two]) == together


def test_merging_none_is_empty():
    assert merge([]) == EMPTY


def test_counts_beyond_single_precision_stay_exact():
    many = GradientHistogram(positive=(2**40 + 1,), positive_from=400, zeros=2**41 + 1)
    assert merge([many, many]) == GradientHistogram(positive=(2**41 + 2,), positive_from=400, zeros=2**42 + 2)
    assert drawn(many)[0] == (2.0**41 + 1, 2.0**40 + 1)


@pytest.mark.parametrize("zeros", [0, 7])
def test_without_any_magnitude_there_is_one_bin_around_zero(zeros):
    assert drawn(GradientHistogram(zeros=zeros, non_finite=3)) == ((float(zeros),), (-0.5, 0.5))


def test_zeros_are_in_the_bin_around_zero():
    counts, edges = drawn(histogram(np.float32([-1, -1, 0, 0, 0, 1])), 8)
    center = np.searchsorted(edges, 0.0, side="right") - 1
    assert counts[center] == 3


def test_with_just_enough_bins_a_bin_is_a_bucket():
    values = np.linspace(-3.9, 3.9, 1000, dtype=np.float32)
    values = values[np.abs(values) > 0.25]
    _, edges = drawn(histogram(values), 16 + 1 + 16)
    positive = [edge for edge in edges if edge > 0]
    assert positive == [f * 2.0**e for e in (-2, -1, 0, 1) for f in (1, 1.25, 1.5, 1.75)] + [4.0]
    negative = [edge for edge in edges if edge < 0][::-1]
    assert negative == (-np.nextafter(np.float32(positive), np.float32(0))).tolist()


def test_bins_are_spent_on_the_large_magnitudes_when_few_are_small():
    rng = np.random.default_rng(1)
    large, tiny = rng.uniform(0.5, 1.9, 990), np.logspace(-30, -20, 10)
    _, edges = drawn(histogram(np.float32([*large, *tiny])), 16)
    assert [edge for edge in edges if edge >= 0.5] == [0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75, 2.0]


def test_magnitudes_that_no_bin_but_the_central_one_can_hold_make_the_others_no_wider():
    values = np.float32([*[2.0**-130] * 50, *np.logspace(-1, 0, 50, base=2), *[2.0**-100] * 2])
    counts, edges = drawn(histogram(values), 8)
    assert [edge for edge in edges if edge >= 0.5] == [0.5, 0.625, 0.75, 0.875, 1.0, 1.25]
    assert counts[0] == 52


def test_bins_grow_wider_when_many_magnitudes_are_small():
    spread = np.float32(np.logspace(-30, 0, 1000))
    counts, edges = drawn(histogram(spread), 16)
    assert np.ptp(np.diff(np.log2(edges[1:-1]))) == 0
    assert max(counts) < 100


@pytest.mark.parametrize("bins", [7, 513])
def test_a_number_of_bins_that_makes_no_picture_is_refused(bins):
    with pytest.raises(UsageError, match=f"8 to 512 bins; got {bins}"):
        drawn(EMPTY, bins)


def test_the_largest_number_is_in_the_last_bin_whose_edge_is_finite():
    largest = float(np.finfo(np.float32).max)
    counts, edges = drawn(histogram(np.float32([largest, -largest, 1.0])), 512)
    assert (edges[0], edges[-1]) == (-largest, largest)
    assert counts[0] == counts[-1] == 1
