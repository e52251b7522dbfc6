"""The rule-based controller: germinate where the network has stalled, go through the gates, prune what does not help."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from examples import gates
from examples.gates import Reading
from examples.slots import SeedSlot
from examples.tasks import IMAGES, Task
from karn_wandb import FactoredAction, GateEvaluationTrace, SeedStage


@dataclass(frozen=True, slots=True)
class Proposal:
    """One thing the rules ask for.

    Attributes:
        slot: The slot it concerns.
        gate: The gate that was checked, if one was.
        target: Stage that the slot is to enter; None where it is to stay as it is.
        action: The same as an action.
        reason: Why, in words.
        seed: The seed module to germinate, if that is asked for.
    """

    slot: SeedSlot
    gate: GateEvaluationTrace | None
    target: SeedStage | None
    action: FactoredAction
    reason: str
    seed: nn.Module | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the controller did: a gate it checked, a change of stage it made, and the action in words."""

    slot: SeedSlot
    gate: GateEvaluationTrace | None
    from_stage: SeedStage
    action: FactoredAction
    reason: str


class Heuristic:
    """Decides once an epoch from what was measured on the steering part.

    Args:
        slots: The slots it controls; in any other of the host's nothing ever germinates.
        base_seed: Random seed of new seed modules' weights.
        last_germination: Last epoch at which a seed module may still germinate: later ones would have no time.
        task: What is learned: gives the plan, the blueprints and what the gates ask for.
        patience: Epochs a seed module may hold without contributing before it is pruned.
    """

    def __init__(
        self,
        slots: list[SeedSlot],
        base_seed: int,
        last_germination: int,
        task: Task = IMAGES,
        patience: int = 6,
    ) -> None:
        self.slots = {slot.slot_id: slot for slot in slots}
        self.thresholds = task.thresholds
        self._task = task
        self._base_seed = base_seed
        self._last_germination = last_germination
        self._patience = patience
        self._recent: deque[float] = deque(maxlen=3)
        self._held = dict.fromkeys(self.slots, 0)
        self._before_blending: dict[str, float] = {}

    def held(self, slot_id: str, removal_cost: float) -> int:
        """Epochs in a row, this one included, that the slot has contributed."""
        self._held[slot_id] = self._held[slot_id] + 1 if removal_cost >= self.thresholds.contribution else 0
        return self._held[slot_id]

    def score_before(self, slot_id: str) -> float | None:
        """Score when the slot's blending began: the last one with its seed module in training."""
        return self._before_blending.get(slot_id)

    def steps(self, epoch: int, score: float, readings: Mapping[str, Reading]) -> Iterator[Step]:
        """Everything that is to happen after an epoch, as in `proposals`; each step is done when it is yielded."""
        for proposal in self.proposals(epoch, score, readings):
            before = proposal.slot.stage
            if proposal.seed is not None and proposal.action.blueprint is not None:
                proposal.slot.germinate(proposal.action.blueprint, proposal.seed)
            elif proposal.target is not None:
                proposal.slot.enter(proposal.target)
            yield Step(proposal.slot, proposal.gate, before, proposal.action, proposal.reason)

    def proposals(self, epoch: int, score: float, readings: Mapping[str, Reading]) -> Iterator[Proposal]:
        """What is to happen after an epoch, one thing after the other; asked for once an epoch, carried out or not.

        Args:
            epoch: The epoch just completed.
            score: Score on the steering part.
            readings: What was measured of each slot that holds a seed module.
        """
        self._recent.append(score)
        for slot in self.slots.values():
            if slot.stage is SeedStage.TRAINING:
                self._before_blending[slot.slot_id] = score
            yield from self._advance(slot, readings.get(slot.slot_id))
        if epoch <= self._last_germination and self._stalled():
            yield from self._germinate()

    def _advance(self, slot: SeedSlot, reading: Reading | None) -> Iterator[Proposal]:
        match slot.stage:
            case SeedStage.GERMINATED:
                yield _through(slot, gates.g1(slot))
            case SeedStage.TRAINING if reading and slot.epochs_in_stage >= self.thresholds.training_epochs:
                yield _through_or_prune(slot, gates.g2(slot, reading, self.thresholds))
            case SeedStage.BLENDING if reading and slot.alpha >= 1:
                yield _through_or_prune(slot, gates.g3(slot, reading, self.thresholds))
            case SeedStage.HOLDING if reading:
                yield from self._judge(slot, reading)
            case SeedStage.PRUNED:
                yield _enter(slot, SeedStage.EMBARGOED, None, "the slot rests")
            case SeedStage.EMBARGOED:
                yield _enter(slot, SeedStage.RESETTING, None, "the slot is cleared")
            case SeedStage.RESETTING:
                yield _enter(slot, SeedStage.DORMANT, None, "the slot is free again")
            case _:
                return

    def _judge(self, slot: SeedSlot, reading: Reading) -> Iterator[Proposal]:
        contributes = gates.g4(slot, reading, self.thresholds)
        yield _wait(slot, contributes)
        if reading.held >= self.thresholds.held_epochs:
            yield _through(slot, gates.g5(slot, reading, self.thresholds))
        elif slot.epochs_in_stage >= self._patience:
            failed = contributes if not contributes.passed else gates.g5(slot, reading, self.thresholds)
            yield _enter(slot, SeedStage.PRUNED, failed, failed.message)

    def _stalled(self) -> bool:
        """Whether the last two epochs gained too little."""
        return len(self._recent) == 3 and self._recent[-1] - self._recent[0] < self.thresholds.stalled

    def _germinate(self) -> Iterator[Proposal]:
        """Plant the next blueprint of the first free slot, one seed module at a time in isolation."""
        if any(slot.stage in (SeedStage.GERMINATED, SeedStage.TRAINING) for slot in self.slots.values()):
            return
        for slot_id, blueprints in self._task.plan.items():
            slot = self.slots.get(slot_id)
            if slot is None or slot.stage is not SeedStage.DORMANT or slot.germinations >= len(blueprints):
                continue
            blueprint = blueprints[slot.germinations]
            seed = self.made(slot, blueprint)
            gate = gates.g0(slot, parameters(seed), self.present(), self.thresholds)
            action = FactoredAction(op="GERMINATE", slot=slot_id, blueprint=blueprint, blend="cosine", tempo=slot.blend_epochs)
            reason = f"learning has stalled; {gate.message}"
            passed = gate.passed
            yield Proposal(slot, gate, gate.target_stage if passed else None, action, reason, seed if passed else None)
            return

    def present(self) -> int:
        """Parameters of all seed modules that there are."""
        return sum(parameters(slot.seed) for slot in self.slots.values() if slot.seed is not None)

    def made(self, slot: SeedSlot, blueprint: str) -> nn.Module:
        """A new seed module, without a trace in PyTorch's own generator: the host's data order must not change.

        Its weights follow from the random seed and from the slot's width and count of germinations.
        """
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(1000 * self._base_seed + 10 * slot.channels + slot.germinations)
            return self._task.blueprints[blueprint](slot.channels)


def parameters(module: nn.Module) -> int:
    """How many parameters a module has."""
    return sum(p.numel() for p in module.parameters())


def _through(slot: SeedSlot, gate: GateEvaluationTrace) -> Proposal:
    if gate.passed and gate.target_stage is not None:
        return _enter(slot, gate.target_stage, gate, gate.message)
    return _wait(slot, gate)


def _through_or_prune(slot: SeedSlot, gate: GateEvaluationTrace) -> Proposal:
    return _through(slot, gate) if gate.passed else _enter(slot, SeedStage.PRUNED, gate, gate.message)


def _enter(slot: SeedSlot, stage: SeedStage, gate: GateEvaluationTrace | None, reason: str) -> Proposal:
    op = {SeedStage.FOSSILIZED: "FOSSILIZE", SeedStage.PRUNED: "PRUNE"}.get(stage, "ADVANCE")
    return Proposal(slot, gate, stage, FactoredAction(op=op, slot=slot.slot_id), reason)


def _wait(slot: SeedSlot, gate: GateEvaluationTrace) -> Proposal:
    return Proposal(slot, gate, None, FactoredAction(op="WAIT", slot=slot.slot_id), gate.message)
