"""Gradient histograms, put together and made ready to be drawn.

A bucket holds the magnitudes from its lower edge up to the next bucket's, which is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from karn_wandb.errors import UsageError
from karn_wandb.records import GradientHistogram
from karn_wandb.records.layers import MAGNITUDES

LARGEST = float(np.finfo(np.float32).max)
"""Largest finite magnitude."""
FEWEST_BINS, MOST_BINS = 8, 512
"""Bins a drawing may have; W&B takes no histogram with more."""
LARGEST_SMALL_FRACTION = 0.05
"""Of the elements that are not zero, those that may be joined with the zeros to draw the others finer."""
NOTHING = (-0.5, 0.5)
"""Edges of the one bin where all is zero, NumPy's choice."""

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

_singles = (np.arange(MAGNITUDES + 1, dtype=np.uint32) << np.uint32(21)).view(np.float32)
EDGES: Reals = _singles.astype(np.float64)
"""Lower edge of each magnitude bucket, the number whose bits are the bucket's and then zeros (IEEE 754, single precision);
at its end infinity, the upper edge of the last finite bucket."""
UNDER: Reals = 0.0 - np.nextafter(_singles, np.float32(0)).astype(np.float64)
"""Left edge of the negative numbers whose magnitude is below each bucket: minus the number just before its lower edge."""


def merge(histograms: Iterable[GradientHistogram]) -> GradientHistogram:
    """The histogram of all elements of several, exact: counts add up bucket by bucket. An empty one for none."""
    parts = list(histograms)
    spans = [_span(histogram) for histogram in parts]
    first, end = min((low for low, _ in spans), default=0), max((high for _, high in spans), default=0)
    negative, positive = np.zeros(end - first, dtype=np.int64), np.zeros(end - first, dtype=np.int64)
    for histogram in parts:
        _spread(negative, histogram.negative, histogram.negative_from - first)
        _spread(positive, histogram.positive, histogram.positive_from - first)
    zeros, non_finite = sum(part.zeros for part in parts), sum(part.non_finite for part in parts)
    return GradientHistogram.of(negative.tolist(), positive.tolist(), zeros, non_finite, first)


def drawn(histogram: GradientHistogram, bins: int = 64) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Counts and edges of a histogram to look at, with a logarithmic scale on both sides of a central bin around zero.

    Every bin is closed on the left and open on the right, the last one closed, as in `numpy.histogram`, which gives the
    same counts for the same edges and data in single precision. So edges below zero are those above it, negated and moved
    by one unit in the last place. All finite elements are in a bin. The outermost edges are those of the outermost
    occupied buckets.

    Where there are more buckets than bins, 2, 4, 8, ... neighbours of the same sign share a bin, the same magnitudes on
    both sides. The smallest magnitudes go to the central bin when there is no bin left for them. The finest resolution is
    taken with which these are at most one in twenty of the elements that are not zero. Magnitudes below 2^-128 (bucket 0)
    are in the central bin always, and not among the twenty.

    Args:
        histogram: Counts by bucket.
        bins: Most bins wanted, 8 to 512.

    Returns:
        The counts, whole numbers; and the edges, one more, finite and increasing. One bin from -0.5 to 0.5 where no
        element is finite and not zero.

    Raises:
        UsageError: The number of bins is out of range.
    """
    if not FEWEST_BINS <= bins <= MOST_BINS:
        raise UsageError(f"a histogram is drawn with {FEWEST_BINS} to {MOST_BINS} bins", got=repr(bins))
    histogram = merge([histogram])
    if not (histogram.negative or histogram.positive):
        return (float(histogram.zeros),), NOTHING
    edges = _edges(histogram, bins)
    return tuple(_counts(histogram, edges).tolist()), tuple(edges.tolist())


def _span(histogram: GradientHistogram) -> tuple[int, int]:
    """The first bucket of a histogram on either side, and the one after its last."""
    sides = ((histogram.negative_from, histogram.negative), (histogram.positive_from, histogram.positive))
    held = [(first, first + len(counts)) for first, counts in sides if counts] or [(0, 0)]
    return min(first for first, _ in held), max(end for _, end in held)


def _spread(into: Integers, counts: tuple[int, ...], at: int) -> None:
    """Add counts from a place on."""
    if counts:
        into[at : at + len(counts)] += counts


def _edges(histogram: GradientHistogram, bins: int) -> Reals:
    """Edges at the finest resolution that leaves few magnitudes to the central bin."""
    first, end = _span(histogram)
    magnitudes = np.zeros(end - first, dtype=np.int64)
    _spread(magnitudes, histogram.negative, histogram.negative_from - first)
    _spread(magnitudes, histogram.positive, histogram.positive_from - first)
    below = np.concatenate([[0], np.cumsum(magnitudes)])  # smaller than the lower edge of buckets first, first + 1, ..., end
    uncounted = int(magnitudes[0]) if first == 0 else 0
    few = LARGEST_SMALL_FRACTION * below[-1]
    for power in range(10):  # with 512 buckets a bin everything fits into the fewest bins, so the last one leaves nothing
        smallest, edges = _edges_at(histogram, bins, max(1, first), end, 2**power)
        if below[smallest - first] - uncounted <= few:
            break
    return edges


def _edges_at(histogram: GradientHistogram, bins: int, first: int, end: int, joined: int) -> tuple[int, Reals]:
    """The smallest bucket outside the central bin, the first that the bins allow; and the edges, `joined` buckets apart."""
    low, high = _outermost(histogram)
    cuts = np.concatenate([[first], np.arange(first - first % joined + joined, end, joined)])
    above, under = EDGES[cuts], UNDER[cuts]
    above_inside, under_inside = (low < above) & (above < high), (low < under) & (under < high)
    edges_from = np.cumsum((above_inside.astype(int) + under_inside)[::-1])[::-1]
    start = int(np.count_nonzero(edges_from > bins - 1))
    above, under = above[start:][above_inside[start:]], under[start:][under_inside[start:]]
    smallest = int(cuts[start]) if start < len(cuts) else end
    return smallest, np.concatenate([[low], under[::-1], above, [high]])


def _outermost(histogram: GradientHistogram) -> tuple[float, float]:
    """The tightest first and last edge around all finite elements."""
    if histogram.negative:
        low = float(UNDER[histogram.negative_from + len(histogram.negative)])
    else:
        low = 0.0 if histogram.zeros else float(EDGES[histogram.positive_from])
    if histogram.positive:
        high = min(LARGEST, float(EDGES[histogram.positive_from + len(histogram.positive)]))
    else:
        high = 0.0 if histogram.zeros else float(UNDER[histogram.negative_from])
    return low, high


def _counts(histogram: GradientHistogram, edges: Reals) -> Reals:
    """Elements in each bin; a bucket is put where its smallest magnitude belongs."""
    below = EDGES[histogram.negative_from :][: len(histogram.negative)]
    above = EDGES[histogram.positive_from :][: len(histogram.positive)]
    places = np.concatenate([-below, [0.0], above])
    bins = len(edges) - 1
    found = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, bins - 1)
    counts = [*histogram.negative, histogram.zeros, *histogram.positive]
    return np.bincount(found, weights=counts, minlength=bins).astype(np.float64)
