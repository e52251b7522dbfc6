"""Gradient norms of each seed module's layers: means over an epoch, of which the largest are reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from karn_wandb.capture.model import SlotLike, stage_of
from karn_wandb.records import OCCUPIED, SeedLayerNorm, SeedLayerNorms, SeedLayers


class SeedLayerMeans:
    """Collects the layers' norms batch by batch and reports the top of them at the epoch's end.

    Made only when the summaries are wanted: without it nothing is collected and nothing costs anything.
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, float]] = {}
        self._counts: dict[str, dict[str, int]] = {}

    def observe(self, norms: Mapping[str, Mapping[str, float]]) -> None:
        """Add one batch.

        Args:
            norms: By slot, by layer as it is named inside the seed module: L2 norm of the layer's gradient, any float. A
                layer without a gradient in the batch is left out.
        """
        for slot_id, layers in norms.items():
            sums, counts = self._sums.setdefault(slot_id, {}), self._counts.setdefault(slot_id, {})
            for layer, norm in layers.items():
                sums[layer] = sums.get(layer, 0.0) + float(norm)
                counts[layer] = counts.get(layer, 0) + 1

    def forget(self, slot_id: str) -> None:
        """Drop what a slot's layers did so far in this epoch: its seed module was replaced by another."""
        self._sums.pop(slot_id, None)
        self._counts.pop(slot_id, None)

    def summaries(self, epoch: int, slots: Mapping[str, SlotLike], top_k: int) -> tuple[SeedLayerNorm, ...]:
        """The top layers of each seed module, and start over for the next epoch.

        A layer's value is the mean over the batches that gave it a gradient. NaN and infinities come first, for they are
        what one looks for, then the largest; ties by name, so the same epoch always gives the same layers. A slot that no
        longer holds a seed module, or that was not observed, is left out.

        Args:
            epoch: The epoch that ended, from 1.
            slots: By slot_id; the order of the result.
            top_k: Most layers of each seed module, at least 1: exactly this many when it has them.
        """
        found = tuple(
            SeedLayerNorm(slot_id, getattr(slot, "seed_id", None), stage_of(slot), layer, mean, epoch)
            for slot_id, slot in slots.items()
            if stage_of(slot) in OCCUPIED
            for layer, mean in _top(self._means(slot_id), top_k)
        )
        self._sums, self._counts = {}, {}
        return found

    def _means(self, slot_id: str) -> dict[str, float]:
        counts = self._counts.get(slot_id, {})
        return {layer: total / counts[layer] for layer, total in self._sums.get(slot_id, {}).items()}


def compact(summaries: Iterable[SeedLayerNorm]) -> SeedLayerNorms | None:
    """The summaries of one epoch in a single record; None when there are none."""
    slots: dict[str, SeedLayers] = {}
    epoch = None
    for one in summaries:
        epoch = one.epoch
        before = slots[one.slot_id].layers if one.slot_id in slots else {}
        slots[one.slot_id] = SeedLayers(one.seed_id, one.stage, {**before, one.layer: one.value})
    return None if epoch is None else SeedLayerNorms(epoch, slots)


def _top(means: Mapping[str, float], top_k: int) -> list[tuple[str, float]]:
    """The layers with the largest means, those that are not finite before all others."""

    def place(layer: str) -> tuple[bool, float, str]:
        mean = means[layer]
        return (True, -mean, layer) if math.isfinite(mean) else (False, 0.0, layer)

    return [(layer, means[layer]) for layer in sorted(means, key=place)[:top_k]]
