"""What an episode measures on the attached model by itself: its state, its gradients, coalitions of its slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from karn_wandb.attribution import CounterfactualEngine, ModelEvaluator
from karn_wandb.capture import AttachedModel, SlotLike
from karn_wandb.capture.model import slot_width, stage_of
from karn_wandb.records import OCCUPIED, CounterfactualMatrix, EpisodeContext, KarnConfig, SlotSnapshot


class Instrument:
    """Measures one model.

    Args:
        config: Settings of the instrument.
        model: The network.
        slots: Its slots; found by structure when None.
        val_loader: Batches on which coalitions are evaluated; None evaluates none.
    """

    def __init__(
        self, config: KarnConfig, model: nn.Module, slots: Mapping[str, SlotLike] | None = None, val_loader: Any = None
    ) -> None:
        self._config = config
        self._attached = AttachedModel(model, slots)
        self._loader = val_loader

    @property
    def slot_ids(self) -> tuple[str, ...]:
        """Slots of the model."""
        return tuple(self._attached.slots)

    def gradient_norms(self) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Norm of the host's gradients, and of each seed module's, still on the device."""
        return self._attached.gradient_norms()

    def parameter_counts(self) -> dict[str, int]:
        """Fields of a `HostSnapshot`."""
        return self._attached.parameter_counts()

    def slot_snapshots(self) -> dict[str, SlotSnapshot]:
        """State of each slot."""
        return self._attached.slot_snapshots()

    def evaluate(self, epoch: int) -> CounterfactualMatrix | None:
        """The coalitions of the occupied slots, when there is a loader and it is the epoch for it."""
        if self._loader is None or epoch % self._config.counterfactual_every:
            return None
        slots = {name: slot for name, slot in self._attached.slots.items() if stage_of(slot) in OCCUPIED}
        if not slots:
            return None
        evaluator = ModelEvaluator(self._attached.model, self._loader, slots=slots)
        engine = CounterfactualEngine(self._config.counterfactual, seed=epoch)
        return engine.evaluate(slot_ids=tuple(slots), value=evaluator, epoch=epoch, alphas=evaluator.alphas)

    def complete(self, context: EpisodeContext) -> EpisodeContext:
        """The context with what the model says, where it says nothing yet."""
        return replace(
            context,
            host_params=context.host_params or self._attached.parameter_counts()["host_params"],
            host_architecture=context.host_architecture or type(self._attached.model).__name__,
            slot_config=context.slot_config or {name: slot_width(slot) for name, slot in self._attached.slots.items()},
        )
