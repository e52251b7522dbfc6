"""Batches whose numbers are still on the device: kept as tensors, brought to the host together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from karn_wandb.errors import RecordError
from karn_wandb.records import BatchMetrics

Measured = float | Tensor | None
Held = dict[str, float | Tensor]


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch's place and its measurements, some of them tensors of one element."""

    epoch: int
    batch_idx: int
    values: Held
    seed_grad_norms: Held

    def tensors(self) -> Iterator[Tensor]:
        """The measurements that are still on a device."""
        for value in (*self.values.values(), *self.seed_grad_norms.values()):
            if isinstance(value, Tensor):
                yield value

    def to_record(self, numbers: Iterator[float]) -> BatchMetrics:
        """The record, with the next numbers in place of the tensors.

        Raises:
            RecordError: A number is not allowed; the message names epoch and batch.
        """
        values = {name: next(numbers) if isinstance(v, Tensor) else v for name, v in self.values.items()}
        norms = {name: next(numbers) if isinstance(v, Tensor) else v for name, v in self.seed_grad_norms.items()}
        try:
            return BatchMetrics(self.epoch, self.batch_idx, **values, seed_grad_norms=norms)
        except RecordError as error:
            place = f"epoch {self.epoch}, batch {self.batch_idx}"
            raise RecordError(f"{error.what} ({place})", got=error.got, do=error.do) from None


class PendingBatches:
    """Collects batches and turns them into records with one copy from the device.

    Args:
        emit: Takes the finished records, in order.
        interval: Batches after which they are brought to the host.
    """

    def __init__(self, emit: Callable[[BatchMetrics], object], interval: int = 32) -> None:
        self._emit = emit
        self._interval = interval
        self._pending: list[PendingBatch] = []

    def add(self, epoch: int, batch_idx: int, values: Mapping[str, Measured], seed_grad_norms: Mapping[str, Measured]) -> None:
        """Keep one batch; reads no tensor's value.

        Args:
            epoch: Epoch the batch belongs to.
            batch_idx: Index in that epoch.
            values: Other fields of `BatchMetrics`, `loss` among them.
            seed_grad_norms: By slot.

        Raises:
            RecordError: A tensor has not exactly one element; or, when it is time to flush, what `flush` raises.
        """
        self._pending.append(PendingBatch(epoch, batch_idx, _held(values), _held(seed_grad_norms)))
        if len(self._pending) >= self._interval:
            self.flush()

    def flush(self) -> None:
        """Bring all pending batches to the host and emit them.

        Raises:
            RecordError: A batch has a bad value; it is left out, all others are emitted before this is raised.
        """
        pending, self._pending = self._pending, []
        numbers = iter(to_host([tensor for batch in pending for tensor in batch.tensors()]))
        refused: list[RecordError] = []
        for batch in pending:
            try:
                record = batch.to_record(numbers)
            except RecordError as error:
                refused.append(error)
            else:
                self._emit(record)
        if refused:
            first, others = refused[0], len(refused) - 1
            also = f" {others} later batches were refused, too." if others else ""
            raise RecordError(first.what, got=first.got, do=first.do + also)


def to_host(tensors: list[Tensor]) -> list[float]:
    """Values of tensors of one element each, by one copy from each device and of each type."""
    values = [0.0] * len(tensors)
    for kind in dict.fromkeys((t.device, t.dtype) for t in tensors):
        places = [place for place, t in enumerate(tensors) if (t.device, t.dtype) == kind]
        numbers = torch.stack([tensors[place].reshape(()) for place in places]).tolist()
        for place, number in zip(places, numbers, strict=True):
            values[place] = number
    return values


def _held(values: Mapping[str, Measured]) -> Held:
    """The measurements that exist; tensors freed of their graph and safe from later changes in place."""
    held: Held = {}
    for name, value in values.items():
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise RecordError(
                    f"{name} must be one number", got=f"a tensor of shape {tuple(value.shape)}", do="Take its mean."
                )
            held[name] = value.detach().clone()
        elif value is not None:
            held[name] = value
    return held
