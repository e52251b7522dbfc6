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
from karn_wandb.attribution.regression import paired_fit
from karn_wandb.attribution.sampling import coalitions_along, pair_estimates
from karn_wandb.attribution.uncertainty import (
    Algorithm,
    EvaluationErrors,
    estimate,
    regressed_evaluation_errors,
    sampled_evaluation_errors,
)
from karn_wandb.attribution.values import BoolArray, Outcome
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
        """By slot; None when neither every coalition is known nor enough whole pairs to estimate from."""
        if self.is_full:
            return shapley_of(self.game)
        if self.plan.halves is not None:
            return self._regressed(self.plan.halves)
        return None if self.plan.orders is None else self._permuted(self.plan.orders)

    def is_precise(self, target_std: float) -> bool:
        """Whether every Shapley value has a sampling error of at most `target_std`."""
        errors = [found.sampling_std for found in (self.shapley_values() or {}).values()]
        return bool(errors) and all(error is not None and error <= target_std for error in errors)

    def _permuted(self, orders: IntArray) -> dict[str, ShapleyEstimate] | None:
        rows = self._leading_rows(coalitions_along(orders))
        pairs = len(rows)
        if not pairs:
            return None
        orders = orders[:pairs]
        by_pair = pair_estimates(self.values[rows], orders)
        return self._estimates(
            by_pair.mean(axis=0),
            by_pair.std(axis=0, ddof=1) / math.sqrt(pairs) if pairs > 1 else None,
            sampled_evaluation_errors(self.game.outcomes, rows, orders),
            n_samples=2 * pairs,
            algorithm="permutation_antithetic",
            freedom=np.full(len(self.slot_ids), pairs - 1.0),
        )

    def _regressed(self, halves: BoolArray) -> dict[str, ShapleyEstimate] | None:
        sides = np.stack([halves, ~halves], axis=1)
        corners = np.stack([np.ones_like(halves[:1]), np.zeros_like(halves[:1])], axis=1)
        rows = self._leading_rows(np.concatenate([corners, sides]))
        found = paired_fit(halves[: len(rows) - 1]) if len(rows) else None
        if found is None:
            return None
        differences = (self.values[rows[:, 0]] - self.values[rows[:, 1]]) / 2
        return self._estimates(
            found.shapley_values(differences),
            found.sampling_errors(differences),
            regressed_evaluation_errors(self.game.outcomes, rows, found),
            n_samples=rows.size,
            algorithm="leverage_regression",
            freedom=found.degrees_of_freedom,
        )

    def _leading_rows(self, units: BoolArray) -> IntArray:
        """Where the coalitions of units evaluated together are known, shape [known, ...], up to the first unit that is not.

        Those after it are not random any more: known are those that repeat earlier ones.

        Args:
            units: Their coalitions, shape [units, ..., n].
        """
        number = {coalition: row for row, coalition in enumerate(self.known)}
        rows = [number.get(tuple(coalition), -1) for coalition in units.reshape(-1, units.shape[-1]).tolist()]
        by_unit = np.array(rows, dtype=np.int64).reshape(units.shape[:-1])
        known = (by_unit >= 0).reshape(len(units), -1).all(axis=1)
        leading: IntArray = by_unit[np.logical_and.accumulate(known)]
        return leading

    def _estimates(
        self,
        means: FloatArray,
        sampling: FloatArray | None,
        evaluation: EvaluationErrors | None,
        *,
        n_samples: int,
        algorithm: Algorithm,
        freedom: FloatArray | None,
    ) -> dict[str, ShapleyEstimate]:
        unknown = [None] * len(self.slot_ids)
        parts = zip(
            self.slot_ids,
            means.tolist(),
            unknown if sampling is None else sampling.tolist(),
            unknown if evaluation is None else evaluation.std.tolist(),
            [math.inf] * len(self.slot_ids) if freedom is None else freedom.tolist(),
            strict=True,
        )
        return {
            slot: estimate(
                mean,
                sampling=drawn,
                evaluation=measured,
                n_samples=n_samples,
                algorithm=algorithm,
                sampling_freedom=free,
                evaluation_freedom=math.inf if evaluation is None else evaluation.degrees_of_freedom,
                evaluation_method=None if evaluation is None else evaluation.method,
            )
            for slot, mean, drawn, measured, free in parts
        }

    def _by_slot(self, numbers: FloatArray) -> dict[str, float]:
        return dict(zip(self.slot_ids, numbers.tolist(), strict=True))
