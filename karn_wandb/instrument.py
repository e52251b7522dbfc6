"""What an episode measures by itself: batches still on the device, the attached model, coalitions of its slots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from karn_wandb.attribution import CounterfactualEngine, ModelEvaluator
from karn_wandb.capture import AttachedModel, PendingBatches, SlotLike
from karn_wandb.capture.batches import Measured
from karn_wandb.capture.model import slot_width
from karn_wandb.records import (
    OCCUPIED,
    BatchMetrics,
    CounterfactualMatrix,
    EpisodeContext,
    KarnConfig,
    SeedStage,
    SlotSnapshot,
)


class Instrument:
    """Measures for one episode; without a model only what its batches say.

    Args:
        emit: Takes finished batch records.
        config: Settings of the instrument.
        model: The network.
        slots: Its slots; found by structure when None.
        val_loader: Batches on which coalitions are evaluated; None evaluates none.
    """

    def __init__(
        self,
        emit: Callable[[BatchMetrics], object],
        config: KarnConfig,
        model: nn.Module | None = None,
        slots: Mapping[str, SlotLike] | None = None,
        val_loader: Any = None,
    ) -> None:
        self._emit = emit
        self._config = config
        self._attached = AttachedModel(model, slots) if model is not None else None
        self._loader = val_loader
        self._pending = PendingBatches(self._take)
        self._sums: dict[str, list[float]] = defaultdict(list)
        self._seed_norms: dict[str, list[float]] = defaultdict(list)

    @property
    def slot_ids(self) -> tuple[str, ...]:
        """Slots of the attached model."""
        return tuple(self._attached.slots) if self._attached else ()

    def add_batch(
        self, epoch: int, batch_idx: int, values: Mapping[str, Measured], seed_grad_norms: Mapping[str, Measured]
    ) -> None:
        """Keep a batch; gradient norms that were not given are measured on the attached model."""
        if self._attached is not None and values.get("host_grad_norm") is None:
            host, seeds = self._attached.gradient_norms()
            values = {**values, "host_grad_norm": host}
            seed_grad_norms = {**seeds, **seed_grad_norms}
        self._pending.add(epoch, batch_idx, values, seed_grad_norms)

    def flush(self) -> None:
        """Bring pending batches to the host."""
        self._pending.flush()

    def start_epoch(self) -> None:
        """Forget the last epoch's means."""
        self._sums.clear()
        self._seed_norms.clear()

    def measure(self) -> dict[str, Any]:
        """Fields of a `HostSnapshot` that follow from the epoch's batches and the attached model."""
        means = {name: _mean(values) for name, values in self._sums.items()}
        measured: dict[str, Any] = {**means}
        if self._seed_norms:
            measured["seed_grad_norms"] = {slot: _mean(values) for slot, values in self._seed_norms.items()}
        return measured | (self._attached.parameter_counts() if self._attached else {})

    def slot_snapshots(self) -> dict[str, SlotSnapshot]:
        """State of each slot of the attached model."""
        return self._attached.slot_snapshots() if self._attached else {}

    def evaluate(self, epoch: int) -> CounterfactualMatrix | None:
        """The coalitions of the occupied slots, when there is a loader and it is the epoch for it."""
        if self._attached is None or self._loader is None or epoch % self._config.counterfactual_every:
            return None
        slots = {name: slot for name, slot in self._attached.slots.items() if SeedStage(slot.stage) in OCCUPIED}
        if not slots:
            return None
        evaluator = ModelEvaluator(self._attached.model, self._loader, slots=slots)
        engine = CounterfactualEngine(self._config.counterfactual, seed=epoch)
        alphas = {name: float(slot.alpha) for name, slot in slots.items()}
        return engine.evaluate(slot_ids=tuple(slots), value=evaluator, epoch=epoch, alphas=alphas)

    def complete(self, context: EpisodeContext) -> EpisodeContext:
        """The context with what the model says, where it says nothing yet."""
        if self._attached is None:
            return context
        counts = self._attached.parameter_counts()
        return replace(
            context,
            host_params=context.host_params or counts["host_params"],
            host_architecture=context.host_architecture or type(self._attached.model).__name__,
            slot_config=context.slot_config or {name: slot_width(slot) for name, slot in self._attached.slots.items()},
        )

    def _take(self, batch: BatchMetrics) -> None:
        measured = {"train_loss": batch.loss, "train_accuracy": batch.accuracy, "host_grad_norm": batch.host_grad_norm}
        for name, value in measured.items():
            if value is not None:
                self._sums[name].append(value)
        for slot, norm in batch.seed_grad_norms.items():
            self._seed_norms[slot].append(norm)
        self._emit(batch)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
