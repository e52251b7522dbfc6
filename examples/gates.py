"""Gates G0 to G5: what must hold before a seed module may enter its next stage. Each check is a number and a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from examples.slots import SeedSlot
from karn_wandb import GateEvaluationTrace, SeedStage
from karn_wandb.records import Gate


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the gates ask for; tuned on random seeds 100 and 101, which no report uses.

    A *score* is the task's metric in the direction in which more is better: percent accuracy, or minus bits per character.
    The defaults are in percentage points of accuracy.

    Attributes:
        parameter_budget: Parameters that all seed modules together may have.
        stalled: Score that the last two epochs must have gained, at least, or the network has stalled.
        training_epochs: Epochs a seed module trains in isolation.
        potential: Score with it at alpha 1 minus without it, at least; before blending.
        host_loss: Score that blending may cost, at most.
        contribution: Removal cost, at least, in units of the score.
        held_epochs: Epochs in a row that the contribution must hold.
    """

    parameter_budget: int = 30_000
    stalled: float = 2.0
    training_epochs: int = 3
    potential: float = -5.0
    host_loss: float = 3.0
    contribution: float = 0.5
    held_epochs: int = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """What is measured of a slot after an epoch, on the steering part.

    Attributes:
        score: Score of the network as it is.
        score_without: Score with the slot switched off.
        score_full: Score with the slot at alpha 1; measured while it is TRAINING.
        score_before: Score when the blending began; None before it.
        gradient_norm: L2 norm of the seed module's gradients at the epoch's last batch.
        held: Epochs in a row with a removal cost above the threshold.
    """

    score: float
    score_without: float
    score_full: float
    score_before: float | None
    gradient_norm: float
    held: int

    @property
    def removal_cost(self) -> float:
        """Score with minus without the slot."""
        return self.score - self.score_without


Check = tuple[str, float, float, bool]
"""Name, measurement, threshold, whether it held."""


def g0(slot: SeedSlot, new_parameters: int, present: int, thresholds: Thresholds) -> GateEvaluationTrace:
    """Germinate: the slot is free, and the budget allows it."""
    total = new_parameters + present
    return _trace(
        slot,
        "G0",
        SeedStage.GERMINATED,
        ("slot_free", float(slot.stage), float(SeedStage.DORMANT), slot.stage is SeedStage.DORMANT),
        ("budget", total, thresholds.parameter_budget, total <= thresholds.parameter_budget),
    )


def g1(slot: SeedSlot) -> GateEvaluationTrace:
    """Train: isolated, and every parameter finite."""
    finite = all(bool(p.isfinite().all()) for p in slot.seed.parameters()) if slot.seed else False
    return _trace(
        slot, "G1", SeedStage.TRAINING, ("isolated", slot.alpha, 0.0, slot.alpha == 0), ("finite", float(finite), 1.0, finite)
    )


def g2(slot: SeedSlot, reading: Reading, thresholds: Thresholds) -> GateEvaluationTrace:
    """Blend: trained for long enough, gradients healthy, and worth trying."""
    potential = reading.score_full - reading.score_without
    healthy = math.isfinite(reading.gradient_norm) and reading.gradient_norm > 0
    return _trace(
        slot,
        "G2",
        SeedStage.BLENDING,
        ("trained", slot.epochs_in_stage, thresholds.training_epochs, slot.epochs_in_stage >= thresholds.training_epochs),
        ("gradient_health", reading.gradient_norm, 0.0, healthy),
        ("potential", potential, thresholds.potential, potential >= thresholds.potential),
    )


def g3(slot: SeedSlot, reading: Reading, thresholds: Thresholds) -> GateEvaluationTrace:
    """Hold: alpha has reached 1, and the network is not worse for it."""
    before = reading.score if reading.score_before is None else reading.score_before
    cost = before - reading.score
    return _trace(
        slot,
        "G3",
        SeedStage.HOLDING,
        ("alpha", slot.alpha, 1.0, slot.alpha >= 1),
        ("host_not_hurt", cost, thresholds.host_loss, cost <= thresholds.host_loss),
    )


def g4(slot: SeedSlot, reading: Reading, thresholds: Thresholds) -> GateEvaluationTrace:
    """Contribute: switching it off costs score now. This is removal cost, not causal contribution."""
    cost = reading.removal_cost
    return _trace(slot, "G4", None, ("removal_cost", cost, thresholds.contribution, cost >= thresholds.contribution))


def g5(slot: SeedSlot, reading: Reading, thresholds: Thresholds) -> GateEvaluationTrace:
    """Fossilize: the contribution has held for long enough."""
    held = reading.held
    return _trace(slot, "G5", SeedStage.FOSSILIZED, ("held", held, thresholds.held_epochs, held >= thresholds.held_epochs))


def _trace(slot: SeedSlot, gate: Gate, target: SeedStage | None, *checks: Check) -> GateEvaluationTrace:
    failed = tuple(name for name, _, _, held in checks if not held)
    said = ", ".join(f"{name} {measured:g} against {threshold:g}" for name, measured, threshold, _ in checks)
    return GateEvaluationTrace(
        slot_id=slot.slot_id,
        gate=gate,
        passed=not failed,
        target_stage=target,
        seed_id=slot.seed_id,
        checks_passed=tuple(name for name, _, _, held in checks if held),
        checks_failed=failed,
        measurements={name: measured for name, measured, _, _ in checks},
        thresholds={name: threshold for name, _, threshold, _ in checks},
        message=f"{gate} {'passed' if not failed else 'not passed'}: {said}",
    )
