"""Batches whose numbers are still on the device: kept as tensors, brought to the host together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from karn_wandb.capture.gradients import Floats, GradientLayout, GradientNorms, LayerNorms, Places
from karn_wandb.errors import RecordError
from karn_wandb.records import BatchMetrics, LayerStatistics

Measured = float | Tensor | None
Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class Flushed:
    """What became of the pending batches.

    Attributes:
        batches: Their records, in order, without those refused.
        layers: Gradient flow of the batches in `batches` that measured gradients: one record for each epoch, and more when
            seed modules came or went.
        layer_norms: The norms each of `layers` is made of, batch by batch, in the same order.
        refused: What was wrong with the batches that were left out; None when all is well.
    """

    batches: tuple[BatchMetrics, ...] = ()
    layers: tuple[LayerStatistics, ...] = ()
    layer_norms: tuple[LayerNorms, ...] = ()
    refused: RecordError | None = None


NOTHING = Flushed()


class PendingBatches:
    """Collects batches and turns them into records with one copy from each device.

    Args:
        interval: Batches after which a flush is due.
    """

    def __init__(self, interval: int = 32) -> None:
        self._interval = interval
        self._pending: list[_Batch] = []

    @property
    def due(self) -> bool:
        """Whether it is time to flush."""
        return len(self._pending) >= self._interval

    def add(
        self,
        epoch: int,
        batch_idx: int,
        values: Mapping[str, Measured],
        seed_grad_norms: Mapping[str, Measured],
        gradients: GradientNorms | None = None,
    ) -> None:
        """Keep one batch; reads no tensor's value.

        Args:
            epoch: Epoch the batch belongs to.
            batch_idx: Index in that epoch.
            values: Other fields of `BatchMetrics`, `loss` among them; those that are None are not there.
            seed_grad_norms: By slot.
            gradients: What was measured; a norm that is given in `values` or `seed_grad_norms` wins.

        Raises:
            RecordError: A tensor has not exactly one element; the batch is not kept.
        """
        self._pending.append(_Batch(epoch, batch_idx, _Held.of(values), _Held.of(seed_grad_norms), gradients))

    def flush(self) -> Flushed:
        """Bring all pending batches to the host."""
        if not self._pending:
            return NOTHING
        pending, self._pending = self._pending, []
        arrays = iter(to_host([tensor for batch in pending for tensor in batch.tensors()]))
        landed = [batch.landed(arrays) for batch in pending]
        measured = list(_measured(landed))
        modules = {row: norms for rows, layers in measured for row, norms in zip(rows, layers.by_module(), strict=True)}
        records: dict[int, BatchMetrics] = {}
        refused: list[RecordError] = []
        for row, batch in enumerate(landed):
            try:
                records[row] = batch.to_record(modules.get(row, {}))
            except RecordError as error:
                refused.append(error)
        stretches = [stretch for rows, layers in measured for stretch in _stretches(rows, layers, records)]
        return Flushed(
            batches=tuple(records.values()),
            layers=tuple(statistics for statistics, _ in stretches),
            layer_norms=tuple(norms for _, norms in stretches),
            refused=_together(refused),
        )


class _Landed(NamedTuple):
    """A batch whose numbers are on the host."""

    epoch: int
    batch_idx: int
    values: Numbers
    seed_grad_norms: Numbers
    layout: GradientLayout | None
    norms: tuple[tuple[Places, Floats], ...]

    def to_record(self, modules: Mapping[str | None, float]) -> BatchMetrics:
        """The record, with the measured norms of host (under None) and seed modules where none are given.

        Raises:
            RecordError: A number is not allowed; the message names epoch and batch.
        """
        values = {"host_grad_norm": modules.get(None), **self.values}
        norms = {slot_id: norm for slot_id, norm in modules.items() if slot_id is not None} | self.seed_grad_norms
        try:
            return BatchMetrics(self.epoch, self.batch_idx, **values, seed_grad_norms=norms)  # type: ignore[arg-type]
        except RecordError as error:
            place = f"epoch {self.epoch}, batch {self.batch_idx}"
            raise RecordError(f"{error.what} ({place})", got=error.got, do=error.do) from None


class _Held(NamedTuple):
    """Measurements, some of them still on a device.

    Attributes:
        numbers: By name, those that are Python numbers.
        waiting: By name, those that are tensors, free of their graph, and safe from later changes in place.
    """

    numbers: Numbers
    waiting: dict[str, Tensor]

    @classmethod
    def of(cls, values: Mapping[str, Measured]) -> _Held:
        """The measurements that exist; reads no value."""
        numbers: Numbers = {}
        waiting: dict[str, Tensor] = {}
        for name, value in values.items():
            if isinstance(value, Tensor):
                if value.numel() != 1:
                    raise RecordError(
                        f"{name} must be one number", got=f"a tensor of shape {tuple(value.shape)}", do="Take its mean."
                    )
                waiting[name] = (value.detach() if value.requires_grad else value).clone()
            elif value is not None:
                numbers[name] = value
        return cls(numbers, waiting)

    def landed(self, arrays: Iterator[Floats]) -> Numbers:
        """All of them as numbers, with the next arrays in place of the tensors."""
        return self.numbers | {name: next(arrays).item() for name in self.waiting}


class _Batch(NamedTuple):
    """A batch's place and its measurements."""

    epoch: int
    batch_idx: int
    values: _Held
    seed_grad_norms: _Held
    gradients: GradientNorms | None

    def tensors(self) -> Iterator[Tensor]:
        """The measurements that are still on a device."""
        yield from self.values.waiting.values()
        yield from self.seed_grad_norms.waiting.values()
        if self.gradients is not None:
            yield from self.gradients.vectors

    def landed(self, arrays: Iterator[Floats]) -> _Landed:
        """The batch, with the next arrays in place of its tensors."""
        values, seed_grad_norms = self.values.landed(arrays), self.seed_grad_norms.landed(arrays)
        if self.gradients is None:
            return _Landed(self.epoch, self.batch_idx, values, seed_grad_norms, None, ())
        norms = tuple((places, next(arrays)) for places in self.gradients.places)
        return _Landed(self.epoch, self.batch_idx, values, seed_grad_norms, self.gradients.layout, norms)


def to_host(tensors: Sequence[Tensor]) -> list[Floats]:
    """Values of tensors as flat arrays in double precision, by one copy from each device.

    Integers beyond 2**53 are rounded.
    """
    places: dict[torch.device, list[int]] = {}
    for place, tensor in enumerate(tensors):
        places.setdefault(tensor.device, []).append(place)
    copies = [_Copy([tensors[place] for place in there]) for there in places.values()]
    arrays: dict[int, Floats] = {}
    for copy, there in zip(copies, places.values(), strict=True):
        values, start = copy.wait(), 0
        for place in there:
            end = start + tensors[place].numel()
            arrays[place] = values[start:end]
            start = end
    return [arrays[place] for place in range(len(tensors))]


class _Copy:
    """Tensors of one device on their way to the host, begun before any other device is waited for."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        device = tensors[0].device
        precision = torch.float32 if device.type == "mps" else torch.float64  # MPS knows no double
        flat = [t.reshape(-1) if t.is_floating_point() else t.reshape(-1).to(precision) for t in tensors]
        self._buffer = torch.cat(flat).to(precision)
        self._event: torch.cuda.Event | None = None
        if device.type == "cuda":
            pinned = torch.empty(self._buffer.shape, dtype=precision, pin_memory=True)
            self._buffer = pinned.copy_(self._buffer, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(device))

    def wait(self) -> Floats:
        """The values, when they have arrived."""
        if self._event is not None:
            self._event.synchronize()
        values: Floats = self._buffer.cpu().numpy().astype(np.float64)
        return values


def _measured(batches: Sequence[_Landed]) -> Iterator[tuple[list[int], LayerNorms]]:
    """Of each layout: which batches it measured, and their layers' norms."""
    by_layout: dict[GradientLayout, list[int]] = {}
    for row, batch in enumerate(batches):
        if batch.layout is not None:
            by_layout.setdefault(batch.layout, []).append(row)
    for layout, rows in by_layout.items():
        yield rows, LayerNorms.of(layout, [batches[row].norms for row in rows])


def _stretches(
    rows: Sequence[int], layers: LayerNorms, records: Mapping[int, BatchMetrics]
) -> Iterator[tuple[LayerStatistics, LayerNorms]]:
    """The layers' norms split by epoch, with the record of each; batches that were refused are left out."""
    by_epoch: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        if row in records:
            by_epoch.setdefault(records[row].epoch, []).append(place)
    for epoch, places in by_epoch.items():
        norms = layers.take(places)
        yield norms.statistics(epoch, [records[rows[place]].batch_idx for place in places]), norms


def _together(refused: Sequence[RecordError]) -> RecordError | None:
    """The first error, with the number of others."""
    if len(refused) < 2:
        return refused[0] if refused else None
    first = refused[0]
    also = f" {len(refused) - 1} later batches were refused, too."
    return RecordError(first.what, got=first.got, do=first.do + also)
