"""Batches whose numbers are still on the device: kept as tensors, brought to the host together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from karn_wandb.capture.gradients import Floats, GradientLayout, GradientNorms, LayerNorms, Places
from karn_wandb.errors import RecordError
from karn_wandb.records import BatchMetrics, LayerStatistics

Measured = float | Tensor | None
Numbers = dict[str, float]
Norms = tuple[tuple[Places, Floats], ...]
NO_NORMS: Mapping[str | None, float] = MappingProxyType({})


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
        self._waiting: list[_Waiting] = []

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
        batch = _Batch(epoch, batch_idx, {}, {}, gradients)
        waiting = [*_held(values, batch.values), *_held(seed_grad_norms, batch.seed_grad_norms)]
        self._pending.append(batch)
        self._waiting += waiting

    def flush(self) -> Flushed:
        """Bring all pending batches to the host."""
        if not self._pending:
            return NOTHING
        pending, waiting = self._pending, self._waiting
        self._pending, self._waiting = [], []
        measured = list(_measured(pending, _landed(waiting, pending)))
        modules = {row: norms for rows, layers in measured for row, norms in zip(rows, layers.by_module(), strict=True)}
        records: dict[int, BatchMetrics] = {}
        refused: list[RecordError] = []
        for row, batch in enumerate(pending):
            try:
                records[row] = batch.to_record(modules.get(row, NO_NORMS))
            except RecordError as error:
                refused.append(error)
        stretches = [stretch for rows, layers in measured for stretch in _stretches(rows, layers, records)]
        return Flushed(
            batches=tuple(records.values()),
            layers=tuple(statistics for statistics, _ in stretches),
            layer_norms=tuple(norms for _, norms in stretches),
            refused=_together(refused),
        )


class _Batch(NamedTuple):
    """A batch's place and its measurements; those numbers that are still on a device are missing until they land."""

    epoch: int
    batch_idx: int
    values: Numbers
    seed_grad_norms: Numbers
    gradients: GradientNorms | None

    def to_record(self, modules: Mapping[str | None, float]) -> BatchMetrics:
        """The record, with the measured norms of host (under None) and seed modules where none are given.

        Raises:
            RecordError: A number is not allowed; the message names epoch and batch.
        """
        values = {"host_grad_norm": modules[None], **self.values} if None in modules else self.values
        norms = {slot_id: norm for slot_id, norm in modules.items() if slot_id is not None} | self.seed_grad_norms
        try:
            return BatchMetrics(self.epoch, self.batch_idx, **values, seed_grad_norms=norms)
        except RecordError as error:
            place = f"epoch {self.epoch}, batch {self.batch_idx}"
            raise RecordError(f"{error.what} ({place})", got=error.got, do=error.do) from None


class _Waiting(NamedTuple):
    """A number that is still on a device, and the place it goes to.

    Attributes:
        tensor: The number, free of its graph, and safe from later changes in place.
        numbers: Where it goes.
        name: Under which name.
    """

    tensor: Tensor
    numbers: Numbers
    name: str


def _held(values: Mapping[str, Measured], numbers: Numbers) -> list[_Waiting]:
    """Put what is a number already into `numbers`, and give what has to wait; reads no tensor's value."""
    waiting = []
    for name, value in values.items():
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise RecordError(
                    f"{name} must be one number", got=f"a tensor of shape {tuple(value.shape)}", do="Take its mean."
                )
            waiting.append(_Waiting((value.detach() if value.requires_grad else value).clone(), numbers, name))
        elif value is not None:
            numbers[name] = value
    return waiting


def _landed(waiting: Sequence[_Waiting], batches: Sequence[_Batch]) -> dict[int, Norms]:
    """Put the numbers that waited in their places, and give the norms of each batch that measured gradients, by its row."""
    measured = {row: batch.gradients for row, batch in enumerate(batches) if batch.gradients is not None}
    vectors = (vector for gradients in measured.values() for vector in gradients.vectors)
    arrays = iter(to_host([*(number.tensor for number in waiting), *vectors]))
    for _, numbers, name in waiting:
        numbers[name] = next(arrays).item()
    return {row: tuple((places, next(arrays)) for places in gradients.places) for row, gradients in measured.items()}


def to_host(tensors: Sequence[Tensor]) -> list[Floats]:
    """Values of tensors as flat arrays in double precision, by one copy from each device.

    Integers beyond 2**53 are rounded.
    """
    places: dict[torch.device, tuple[list[int], list[int]]] = {}
    for place, tensor in enumerate(tensors):
        places.setdefault(tensor.device, ([], []))[tensor.ndim > 0].append(place)
    copies = [_Copy(*([tensors[place] for place in part] for part in there)) for there in places.values()]
    arrays: dict[int, Floats] = {}
    for copy, (single, several) in zip(copies, places.values(), strict=True):
        values, start = copy.wait(), 0
        for place in (*single, *several):
            end = start + tensors[place].numel()
            arrays[place] = values[start:end]
            start = end
    return [arrays[place] for place in range(len(tensors))]


class _Copy:
    """Tensors of one device on their way to the host, begun before any other device is waited for.

    Args:
        single: Those without dimensions, which come first: joining them is one call for all.
        several: The others.
    """

    def __init__(self, single: Sequence[Tensor], several: Sequence[Tensor]) -> None:
        device = (*single, *several)[0].device
        precision = torch.float32 if device.type == "mps" else torch.float64  # MPS knows no double
        single, several = ([t if t.is_floating_point() else t.to(precision) for t in part] for part in (single, several))
        flat = [torch.stack(single)] if single else []
        self._buffer = torch.cat([*flat, *(t.reshape(-1) for t in several)]).to(precision)
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


def _measured(batches: Sequence[_Batch], norms: Mapping[int, Norms]) -> Iterator[tuple[list[int], LayerNorms]]:
    """Of each layout: which batches it measured, and their layers' norms."""
    by_layout: dict[GradientLayout, list[int]] = {}
    for row in norms:
        gradients = batches[row].gradients
        if gradients is not None:
            by_layout.setdefault(gradients.layout, []).append(row)
    for layout, rows in by_layout.items():
        yield rows, LayerNorms.of(layout, [norms[row] for row in rows])


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
