"""Coalition games of slots: evaluated, attributed, and what may be claimed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from karn_wandb.attribution.claims import claims
from karn_wandb.attribution.engine import CounterfactualEngine
from karn_wandb.attribution.interactions import interaction_index
from karn_wandb.attribution.onset import contribution_onset_epoch
from karn_wandb.attribution.values import BatchValue, PartialValue, SlotAware, ValueFunction

if TYPE_CHECKING:
    from karn_wandb.attribution.evaluator import ModelEvaluator

__all__ = [
    "BatchValue",
    "CounterfactualEngine",
    "ModelEvaluator",
    "PartialValue",
    "SlotAware",
    "ValueFunction",
    "claims",
    "contribution_onset_epoch",
    "interaction_index",
]


def __getattr__(name: str) -> object:
    """Load torch only when a model is to be evaluated."""
    if name == "ModelEvaluator":
        from karn_wandb.attribution.evaluator import ModelEvaluator  # noqa: PLC0415 -- torch takes seconds to load

        return ModelEvaluator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
