"""What the live dashboard shows of a slot: stage, alpha, gate, and its part in the result."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from karn_wandb.records import OCCUPIED, CounterfactualMatrix, SeedStage, ShapleyEstimate, SlotSnapshot, StageTransition

RECENT_EPOCHS = 4
"""Epochs whose alphas are kept, the newest included."""

PARAMS_UNIT = 10_000
"""Efficiency is a contribution per so many parameters."""


@dataclass(frozen=True, slots=True)
class StageChange:
    """A slot's change of stage, told by an event or seen between two epochs."""

    slot_id: str
    before: SeedStage
    after: SeedStage
    epoch: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """The newest check of a gate in a slot."""

    gate: str
    passed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Contribution:
    """A slot's part in the result, from the newest counterfactual matrix.

    Attributes:
        slot_id: The slot.
        value: Shapley value, or removal cost where no Shapley values were computed; in the game's unit.
        margin: Half the width of its 95 % interval (the longer side), or 2 standard errors; None without either.
        positive: Whether the interval excludes zero from above; never without one.
        blueprint_id: Kind of the seed module in the slot now.
        seed_params: Its parameters, None when unknown.
    """

    slot_id: str
    value: float
    margin: float | None
    positive: bool
    blueprint_id: str | None
    seed_params: int | None

    @property
    def efficiency(self) -> float | None:
        """Value per `PARAMS_UNIT` parameters; None without parameters."""
        return self.value / self.seed_params * PARAMS_UNIT if self.seed_params else None


@dataclass(slots=True)
class SlotState:
    """One slot: where its seed module is in its life, and how its alpha moved over the last epochs."""

    stage: SeedStage = SeedStage.DORMANT
    blueprint_id: str | None = None
    seed_params: int | None = None
    gate: GateResult | None = None
    alphas: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_EPOCHS))

    def enter(self, stage: SeedStage) -> None:
        """Take the stage; an emptied slot forgets its seed module."""
        self.stage = stage
        if stage not in OCCUPIED:
            self.blueprint_id = self.seed_params = self.gate = None
            self.alphas.clear()

    def observe(self, snapshot: SlotSnapshot) -> None:
        """Take the state at the end of an epoch."""
        self.enter(snapshot.stage)
        if snapshot.stage in OCCUPIED:
            self.blueprint_id, self.seed_params = snapshot.blueprint_id, snapshot.seed_params
            self.alphas.append(snapshot.alpha)
        if snapshot.last_gate_attempted is not None and snapshot.last_gate_passed is not None:
            result = GateResult(snapshot.last_gate_attempted, snapshot.last_gate_passed, snapshot.last_gate_reason or "")
            if self.gate is None or result.why or (result.gate, result.passed) != (self.gate.gate, self.gate.passed):
                self.gate = result

    def observe_transition(self, change: StageTransition) -> None:
        """Take a change of stage between two epochs."""
        self.enter(change.to_stage)
        if change.to_stage in OCCUPIED:
            self.blueprint_id = change.blueprint_id or self.blueprint_id
            self.seed_params = self.seed_params if change.seed_params is None else change.seed_params
            if change.alpha is not None and (not self.alphas or self.alphas[-1] != change.alpha):
                self.alphas.append(change.alpha)

    def alpha_changes(self) -> tuple[float, ...]:
        """The alphas of the last epochs, to two decimals, each value once in a row; the newest last."""
        rounded = [round(alpha, 2) for alpha in self.alphas]
        return tuple(alpha for at, alpha in enumerate(rounded) if at == 0 or alpha != rounded[at - 1])


def contributions(matrix: CounterfactualMatrix, slots: Mapping[str, SlotState]) -> tuple[Contribution, ...]:
    """Each slot's part in the result: Shapley values, or removal costs where there are none."""
    if matrix.shapley_values:
        return tuple(_contribution(slot_id, slots, estimate) for slot_id, estimate in matrix.shapley_values.items())
    costs = matrix.marginal_contributions.items()
    return tuple(_contribution(slot_id, slots, ShapleyEstimate(cost, None, 0)) for slot_id, cost in costs)


def _contribution(slot_id: str, slots: Mapping[str, SlotState], estimate: ShapleyEstimate) -> Contribution:
    """With the interval given, else the requirement's plain rule mean - 2*std > 0 (review, P1-4), else without a claim."""
    slot = slots.get(slot_id, SlotState())
    margin = _margin(estimate)
    low = estimate.mean - margin if estimate.ci_low is None and margin is not None else estimate.ci_low
    positive = low is not None and low > 0
    return Contribution(slot_id, estimate.mean, margin, positive, slot.blueprint_id, slot.seed_params)


def _margin(estimate: ShapleyEstimate) -> float | None:
    if estimate.ci_low is not None and estimate.ci_high is not None:
        return max(estimate.mean - estimate.ci_low, estimate.ci_high - estimate.mean)
    return None if estimate.std is None else 2 * estimate.std
