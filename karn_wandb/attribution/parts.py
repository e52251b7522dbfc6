"""Evaluations of parts of the validation examples, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np

from karn_wandb.attribution.games import IntArray
from karn_wandb.attribution.values import PartialValue, packed, unpacked
from karn_wandb.errors import AttributionError
from karn_wandb.records import Bits, Coalition, Evaluation

T = TypeVar("T")


class GrowingValue:
    """A value on more and more of the validation examples, none of them evaluated twice.

    Args:
        value: Evaluates the parts.
        order: The examples by their indices, in the order in which they are taken.
    """

    def __init__(self, value: PartialValue, order: IntArray) -> None:
        self._value, self._order = value, order
        self._known: dict[Coalition, list[Evaluation]] = {}
        self._before = self._examples = 0

    def grow(self, examples: int) -> None:
        """Take so many examples in all from now on."""
        self._before, self._examples = self._examples, examples

    def evaluate_all(self, configs: Sequence[Coalition]) -> list[Evaluation]:
        """One evaluation for each coalition, of all examples taken, each coalition asked for once between two `grow`."""
        found = self._value.evaluate_part(configs, self._order[self._before : self._examples])
        for config, part in zip(configs, found, strict=False):  # whoever asks counts them
            self._known.setdefault(config, []).append(part)
        return [joined(self._known[config]) for config, _ in zip(configs, found, strict=False)]


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of the examples of all parts, outcomes one part after the other.

    What one of the parts does not tell is not known of all of them together.

    Raises:
        AttributionError: A part is no `Evaluation`, has groups without their sizes, or neither groups nor `correct` bits.
    """
    weights = [_size(part) for part in parts]
    correct = _all(parts, lambda part: part.correct or None)
    sizes = _all(parts, lambda part: part.group_sizes)
    flat = None if sizes is None else tuple(chain.from_iterable(sizes))
    return Evaluation(
        loss=_mean(_all(parts, lambda part: part.loss), weights),
        accuracy=None if correct else _mean(_all(parts, lambda part: part.accuracy), weights),
        correct=None if correct is None else _one_after_the_other(correct),
        per_class_accuracy=_by_class(parts),
        group_losses=_chained(_all(parts, lambda part: part.group_losses)),
        group_accuracies=_chained(_all(parts, lambda part: part.group_accuracies)),
        group_sizes=None if flat is None or len(set(flat)) == 1 else flat,
        n_examples=_sum(_all(parts, lambda part: part.n_examples)),
    )


def _size(part: object) -> int:
    """How many examples, or tokens, the means of a part are over."""
    if not isinstance(part, Evaluation):
        raise AttributionError("evaluate_part must return an Evaluation for each coalition", got=type(part).__name__)
    if part.group_sizes:
        return sum(part.group_sizes)
    if part.correct and not part.group_losses and not part.group_accuracies:
        return len(part.correct)
    raise AttributionError(
        "an evaluation of a part of the examples must have `correct` bits, or groups with their `group_sizes`",
        do="Return what was measured by example or by group, or set decide_early=False.",
    )


def _all(parts: Sequence[Evaluation], field: Callable[[Evaluation], T | None]) -> list[T] | None:
    found = [value for part in parts if (value := field(part)) is not None]
    return found if len(found) == len(parts) else None


def _mean(values: Sequence[float] | None, weights: Sequence[int]) -> float | None:
    return None if values is None else float(np.average(values, weights=weights))


def _sum(numbers: Sequence[int] | None) -> int | None:
    return None if numbers is None else sum(numbers)


def _chained(groups: Sequence[tuple[float, ...]] | None) -> tuple[float, ...] | None:
    return None if groups is None else tuple(chain.from_iterable(groups))


def _one_after_the_other(bits: Sequence[Bits]) -> Bits:
    return packed(np.concatenate([unpacked(part) for part in bits]))


def _by_class(parts: Sequence[Evaluation]) -> dict[int, float] | None:
    """Accuracy of each class, percent."""
    right: dict[int, float] = {}
    sizes: dict[int, int] = {}
    for part in parts:
        shares, counts = part.per_class_accuracy or {}, part.class_sizes or {}
        if not shares or shares.keys() != counts.keys():
            return None
        for label, size in counts.items():
            sizes[label] = sizes.get(label, 0) + size
            right[label] = right.get(label, 0.0) + size * shares[label]
    return {label: right[label] / sizes[label] for label in sorted(sizes)}
