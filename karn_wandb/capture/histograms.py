"""Histograms of gradients, counted on their device; no value is read until they are taken.

The bucket of a number is the top 11 bits of its single-precision pattern (IEEE 754): sign, exponent, and two bits of the
mantissa. Joining all gradients, one shift and one count of layers and buckets together find them. That is exact, it covers
the whole range without a scale, which would cost a pass over the data or lose what is outside, and buckets are the same in
every batch and on every rank, so that histograms add up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from karn_wandb.records import GradientHistogram
from karn_wandb.records.layers import MAGNITUDES

SHIFT = 21
"""Bits of a single-precision number below those that name its bucket."""
SIGN = 1024
"""First bucket of negative numbers."""
INFINITE = MAGNITUDES
"""First bucket of infinities and NaN, in either half: the exponent is 255."""
BUCKETS = 2048
ROW = 1 + BUCKETS
"""Counts of a layer: first its zeros, then its buckets, of which 0 is left with the smallest subnormal numbers."""

Counts = NDArray[np.int64]


class GradientHistograms:
    """Counts gradients by layer, over batches.

    Half precision is exact; double precision is rounded to single, where magnitudes above its range count as infinite and
    those below as zero. Of a sparse gradient the stored elements count, added up where an index occurs twice; what is not
    stored does not count as a zero. A complex element counts as two.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[torch.device, tuple[str, ...]], Tensor] = {}

    def add(self, layers: Mapping[str, Sequence[Tensor]]) -> None:
        """Count the gradients of one batch; reads no value and changes no gradient.

        Args:
            layers: Gradients of any shape, by layer. Those without an element add nothing.
        """
        placed: dict[torch.device, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
        for layer, gradients in layers.items():
            for gradient in gradients:
                elements = _elements(gradient)
                if elements.numel():
                    placed[gradient.device][layer].append(elements)
        for device, found in placed.items():
            rows, held = _count(found.values()), self._rows.get((device, tuple(found)))
            self._rows[device, tuple(found)] = rows if held is None else held.add_(rows)

    def take(self) -> dict[str, GradientHistogram]:
        """What was counted since the last time, by layer, with one copy from each device; then start over."""
        rows, self._rows = self._rows, {}
        totals: dict[str, Counts] = {}
        for device in dict.fromkeys(device for device, _ in rows):
            here = {layers: counts for (place, layers), counts in rows.items() if place == device}
            counts = torch.cat(list(here.values())).view(-1, ROW).cpu().numpy()
            for layer, row in zip((layer for layers in here for layer in layers), counts, strict=True):
                totals[layer] = totals[layer] + row if layer in totals else row
        return dict(zip(totals, _histograms(np.array([*totals.values()])), strict=True)) if totals else {}


def _elements(gradient: Tensor) -> Tensor:
    dense = gradient.coalesce().values() if gradient.is_sparse else gradient
    real = torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense
    return real.reshape(-1)


def _count(layers: Collection[list[Tensor]]) -> Tensor:
    """The rows of all layers, which are on one device, end to end; shape [len(layers) * ROW]."""
    sizes = [sum(part.numel() for part in parts) for parts in layers]
    flat = torch.cat([part for parts in layers for part in parts]).to(torch.float32)
    bits = flat.add_(0.0).view(torch.int32)  # cat made a copy; the sum turns -0.0 into 0.0, whose bits are 0
    places = bits.bitwise_right_shift(SHIFT).bitwise_and_(BUCKETS - 1)  # the shift repeats the sign
    places.add_(bits.ne_(0))  # in place it gives 0 and 1 of the same type, which is faster than truth values
    torch._foreach_add_(torch.split(places, sizes), list(range(0, len(sizes) * ROW, ROW)))
    return _frequencies(places, len(sizes) * ROW)


def _frequencies(places: Tensor, length: int) -> Tensor:
    """How often each number from 0 to `length` - 1 occurs."""
    if places.is_cpu:
        return torch.bincount(places, minlength=length)
    return _scattered(places, length)  # because bincount would wait for the device to find the largest number


def _scattered(places: Tensor, length: int) -> Tensor:
    one = torch.ones(1, dtype=torch.int64, device=places.device)
    counts = torch.zeros(length, dtype=torch.int64, device=places.device)
    return counts.scatter_add_(0, places.to(torch.int64), one.expand(len(places)))


def _histograms(rows: Counts) -> Iterator[GradientHistogram]:
    """The histograms of layers; rows of shape [layers, ROW]."""
    zeros, buckets = rows[:, 0], rows[:, 1:]
    positive, negative = buckets[:, :INFINITE], buckets[:, SIGN : SIGN + INFINITE]
    non_finite = buckets.sum(axis=1) - positive.sum(axis=1) - negative.sum(axis=1)
    occupied = np.flatnonzero(positive.any(axis=0) | negative.any(axis=0))
    first, end = (int(occupied[0]), int(occupied[-1]) + 1) if len(occupied) else (0, 0)
    counts = (part.tolist() for part in (negative[:, first:end], positive[:, first:end], zeros, non_finite))
    for below, above, zero, unfit in zip(*counts, strict=True):
        yield GradientHistogram.of(below, above, zero, unfit, first)
