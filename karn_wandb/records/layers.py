"""What layers do: gradient histograms, activations, and the norms of each seed module's top layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from string import hexdigits

from karn_wandb.errors import RecordError
from karn_wandb.records._kinds import Count
from karn_wandb.records._record import Record, record
from karn_wandb.records.stages import SeedStage

MAGNITUDES = 1020
"""Buckets of finite magnitudes: 255 exponents, four buckets each."""

SEED_LAYER_NORM = "tolaria.grad_agg.seed.layer_norm"
"""Name of the per-layer metric of seed modules, as in the requirement."""


@record
class GradientHistogram(Record):
    """Counts of one layer's gradient elements over the whole range of single precision.

    Bucket k >= 0 holds the magnitudes whose top ten bits after the sign (exponent, and two bits of the mantissa) are
    k: four buckets an octave, nothing below or above them. Negative gradients have a row of buckets of their own. The
    buckets are the same everywhere, so histograms of several batches or ranks add up exactly.

    Attributes:
        negative: Counts of negative elements in buckets `negative_from`, `negative_from + 1`, ...
        negative_from: First bucket of `negative`.
        positive: Counts of positive elements in buckets `positive_from`, ...
        positive_from: First bucket of `positive`.
        zeros: Elements that are exactly zero.
        non_finite: Elements that are NaN or infinite.
    """

    negative: tuple[Count, ...] = ()
    negative_from: Count = 0
    positive: tuple[Count, ...] = ()
    positive_from: Count = 0
    zeros: Count = 0
    non_finite: Count = 0

    @classmethod
    def of(
        cls, negative: Sequence[int], positive: Sequence[int], zeros: int, non_finite: int, first: int = 0
    ) -> GradientHistogram:
        """The histogram of counts of the buckets from `first` on, which are not checked."""
        (negative_from, below), (positive_from, above) = _occupied(negative, first), _occupied(positive, first)
        return cls.trusted(
            negative=below,
            negative_from=negative_from,
            positive=above,
            positive_from=positive_from,
            zeros=zeros,
            non_finite=non_finite,
        )

    def _check(self) -> None:
        for name, first, counts in (
            ("negative", self.negative_from, self.negative),
            ("positive", self.positive_from, self.positive),
        ):
            if first + len(counts) > MAGNITUDES:
                raise RecordError(
                    f"GradientHistogram.{name} must lie in buckets 0 to {MAGNITUDES - 1}",
                    got=f"{len(counts)} counts from bucket {first} on",
                )


def _occupied(counts: Sequence[int], first: int) -> tuple[int, tuple[int, ...]]:
    """The first bucket that is not empty, and the counts from it to the last such; 0 and nothing if all are empty."""
    occupied = [place for place, count in enumerate(counts) if count]
    return (first + occupied[0], tuple(counts[occupied[0] : occupied[-1] + 1])) if occupied else (0, ())


@record
class ActivationStatistics(Record):
    """Activations of one layer.

    Attributes:
        count: Elements that were looked at.
        mean: Their mean, any float.
        std: Their standard deviation (population), any float.
        units: Units of the layer: channels of a feature map, else features.
        fired: Which units were ever above zero, or not a number: one bit a unit, the first in the highest bit of the first
            byte, as hexadecimal digits.
    """

    count: Count
    mean: float
    std: float
    units: Count
    fired: str

    def _check(self) -> None:
        if not set(self.fired) <= set(hexdigits) or len(self.fired) != 2 * -(-self.units // 8):
            raise RecordError(
                "ActivationStatistics.fired must have one bit a unit, in whole bytes, as hexadecimal digits",
                got=f"{self.fired[:40]!r} for {self.units} units",
            )

    @property
    def dead(self) -> int:
        """Units that never fired."""
        return self.units - int(self.fired or "0", 16).bit_count()


@record
class LayerStatistics(Record):
    """The layers over a stretch of batches: gradient flow always; histograms and activations while capture is dense.

    Attributes:
        epoch: Epoch of the batches, from 1.
        first_batch: Index of the first batch in that epoch.
        last_batch: Index of the last.
        batches: Batches that measured gradients, at most `last_batch - first_batch + 1`.
        gradient_rms: Root mean square of the gradient's elements, by layer, any float; layers without a gradient are missing.
        zero_batches: Batches in which every element of the layer's gradient was zero, by layer; layers without such are missing.
        histograms: Gradient histograms, by layer.
        activations: Activations, by layer.
    """

    epoch: Count
    first_batch: Count
    last_batch: Count
    batches: Count = 0
    gradient_rms: dict[str, float] = field(default_factory=dict)
    zero_batches: dict[str, Count] = field(default_factory=dict)
    histograms: dict[str, GradientHistogram] = field(default_factory=dict)
    activations: dict[str, ActivationStatistics] = field(default_factory=dict)


@record
class SeedLayerNorm(Record):
    """Gradient norm of one layer of a seed module over an epoch: the metric of the third requirement document.

    Attributes:
        slot_id: The slot.
        seed_id: The seed module.
        stage: Its stage.
        layer: The layer, named inside the seed module.
        value: Mean over the epoch's batches of the L2 norm of the layer's gradient, any float.
        epoch: The epoch, from 1.
        name: The metric's name.
        unit: The metric's unit.
    """

    slot_id: str
    seed_id: str | None
    stage: SeedStage
    layer: str
    value: float
    epoch: Count
    name: str = SEED_LAYER_NORM
    unit: str = "grad"


@record
class SeedLayers(Record):
    """The top layers of one seed module, in a compact event.

    Attributes:
        seed_id: The seed module.
        stage: Its stage.
        layers: Norms of its top layers, by the layer's name inside the seed module, any floats.
    """

    seed_id: str | None
    stage: SeedStage
    layers: dict[str, float]


@record
class SeedLayerNorms(Record):
    """All seed modules' top layers in one event, instead of one `SeedLayerNorm` each.

    Attributes:
        epoch: The epoch, from 1.
        slots: By slot.
        name: The metric's name.
        unit: The metric's unit.
    """

    epoch: Count
    slots: dict[str, SeedLayers]
    name: str = SEED_LAYER_NORM
    unit: str = "grad"
