"""What follows from the coalitions that were evaluated: nothing is filled in for those that were not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from karn_wandb.attribution import games
from karn_wandb.attribution.games import FloatArray, IntArray
from karn_wandb.attribution.plan import Plan
from karn_wandb.attribution.sampling import coalitions_along, pair_estimates
from karn_wandb.attribution.uncertainty import Algorithm, estimate, exact_evaluation_errors, sampled_evaluation_errors
from karn_wandb.attribution.values import BoolArray, Outcome
from karn_wandb.records import Coalition, Metric, ShapleyEstimate

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
    def correct(self) -> BoolArray | None:
        """Which examples were correct, shape [coalitions, N]; None unless all coalitions tell."""
        bits = [outcome.correct for outcome in self.known.values() if outcome.correct is not None]
        return np.stack(bits) if bits and len(bits) == len(self.known) else None

    def marginals(self) -> tuple[MarginalBasis, dict[str, float]]:
        """By slot, its main effect; where only ablations were asked for or not all is known, its removal cost."""
        if self.is_full and self.plan.strategy != "ablation_only":
            return "factorial_main_effect", self._by_slot(games.main_effects(self.values))
        all_on = (True,) * len(self.slot_ids)
        costs = {}
        for place, slot in enumerate(self.slot_ids):
            without = (*all_on[:place], False, *all_on[place + 1 :])
            if all_on in self.known and without in self.known:
                costs[slot] = self.known[all_on].value - self.known[without].value
        return ("removal_cost" if costs else "none"), costs

    def interactions(self) -> dict[tuple[str, ...], float]:
        """By pair of slots, v(ij) - v(i) - v(j) + v() when every coalition is known."""
        if not self.is_full:
            return {}
        pairs = combinations(self.slot_ids, 2)
        return dict(zip(pairs, games.pairwise_interactions(self.values, "empty").tolist(), strict=True))

    def shapley_values(self) -> dict[str, ShapleyEstimate] | None:
        """By slot; None when neither every coalition nor one whole pair of permutations is known."""
        if self.is_full:
            return self._exact()
        return None if self.plan.orders is None else self._sampled(self.plan.orders)

    def _exact(self) -> dict[str, ShapleyEstimate]:
        means = games.shapley_values(self.values)
        correct = self.correct if self.metric == "accuracy" else None
        evaluation = None if correct is None else exact_evaluation_errors(correct)
        return self._estimates(means, np.zeros_like(means), evaluation, len(self.known), "exact")

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
        correct = self.correct if self.metric == "accuracy" else None
        evaluation = None if correct is None else sampled_evaluation_errors(correct, rows, orders)
        return self._estimates(by_pair.mean(axis=0), sampling, evaluation, 2 * pairs, "permutation_antithetic")

    def _estimates(
        self,
        means: FloatArray,
        sampling: FloatArray | None,
        evaluation: FloatArray | None,
        n_samples: int,
        algorithm: Algorithm,
    ) -> dict[str, ShapleyEstimate]:
        unknown = [None] * len(self.slot_ids)
        parts = zip(
            self.slot_ids,
            means.tolist(),
            unknown if sampling is None else sampling.tolist(),
            unknown if evaluation is None else evaluation.tolist(),
            strict=True,
        )
        return {
            slot: estimate(mean, sampling=drawn, evaluation=measured, n_samples=n_samples, algorithm=algorithm)
            for slot, mean, drawn, measured in parts
        }

    def _by_slot(self, numbers: FloatArray) -> dict[str, float]:
        return dict(zip(self.slot_ids, numbers.tolist(), strict=True))
