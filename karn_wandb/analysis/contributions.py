"""How slots' contributions and their interactions went over the epochs that were evaluated."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from karn_wandb.attribution.estimates import removal_costs
from karn_wandb.attribution.onset import Period, contribution_periods
from karn_wandb.attribution.uncertainty import Estimate
from karn_wandb.records import CounterfactualMatrix, EpochSnapshot, InteractionEstimate, SeedStage, ShapleyEstimate

ONSET_EPOCHS = 3
"""Evaluations in a row that begin or end a contribution."""


@dataclass(frozen=True, slots=True)
class ContributionPoint:
    """What one evaluation says of a slot.

    Attributes:
        epoch: Epoch of the evaluation.
        shapley: The slot's Shapley value with its uncertainty; None when too little was evaluated to say.
        removal_cost: All slots on minus all but this one, with its uncertainty; None when either was not evaluated.
        alpha: What "on" meant; from the epoch's snapshot where the matrix does not tell. None when neither does.
        stage: Of the seed module in the slot, from the epoch's snapshot; None without one.
    """

    epoch: int
    shapley: ShapleyEstimate | None = None
    removal_cost: Estimate | None = None
    alpha: float | None = None
    stage: SeedStage | None = None


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """What is remembered of a matrix: no coalitions, whose outcomes would fill the memory."""

    points: dict[str, ContributionPoint]
    interactions: dict[frozenset[str], InteractionEstimate]


class Contributions:
    """Remembers what matrices said of slots; an epoch evaluated twice counts once, with its newest matrix.

    Args:
        max_epochs: Evaluations, and snapshots, that are remembered.
    """

    def __init__(self, max_epochs: int) -> None:
        self._matrices: deque[tuple[int, _Evaluated]] = deque(maxlen=max_epochs)
        self._slots: deque[tuple[int, dict[str, tuple[SeedStage, float]]]] = deque(maxlen=max_epochs)

    def observe_matrix(self, matrix: CounterfactualMatrix) -> None:
        """Remember what a matrix says of each of its slots and pairs."""
        estimates = matrix.shapley_values or {}
        costs = removal_costs(matrix) if matrix.slot_ids else {}
        alphas = _alphas(matrix)
        points = {
            slot: ContributionPoint(matrix.epoch, estimates.get(slot), costs.get(slot), alphas.get(slot))
            for slot in dict.fromkeys((*matrix.slot_ids, *estimates))
        }
        pairs = {frozenset(pair): found for pair, found in matrix.interactions.items()}
        self._matrices.append((matrix.epoch, _Evaluated(points, pairs)))

    def observe_epoch(self, snapshot: EpochSnapshot) -> None:
        """Remember the stages and alphas of an epoch."""
        self._slots.append((snapshot.epoch, {name: (slot.stage, slot.alpha) for name, slot in snapshot.slots.items()}))

    def shapley_by_epoch(self) -> dict[int, dict[str, ShapleyEstimate]]:
        """The Shapley values of each evaluation, by increasing epoch."""
        return {
            epoch: {slot: point.shapley for slot, point in found.points.items() if point.shapley is not None}
            for epoch, found in self._by_epoch()
        }

    def trajectory(self, slot_id: str) -> list[ContributionPoint]:
        """The evaluations that had the slot, by epoch."""
        slots = dict(self._slots)
        found = []
        for epoch, evaluated in self._by_epoch():
            if slot_id in evaluated.points:
                point = evaluated.points[slot_id]
                stage, alpha = slots.get(epoch, {}).get(slot_id, (None, None))
                found.append(replace(point, stage=stage, alpha=alpha if point.alpha is None else point.alpha))
        return found

    def interactions(self, slot_id: str, other: str) -> list[tuple[int, InteractionEstimate]]:
        """The evaluations that tell the pair's interaction, by epoch."""
        pair = frozenset((slot_id, other))
        return [(epoch, found.interactions[pair]) for epoch, found in self._by_epoch() if pair in found.interactions]

    def periods(self, slot_id: str, threshold: float, off_threshold: float) -> tuple[Period, ...]:
        """The times in which the slot contributed; see `attribution.contribution_periods`."""
        epochs, means, lower = [], [], []
        for epoch, evaluated in self._by_epoch():
            point = evaluated.points.get(slot_id)
            shapley = None if point is None else point.shapley
            epochs.append(epoch)
            means.append(None if shapley is None else shapley.mean)
            lower.append(None if shapley is None else shapley.mean if shapley.ci_low is None else shapley.ci_low)
        return contribution_periods(epochs, means, threshold, off_threshold=off_threshold, lower=lower, consecutive=ONSET_EPOCHS)

    def _by_epoch(self) -> list[tuple[int, _Evaluated]]:
        return sorted(dict(self._matrices).items(), key=lambda item: item[0])


def _alphas(matrix: CounterfactualMatrix) -> dict[str, float]:
    """What "on" meant for each slot: its alpha in a coalition in which it was on."""
    return {
        slot: result.alpha_settings[slot]
        for result in matrix.configs
        for slot, on in zip(matrix.slot_ids, result.config, strict=False)
        if on and slot in result.alpha_settings
    }
