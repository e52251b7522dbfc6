"""What follows from the coalitions that were evaluated: nothing is filled in for those that were not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from karn_wandb.attribution import games
from karn_wandb.attribution.estimates import removal_costs_of, shapley_of
from karn_wandb.attribution.games import FloatArray, IntArray
from karn_wandb.attribution.interactions import interactions_of
from karn_wandb.attribution.known import KnownGame
from karn_wandb.attribution.plan import Plan
from karn_wandb.attribution.sampling import coalitions_along, pair_estimates
from karn_wandb.attribution.uncertainty import estimate, sampled_evaluation_errors
from karn_wandb.attribution.values import Outcome
from karn_wandb.records import Coalition, InteractionEstimate, Metric, ShapleyEstimate

MarginalBasis = Literal["factorial_main_effect", "removal_cost", "none"]


@dataclass(frozen=True, slots=True)
class Solution:
    """A game of which some coalitions are known.

    Attributes:
        slot_ids: The slots.
        metric: What the game is.
        plan: What was asked for.
        known: What was evaluated, in the order in which binary numbers count.
    """

    slot_ids: tuple[str, ...]
    metric: Metric
    plan: Plan
    known: Mapping[Coalition, Outcome]

    @property
    def is_full(self) -> bool:
        """Whether every coalition is known, by whatever strategy: then nothing is estimated."""
        n = len(self.slot_ids)
        return n <= games.MAX_SLOTS and len(self.known) == 2**n

    @property
    def values(self) -> FloatArray:
        """The game's value of each known coalition; when all are known, its table."""
        return np.array([outcome.value for outcome in self.known.values()])

    @property
    def game(self) -> KnownGame:
        """The known coalitions with the outcomes they are means of."""
        outcomes = self.known.values()
        sizes = next((outcome.group_sizes for outcome in outcomes if outcome.group_sizes is not None), None)
        return KnownGame(self.slot_ids, self.metric, tuple(outcome.result for outcome in outcomes), sizes, self.n_examples)

    @property
    def n_examples(self) -> int | None:
        """Independent examples that an accuracy is a share of; None when no coalition tells."""
        return next((outcome.n_examples for outcome in self.known.values() if outcome.n_examples is not None), None)

    def marginals(self) -> tuple[MarginalBasis, dict[str, float]]:
        """By slot, its main effect; where only ablations were asked for or not all is known, its removal cost."""
        if self.is_full and self.plan.strategy != "ablation_only":
            return "factorial_main_effect", self._by_slot(games.main_effects(self.values))
        costs = {slot: cost.mean for slot, cost in removal_costs_of(self.game).items()}
        return ("removal_cost" if costs else "none"), costs

    def interactions(self, margin: float | None = None) -> dict[tuple[str, ...], InteractionEstimate]:
        """By pair of slots, v(ij) - v(i) - v(j) + v() with its regime, when every coalition is known."""
        return interactions_of(self.game, "empty_corner", margin) if self.is_full else {}

    def shapley_values(self) -> dict[str, ShapleyEstimate] | None:
        """By slot; None when neither every coalition nor one whole pair of permutations is known."""
        if self.is_full:
            return shapley_of(self.game)
        return None if self.plan.orders is None else self._sampled(self.plan.orders)

    def _sampled(self, orders: IntArray) -> dict[str, ShapleyEstimate] | None:
        number = {coalition: row for row, coalition in enumerate(self.known)}
        passed = coalitions_along(orders).tolist()
        rows = np.array([[[number.get(tuple(c), -1) for c in order] for order in pair] for pair in passed])
        # Pairs after the first gap are not random any more: known are those that repeat earlier ones.
        pairs = int(np.logical_and.accumulate((rows >= 0).all(axis=(1, 2))).sum())
        if not pairs:
            return None
        rows, orders = rows[:pairs], orders[:pairs]
        by_pair = pair_estimates(self.values[rows], orders)
        sampling = by_pair.std(axis=0, ddof=1) / math.sqrt(pairs) if pairs > 1 else None
        evaluation = sampled_evaluation_errors(self.game.outcomes, rows, orders)
        unknown = [None] * len(self.slot_ids)
        parts = zip(
            self.slot_ids,
            by_pair.mean(axis=0).tolist(),
            unknown if sampling is None else sampling.tolist(),
            unknown if evaluation is None else evaluation.std.tolist(),
            strict=True,
        )
        return {
            slot: estimate(
                mean,
                sampling=drawn,
                evaluation=measured,
                n_samples=2 * pairs,
                algorithm="permutation_antithetic",
                evaluation_method=None if evaluation is None else evaluation.method,
                sampling_freedom=pairs - 1,
                evaluation_freedom=math.inf if evaluation is None else evaluation.degrees_of_freedom,
            )
            for slot, mean, drawn, measured in parts
        }

    def _by_slot(self, numbers: FloatArray) -> dict[str, float]:
        return dict(zip(self.slot_ids, numbers.tolist(), strict=True))
