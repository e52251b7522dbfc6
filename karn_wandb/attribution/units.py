"""What a game's values are means of: the outcomes of the validation examples, or of groups of them.

Anything linear in the game (a Shapley value, a main effect, an interaction, a removal cost) is linear in each unit's
own outcomes too, so its spread over the units tells how much it depends on which examples are in the validation set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
import numpy.typing as npt

from karn_wandb.attribution.games import FloatArray, IntArray
from karn_wandb.records import CounterfactualResult, EvaluationMethod, GroupSizes, Metric

_CHUNK = 2**22
"""Outcomes held at once: 32 MiB of floats."""


@dataclass(frozen=True, slots=True)
class Units:
    """The outcome of each example or group under each coalition.

    Attributes:
        method: "per_example" or "group_jackknife".
        stored: Percent or minus the loss, shape [coalitions, groups]; or bits by example, shape [coalitions, bytes].
        sizes: Examples in each unit, shape [units].
        means: Each coalition's mean over all examples, in the game's unit, shape [coalitions].
    """

    method: EvaluationMethod
    stored: FloatArray | npt.NDArray[np.uint8]
    sizes: FloatArray
    means: FloatArray

    def blocks(self, coalitions: IntArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Outcomes of these coalitions, some units at a time, and what a unit's deviation from the mean weighs.

        For a statistic T with value y_g in unit g, the squares of weight * (y_g - T) add up to the delete-one
        jackknife variance of T: without unit g it is T + n_g / (n - n_g) (T - y_g), and the variance is
        (G - 1) / G times the sum of squares of that difference. With units of one size it is the variance of y over G.
        Source: Efron and Stein (1981), The jackknife estimate of variance.
        """
        units, n = len(self.sizes), self.sizes.sum()
        weights = sqrt((units - 1) / units) * self.sizes / (n - self.sizes)
        step = max(8, _CHUNK // max(1, len(coalitions)) // 8 * 8)
        for start in range(0, units, step):
            part = slice(start, min(start + step, units))
            yield self._outcomes(coalitions, part), weights[part]

    def _outcomes(self, coalitions: IntArray, part: slice) -> FloatArray:
        if self.method == "group_jackknife":
            return np.asarray(self.stored[coalitions, part], dtype=np.float64)
        packed = np.asarray(self.stored[coalitions, part.start // 8 : -(-part.stop // 8)], dtype=np.uint8)
        return np.multiply(np.unpackbits(packed, axis=1, count=part.stop - part.start), 100.0)


@dataclass(frozen=True, slots=True)
class Shares:
    """Nothing but the share of examples that each coalition gets right.

    Attributes:
        shares: From 0 to 1, shape [coalitions].
        n_examples: How many examples they are shares of.
    """

    shares: FloatArray
    n_examples: int


Outcomes = Units | Shares


def best_outcomes(
    results: Sequence[CounterfactualResult], metric: Metric, group_sizes: GroupSizes | None, n_examples: int | None
) -> Outcomes | None:
    """The finest outcomes that all of the results have: by example, by group, or shares of a known number.

    Args:
        results: Evaluated coalitions, each with a value of the metric.
        metric: What the game is.
        group_sizes: Examples in each group; None for groups of one size.
        n_examples: Independent examples that an accuracy is a share of; None when unknown.

    Returns:
        None when there are none, or fewer than two units.
    """
    if metric == "accuracy":
        bits = [result.correct for result in results if result.correct]
        if bits and len(bits) == len(results) and len(bits[0]) > 1:
            stored = np.frombuffer(b"".join(b.packed for b in bits), dtype=np.uint8).reshape(len(bits), -1)
            means = np.array([100 * b.ones() / len(b) for b in bits])
            return Units("per_example", stored, np.ones(len(bits[0])), means)
    groups = [_groups(result, metric) for result in results]
    given = [group for group in groups if group and all(map(isfinite, group))]
    sized = group_sizes is None or not given or len(group_sizes) == len(given[0])
    if sized and given and len(given) == len(results) and len(given[0]) > 1:
        values = np.array(given)
        sizes = np.ones(values.shape[1]) if group_sizes is None else np.array(group_sizes, dtype=np.float64)
        return Units("group_jackknife", values, sizes, values @ sizes / sizes.sum())
    accuracies = [result.val_accuracy for result in results if result.val_accuracy is not None]
    if metric == "accuracy" and n_examples is not None and n_examples > 1 and accuracies:
        return Shares(np.array(accuracies) / 100, n_examples)
    return None


def _groups(result: CounterfactualResult, metric: Metric) -> tuple[float, ...] | None:
    if metric == "accuracy":
        return result.group_accuracies
    return result.group_losses and tuple(-loss for loss in result.group_losses)
