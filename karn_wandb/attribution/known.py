"""A coalition game of which some coalitions are known: what an engine has just evaluated, or a stored matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Self

import numpy as np

from karn_wandb.attribution.games import MAX_SLOTS, FloatArray
from karn_wandb.attribution.units import Outcomes, best_outcomes
from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition, CounterfactualMatrix, CounterfactualResult, GroupSizes, Metric


@dataclass(frozen=True)
class KnownGame:
    """Values of coalitions, and the outcomes they are means of.

    Attributes:
        slot_ids: The slots, in the order of each coalition.
        metric: What the game is: percent accuracy, or minus the loss.
        results: Evaluated coalitions that have a finite value, in the order in which binary numbers count.
        group_sizes: Examples in each group of outcomes; None for groups of one size, or none.
        n_examples: Independent examples that an accuracy is a share of; None when unknown.
    """

    slot_ids: tuple[str, ...]
    metric: Metric
    results: tuple[CounterfactualResult, ...]
    group_sizes: GroupSizes | None = None
    n_examples: int | None = None

    @classmethod
    def of(cls, matrix: CounterfactualMatrix) -> Self:
        """The game of a matrix, such as one read back."""
        name = "val_accuracy" if matrix.metric == "accuracy" else "val_loss"
        values = ((result, getattr(result, name)) for result in matrix.configs)
        finite = (result for result, value in values if value is not None and isfinite(value))
        ordered = tuple(sorted(finite, key=lambda result: result.config))
        return cls(matrix.slot_ids, matrix.metric, ordered, matrix.group_sizes, matrix.n_examples)

    @cached_property
    def values(self) -> FloatArray:
        """The game's value of each known coalition, shape [coalitions]; when all are known, its table."""
        if self.metric == "accuracy":
            return np.array([result.val_accuracy for result in self.results], dtype=np.float64)
        return -np.array([result.val_loss for result in self.results], dtype=np.float64)

    @cached_property
    def rows(self) -> dict[Coalition, int]:
        """Where each known coalition is."""
        return {result.config: row for row, result in enumerate(self.results)}

    @cached_property
    def outcomes(self) -> Outcomes | None:
        """The finest outcomes that all known coalitions have; None when there are none."""
        return best_outcomes(self.results, self.metric, self.group_sizes, self.n_examples)

    @property
    def is_full(self) -> bool:
        """Whether every coalition is known: then nothing is estimated."""
        n = len(self.slot_ids)
        return 1 <= n <= MAX_SLOTS and len(self.results) == 2**n

    def table(self, asker: str) -> FloatArray:
        """The values of all coalitions.

        Args:
            asker: Who needs them, for the message.

        Raises:
            AttributionError: A coalition is not known, or the slots are not named.
        """
        n = len(self.slot_ids)
        if not 1 <= n <= MAX_SLOTS:
            raise AttributionError(f"{asker} needs a matrix of 1 to {MAX_SLOTS} named slots", got=f"{n} slot_ids")
        if not self.is_full:
            raise AttributionError(
                f"{asker} needs the value of all {2**n} coalitions of {n} slots",
                got=str(len(self.results)),
                do="Evaluate with CounterfactualConfig(force_full_factorial=True).",
            )
        return self.values

    def weights(self, statistics: Sequence[Mapping[Coalition, float]]) -> FloatArray:
        """Statistics that weigh a few coalitions each, all of them known, as rows over all; shape [k, coalitions]."""
        weights = np.zeros((len(statistics), len(self.results)))
        for row, terms in zip(weights, statistics, strict=True):
            for coalition, weight in terms.items():
                row[self.rows[coalition]] += weight
        return weights
