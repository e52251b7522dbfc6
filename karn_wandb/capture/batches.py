"""Batches whose numbers are still on the device: kept as tensors, brought to the host together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from karn_wandb.records import BatchMetrics

Measured = float | Tensor | None


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch's place and its measurements, some of them tensors of one element."""

    epoch: int
    batch_idx: int
    values: dict[str, float | Tensor]
    seed_grad_norms: dict[str, float | Tensor]


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
        """Keep one batch; reads no tensor's value."""
        self._pending.append(PendingBatch(epoch, batch_idx, _held(values), _held(seed_grad_norms)))
        if len(self._pending) >= self._interval:
            self.flush()

    def flush(self) -> None:
        """Bring all pending batches to the host and emit them."""
        pending, self._pending = self._pending, []
        tensors = [
            v for batch in pending for v in (*batch.values.values(), *batch.seed_grad_norms.values()) if isinstance(v, Tensor)
        ]
        numbers = iter(to_host(tensors))
        for batch in pending:
            values = {name: next(numbers) if isinstance(v, Tensor) else v for name, v in batch.values.items()}
            norms = {name: next(numbers) if isinstance(v, Tensor) else v for name, v in batch.seed_grad_norms.items()}
            self._emit(
                BatchMetrics(
                    epoch=batch.epoch,
                    batch_idx=batch.batch_idx,
                    loss=values["loss"],
                    accuracy=values.get("accuracy"),
                    host_grad_norm=values.get("host_grad_norm"),
                    isolation_leakage=values.get("isolation_leakage"),
                    seed_grad_norms=norms,
                )
            )


def to_host(tensors: list[Tensor]) -> list[float]:
    """Values of tensors of one element each, by one copy."""
    if not tensors:
        return []
    values: list[float] = torch.stack([t.reshape(()).double() for t in tensors]).tolist()
    return values


def _held(values: Mapping[str, Measured]) -> dict[str, float | Tensor]:
    """The measurements that exist; tensors freed of their graph and safe from later changes in place."""
    return {name: v.detach().clone() if isinstance(v, Tensor) else v for name, v in values.items() if v is not None}
