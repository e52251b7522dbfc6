"""One host in training as an environment: a decision before each epoch, a reward after it.

An episode is one short training. What must happen by itself does (a germinated seed module begins to train, one that is
blended in is held, a pruned slot rests and is free again); the rest is the controller's: when to germinate what and where,
when and how to blend it in, whether to keep it. What is not fossilized when the training ends is taken out.

The controller sees the steering part alone. Everything random in a host follows from its random seed, so two hosts with
the same seed and the same actions are the same host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from examples.dataset import Dataset
from examples.heuristic import Heuristic, Proposal, parameters
from examples.policy import reward
from examples.policy.actions import Legal, Space
from examples.policy.reward import Weights
from examples.slots import CURVES, SeedSlot
from examples.tasks import Recipe
from examples.train import Batch, Optimizers, evaluate, read
from karn_wandb import FactoredAction, SeedStage
from karn_wandb.records import RewardComponents, StageTransition

ONWARD = {
    SeedStage.GERMINATED: SeedStage.TRAINING,
    SeedStage.PRUNED: SeedStage.EMBARGOED,
    SeedStage.EMBARGOED: SeedStage.RESETTING,
    SeedStage.RESETTING: SeedStage.DORMANT,
}
"""Stages that are left by themselves after an epoch."""

LIVING = (SeedStage.TRAINING, SeedStage.BLENDING, SeedStage.HOLDING)
"""Stages in which a seed module may be pruned, and is when the training ends."""

SHOWN = (
    (SeedStage.DORMANT,),
    (SeedStage.GERMINATED, SeedStage.TRAINING),
    (SeedStage.BLENDING,),
    (SeedStage.HOLDING,),
    (SeedStage.FOSSILIZED,),
    (SeedStage.PRUNED, SeedStage.EMBARGOED, SeedStage.RESETTING),
)
"""What an observation tells apart."""

DECIDER = "controller"
"""Who initiates what does not happen by itself; the run says which controller it is."""

DECIDED = (SeedStage.DORMANT, *LIVING)
"""Stages that a controller decides in."""

HEURISTIC_BLEND = "cosine"
"""How the heuristic blends in: here that is said when the blending begins."""


class Step(NamedTuple):
    """What came of a decision.

    Attributes:
        reward: Its parts.
        changes: Changes of stage since the decision.
    """

    reward: RewardComponents
    changes: tuple[StageTransition, ...]


class Growth:
    """A host in training.

    Args:
        data: What it learns.
        recipe: How.
        base_seed: Random seed of its weights, its batches and its seed modules.
        weights: What the reward is made of.

    Attributes:
        model: The host.
        epoch: Epochs completed.
        score: Accuracy on the steering part, percent.
        readings: What was measured of each slot whose seed module is not fossilized.
        shadow: What the heuristic would do now.
        heuristic: It, following the training and doing nothing.
    """

    def __init__(self, data: Dataset, recipe: Recipe, base_seed: int, weights: Weights) -> None:
        self.data, self.recipe, self.base_seed, self.weights = data, recipe, base_seed, weights
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(base_seed)
            self.model = data.task.host(recipe, len(data.classes))
        self.slots = {slot.slot_id: slot for slot in self.model.slots()}
        self.space = Space(tuple(self.slots), tuple(data.task.blueprints))
        self.host_params = sum(p.numel() for p in self.model.host_parameters())
        self.heuristic = Heuristic(self.model.slots(), base_seed, recipe.last_germination, data.task)
        self.epoch = 0
        self.score = self.gained = 0.0
        self._optimizers = Optimizers(self.model, recipe, data.steps(recipe.batch_size))
        self._order = torch.Generator().manual_seed(base_seed)
        self._changes: list[StageTransition] = []
        self._measure()

    @property
    def done(self) -> bool:
        """Whether the training is over."""
        return self.epoch >= self.recipe.epochs

    def legal(self) -> Legal:
        """What may be done now."""
        stages = {name: slot.stage for name, slot in self.slots.items()}
        room = self.data.task.thresholds.parameter_budget - self.heuristic.present()
        fitting = {name: {b for b in self.space.blueprints if self.size(name, b) <= room} for name in stages}
        return self.space.legal(
            {
                "GERMINATE": {n for n, stage in stages.items() if stage is SeedStage.DORMANT and fitting[n]},
                "ADVANCE": {n for n, stage in stages.items() if stage is SeedStage.TRAINING},
                "FOSSILIZE": {n for n, stage in stages.items() if stage is SeedStage.HOLDING},
                "PRUNE": {n for n, stage in stages.items() if stage in LIVING},
            },
            fitting,
        )

    def size(self, slot_id: str, blueprint: str) -> int:
        """Parameters that a seed module would have there."""
        return _size(self.data.task.blueprints[blueprint], self.slots[slot_id].channels)

    def observation(self) -> Tensor:
        """What the controller sees, (features,), each number of the order of 1."""
        seen = [self.epoch / self.recipe.epochs, self.score / 100, self.gained / 20]
        for name, slot in self.slots.items():
            reading = self.readings.get(name)
            seen += [float(slot.stage in stages) for stages in SHOWN]
            seen += [slot.alpha, min(slot.epochs_in_stage, 8) / 8]
            seen += [reading.removal_cost / 20, (reading.score_full - reading.score) / 20] if reading else [0.0, 0.0]
            seen.append(math.log2(1 + (parameters(slot.seed) if slot.seed else 0) / self.host_params) / 8)
        return torch.tensor(seen)

    def situation(self) -> str:
        """What it is like before the decision, in words."""
        told = [f"after epoch {self.epoch}, {self.score:.1f} % ({self.gained:+.1f}) on the steering part"]
        for name, slot in self.slots.items():
            if slot.stage is SeedStage.DORMANT:
                continue
            words = f"{name} {slot.stage.name} ({slot.blueprint_id})" if slot.blueprint_id else f"{name} {slot.stage.name}"
            reading = self.readings.get(name)
            if slot.stage is SeedStage.TRAINING and reading is not None:
                words += f", {reading.score_full - reading.score:+.1f} points if it were switched on"
            elif reading is not None and slot.alpha > 0:
                words += f", removal cost {reading.removal_cost:+.1f} points"
            told.append(words)
        return "; ".join(told)

    def step(self, action: FactoredAction, on_batch: Callable[[Batch], None] = lambda batch: None) -> Step:  # noqa: ARG005 -- named for the reader
        """Do it, train one epoch, and measure.

        Args:
            action: What to do; legal now.
            on_batch: Called with what every batch gave.
        """
        before, potential = self.score, reward.potential(self.slots.values())
        self._carry_out(action)
        for slot in self.slots.values():
            slot.begin_epoch()
        for inputs, targets in self.data.epoch(self.recipe.batch_size, self._order):
            on_batch(self._optimizers.step(inputs, targets))
        self.epoch += 1
        self._mature()
        self._measure()
        self.gained = self.score - before
        terminal = self._conclude() if self.done else None
        parts = reward.parts(
            self.weights,
            gained=self.gained,
            removal_costs=[reading.removal_cost for reading in self.readings.values()],
            growth=self.heuristic.present() / self.host_params,
            progress=(0.0 if self.done else reward.potential(self.slots.values())) - potential,
            terminal=terminal,
        )
        changes, self._changes = tuple(self._changes), []
        return Step(parts, changes)

    def _carry_out(self, action: FactoredAction) -> None:
        if action.slot is None:
            return
        slot = self.slots[action.slot]
        match action.op:
            case "GERMINATE" if action.blueprint is not None:
                slot.germinate(action.blueprint, self.heuristic.made(slot, action.blueprint))
                self._note(slot, SeedStage.DORMANT, DECIDER)
            case "ADVANCE":
                slot.curve = CURVES[action.blend or "cosine"]
                self._enter(slot, SeedStage.BLENDING, DECIDER)
            case "FOSSILIZE":
                self._enter(slot, SeedStage.FOSSILIZED, DECIDER)
            case "PRUNE":
                self._enter(slot, SeedStage.PRUNED, DECIDER)

    def _mature(self) -> None:
        """What happens by itself after an epoch."""
        for slot in self.slots.values():
            if slot.stage in ONWARD:
                self._enter(slot, ONWARD[slot.stage], "automatic")
            elif slot.stage is SeedStage.BLENDING and slot.alpha >= 1:
                self._enter(slot, SeedStage.HOLDING, "automatic")

    def _conclude(self) -> float:
        """Take out what was not kept; gives what that changed, in points of accuracy."""
        for slot in self.slots.values():
            if slot.stage in LIVING:
                self._enter(slot, SeedStage.PRUNED, "automatic")
        before, self.score = self.score, self._accuracy()
        return self.score - before

    def _enter(self, slot: SeedSlot, stage: SeedStage, initiator: str) -> None:
        before = slot.stage
        slot.enter(stage)
        self._note(slot, before, initiator)

    def _note(self, slot: SeedSlot, before: SeedStage, initiator: str) -> None:
        reading = self.readings.get(slot.slot_id)
        self._changes.append(
            StageTransition(
                slot_id=slot.slot_id,
                from_stage=before,
                to_stage=slot.stage,
                epoch=self.epoch,
                seed_id=slot.seed_id,
                blueprint_id=slot.blueprint_id,
                alpha=slot.alpha,
                counterfactual_contribution=reading.removal_cost if reading else None,
                initiator=initiator,
            )
        )

    def _accuracy(self) -> float:
        return evaluate(self.model, self.data.steering)[1]

    def _measure(self) -> None:
        """Score, slots, and what the heuristic would do now."""
        self.score = self._accuracy()
        growing = [s for s in self.slots.values() if s.seed is not None and s.stage is not SeedStage.FOSSILIZED]
        self.readings = {s.slot_id: read(self.model, s, self.heuristic, self.data, self.score) for s in growing}
        self.shadow = _decision(self.heuristic.proposals(self.epoch, self.score, self.readings))


@dataclass(frozen=True, slots=True)
class Shadow:
    """What the heuristic would do, and why."""

    action: FactoredAction
    reason: str


def _decision(proposals: Iterator[Proposal]) -> Shadow:
    """The first that is a controller's to decide: all others happen by themselves, or ask for nothing."""
    for proposal in proposals:
        if proposal.target is not None and proposal.slot.stage in DECIDED:
            blend = HEURISTIC_BLEND if proposal.action.op == "ADVANCE" else None
            return Shadow(replace(proposal.action, blend=blend, tempo=None), proposal.reason)
    return Shadow(FactoredAction(op="WAIT"), "no rule asks for anything")


@cache
def _size(blueprint: Callable[[int], nn.Module], channels: int) -> int:
    with torch.device("meta"):
        return parameters(blueprint(channels))
