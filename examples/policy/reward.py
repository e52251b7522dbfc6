"""What a controller is rewarded for: a sum of parts, each of which is logged."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from examples.slots import SeedSlot
from karn_wandb import SeedStage
from karn_wandb.records import RewardComponents

CREDITED = 10.0
"""Points of a slot's removal cost that are credited at most."""

PROGRESS = {
    SeedStage.GERMINATED: 0.25,
    SeedStage.TRAINING: 0.5,
    SeedStage.BLENDING: 1.0,
    SeedStage.HOLDING: 1.5,
    SeedStage.FOSSILIZED: 2.0,
}
"""How far a seed module has come."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each part counts.

    Attributes:
        accuracy: For each percentage point of accuracy gained in an epoch, and at the end for what taking out changes.
        attribution: For each percentage point of removal cost of a slot in an epoch, cut off at 10 points either way.
        rent: For each doubling of the parameters, by seed modules, in an epoch: a cost.
        shaping: For progress of seed modules from stage to stage. It is potential-based (Ng, Harada and Russell, "Policy
            invariance under reward transformations", 1999): over an episode it sums to nothing, so it changes how fast is
            learned and not what is best.
    """

    accuracy: float = 0.1
    attribution: float = 0.0
    rent: float = 0.005
    shaping: float = 0.2


def potential(slots: Iterable[SeedSlot]) -> float:
    """How far all seed modules have come together."""
    return sum(PROGRESS.get(slot.stage, 0.0) for slot in slots)


def parts(
    weights: Weights,
    *,
    gained: float,
    removal_costs: Collection[float],
    growth: float,
    progress: float,
    terminal: float | None,
) -> RewardComponents:
    """The reward of an epoch.

    Args:
        weights: How much each part counts.
        gained: Accuracy gained, percentage points.
        removal_costs: Of each slot that was measured, percentage points.
        growth: Parameters of seed modules over those of the host.
        progress: Change of the potential, which is 0 when the episode ends.
        terminal: What taking out what was not kept changed, percentage points; None before the end.
    """
    credited = sum(max(-CREDITED, min(CREDITED, cost)) for cost in removal_costs)
    return RewardComponents(
        base_accuracy_delta=weights.accuracy * gained,
        bounded_attribution=weights.attribution * credited if weights.attribution else None,
        compute_rent=-weights.rent * math.log2(1 + growth),
        pbrs_bonus=weights.shaping * progress,
        terminal_bonus=None if terminal is None else weights.accuracy * terminal,
    )


def total(reward: RewardComponents) -> float:
    """The sum of a reward's parts."""
    named = (getattr(reward, name) for name in RewardComponents.__dataclass_fields__ if name != "other")
    return sum(part for part in named if part is not None)
