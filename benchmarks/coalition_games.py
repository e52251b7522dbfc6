"""Random coalition games whose Shapley values are known, as tables of all 2^n coalitions in the order of binary numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from karn_wandb.attribution.games import FloatArray, IntArray
from karn_wandb.attribution.values import BoolArray, packed
from karn_wandb.records import Coalition, Evaluation

Game = Callable[[int, np.random.Generator], FloatArray]


def coalitions(n: int) -> BoolArray:
    """All coalitions of n slots, shape [2^n, n]."""
    on: BoolArray = (np.arange(2**n)[:, None] >> np.arange(n - 1, -1, -1)) & 1 > 0
    return on


def accuracy_like(n: int, rng: np.random.Generator) -> FloatArray:
    """Percent accuracy that rises from 60 by some 12 points, the less the more is on already.

    Slots differ in strength, one in five hurts; pairs help or disturb each other; and each coalition has 0.1 points of its
    own, as a validation set of finite size gives it.
    """
    on = coalitions(n).astype(np.float64)
    strength = rng.gamma(2, 0.5, size=n) * np.where(rng.uniform(size=n) < 0.2, -0.3, 1)
    together = np.triu(rng.normal(0, 0.08 / np.sqrt(n), size=(n, n)), 1)
    skill = on @ strength / np.abs(strength).sum() + ((on @ together) * on).sum(axis=1)
    table: FloatArray = 60 + 12 * (1 - np.exp(-2 * skill)) / (1 - np.exp(-2)) + rng.normal(0, 0.1, size=2**n)
    return table


def unanimity(n: int, rng: np.random.Generator) -> FloatArray:
    """A sum of 2n random unanimity games: points between -1 and 1 when all of a random set of slots, of any size, are on."""
    on, table = coalitions(n), np.zeros(2**n)
    for _ in range(2 * n):
        members = rng.choice(n, size=rng.integers(1, n + 1), replace=False)
        table += rng.uniform(-1, 1) * on[:, members].all(axis=1)
    return table


def unanimity_accuracy(n: int, rng: np.random.Generator) -> FloatArray:
    """The same as percent accuracy, around 60."""
    return 60 + 3 * unanimity(n, rng)


@dataclass(frozen=True, slots=True)
class TableValue:
    """A value function: minus the loss is what the table says, so that any number may stand in it."""

    table: FloatArray

    def __call__(self, config: Coalition) -> float:
        """The loss of a coalition."""
        return -float(self.table[number(config)])


@dataclass(frozen=True, slots=True)
class ExampleValue:
    """A value function that tells for each example whether it is correct; shape [2^n, N]."""

    correct: BoolArray

    def __call__(self, config: Coalition) -> Evaluation:
        """Who is correct under a coalition."""
        return Evaluation(correct=packed(self.correct[number(config)]))


@dataclass(frozen=True, slots=True)
class PartialExampleValue(ExampleValue):
    """The same, to be asked about a part of the examples too."""

    @property
    def n_examples(self) -> int:
        """How many there are."""
        return self.correct.shape[1]

    @property
    def parts_cost_all(self) -> bool:
        """A part costs its share."""
        return False

    def stratified_order(self, rng: np.random.Generator) -> IntArray:
        """Any order: the examples have no classes."""
        return rng.permutation(self.n_examples)

    def evaluate_part(self, configs: Sequence[Coalition], examples: IntArray) -> list[Evaluation]:
        """Who of these is correct under each coalition."""
        return [Evaluation(correct=packed(self.correct[number(config), np.sort(examples)])) for config in configs]


def number(config: Coalition) -> int:
    """A coalition's place in the table: the first slot is the most significant bit."""
    return int("".join("1" if on else "0" for on in config), 2)


def examples(table: FloatArray, count: int, rng: np.random.Generator, scatter: float = 2) -> BoolArray:
    """Which of `count` random examples are correct under each coalition, shape [2^n, count]; on average the table's percent.

    An example is correct when the coalition's accuracy exceeds its difficulty, between 0 and 100, and what the slots do
    to it in particular: one half of that adds up over slots, the other is each coalition's own. So most examples are the
    same under all coalitions, as those of a network are, and slots without effect on average do change some. `scatter` is the
    standard deviation of both halves.
    """
    on = coalitions(len(table).bit_length() - 1).astype(np.float64)
    difficulty = rng.uniform(0, 100, size=count)
    particular = on @ rng.normal(0, scatter, size=(on.shape[1], count)) + rng.normal(0, scatter, size=(len(table), count))
    correct: BoolArray = difficulty + particular < table[:, None]
    return correct
