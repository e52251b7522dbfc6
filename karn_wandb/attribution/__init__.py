"""Coalition games of slots: evaluated, attributed, and what may be claimed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from karn_wandb.attribution.claims import claims
from karn_wandb.attribution.engine import CounterfactualEngine
from karn_wandb.attribution.estimates import banzhaf_values, removal_costs, shapley_estimates
from karn_wandb.attribution.interactions import interaction_estimates, interaction_index
from karn_wandb.attribution.onset import Period, contribution_onset_epoch, contribution_periods
from karn_wandb.attribution.uncertainty import Estimate
from karn_wandb.attribution.values import BatchValue, PartialValue, SelfChecking, SlotAware, ValueFunction

if TYPE_CHECKING:
    from karn_wandb.attribution.model.evaluator import ModelEvaluator

__all__ = [
    "BatchValue",
    "CounterfactualEngine",
    "Estimate",
    "ModelEvaluator",
    "PartialValue",
    "Period",
    "SelfChecking",
    "SlotAware",
    "ValueFunction",
    "banzhaf_values",
    "claims",
    "contribution_onset_epoch",
    "contribution_periods",
    "interaction_estimates",
    "interaction_index",
    "removal_costs",
    "shapley_estimates",
]


def __getattr__(name: str) -> object:
    """Load torch only when a model is to be evaluated."""
    if name == "ModelEvaluator":
        from karn_wandb.attribution.model.evaluator import ModelEvaluator  # noqa: PLC0415 -- torch takes seconds to load

        return ModelEvaluator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
