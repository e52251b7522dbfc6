"""What a value function is, and what one of its answers means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from karn_wandb.attribution.games import IntArray
from karn_wandb.errors import AttributionError
from karn_wandb.records import Bits, Coalition, CounterfactualResult, Evaluation, Metric

BoolArray = npt.NDArray[np.bool_]
Answer = float | CounterfactualResult | Evaluation
ValueFunction = Callable[[Coalition], Answer]

_SAME_ACCURACY = 0.01
"""Percentage points by which a float32 accuracy may miss the share of its `correct` bits."""


@runtime_checkable
class BatchValue(Protocol):
    """A value that is faster when handed all coalitions at once."""

    def evaluate_all(self, configs: Sequence[Coalition]) -> Sequence[Evaluation]:
        """One evaluation for each coalition, in the same order."""
        ...


@runtime_checkable
class PartialValue(Protocol):
    """A value that can be asked about a part of the validation examples."""

    @property
    def n_examples(self) -> int | None:
        """How many examples there are; None as long as that is not known, which `stratified_order` changes."""
        ...

    def stratified_order(self, rng: np.random.Generator) -> IntArray:
        """A random order of all examples, by their indices, of which every beginning is a fair sample."""
        ...

    def evaluate_part(self, configs: Sequence[Coalition], examples: IntArray) -> Sequence[Evaluation]:
        """One evaluation for each coalition, of exactly these examples."""
        ...


@runtime_checkable
class SlotAware(Protocol):
    """A value that knows which slots it switches, in which order, and their present alphas."""

    @property
    def slot_ids(self) -> tuple[str, ...]:
        """The slots, in the order of the coalitions it understands."""
        ...

    @property
    def alphas(self) -> Mapping[str, float]:
        """By slot, the alpha that "on" means."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """One evaluated coalition.

    Attributes:
        result: The record of it.
        value: The game's value: percent accuracy, or minus the loss.
        correct: For each validation example, whether it was classified correctly; None when not given.
    """

    result: CounterfactualResult
    value: float
    correct: BoolArray | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns the answers of a value function into outcomes, or says what is wrong with them.

    Attributes:
        slot_ids: The slots, in the order of the coalitions.
        metric: What the game is.
        alphas: By slot, the alpha that "on" means; empty when not known.
    """

    slot_ids: tuple[str, ...]
    metric: Metric
    alphas: Mapping[str, float]

    def name(self, config: Coalition) -> str:
        """The coalition as messages name it."""
        return f"coalition {''.join(map(str, map(int, config)))} of ({', '.join(self.slot_ids)})"

    def outcome(self, config: Coalition, answer: object) -> Outcome:
        """What the value function answered for a coalition.

        Raises:
            AttributionError: It is no finite number, no accuracy between 0 and 100, another coalition's result, or it
                contradicts itself.
        """
        if isinstance(answer, CounterfactualResult):
            return self._of_result(config, answer)
        if isinstance(answer, Evaluation):
            return self._of_evaluation(config, answer)
        if isinstance(answer, bool) or not isinstance(answer, Real):
            raise AttributionError(
                f"the value of {self.name(config)} must be a number, an Evaluation or a CounterfactualResult",
                got=f"{answer!r} ({type(answer).__name__})",
            )
        number = self._checked(config, float(answer))
        accuracy, loss = (number, None) if self.metric == "accuracy" else (None, number)
        return self._of_result(config, CounterfactualResult(config=config, val_loss=loss, val_accuracy=accuracy))

    def _of_evaluation(self, config: Coalition, evaluation: Evaluation) -> Outcome:
        correct = unpacked(evaluation.correct) if evaluation.correct else None
        accuracy = evaluation.accuracy
        if correct is not None:
            share = 100 * float(correct.mean())
            accuracy = share if accuracy is None else accuracy
            if abs(accuracy - share) > _SAME_ACCURACY:
                raise AttributionError(
                    f"the accuracy of {self.name(config)} must be the share of its `correct` examples",
                    got=f"accuracy {accuracy} and {share} % correct",
                    do="Return the bits the accuracy was counted from, or no bits.",
                )
        result = CounterfactualResult(
            config=config, val_loss=evaluation.loss, val_accuracy=accuracy, per_class_accuracy=evaluation.per_class_accuracy
        )
        return replace(self._of_result(config, result), correct=correct)

    def _of_result(self, config: Coalition, result: CounterfactualResult) -> Outcome:
        if result.config != config:
            raise AttributionError(
                f"the value of {self.name(config)} must be a result of that coalition", got=f"one of {result.config}"
            )
        number = result.val_accuracy if self.metric == "accuracy" else result.val_loss
        if number is None:
            raise AttributionError(
                f"the value of {self.name(config)} has no {self.metric}",
                do=f"Return the {self.metric}, or evaluate another metric.",
            )
        number = self._checked(config, number)
        if self.alphas and not result.alpha_settings:
            settings = {slot: self.alphas[slot] if on else 0.0 for slot, on in zip(self.slot_ids, config, strict=True)}
            result = replace(result, alpha_settings=settings)
        return Outcome(result, number if self.metric == "accuracy" else -number)

    def _checked(self, config: Coalition, number: float) -> float:
        if self.metric == "accuracy" and not 0 <= number <= 100:
            raise AttributionError(
                f"the value of {self.name(config)} must be an accuracy in percent, 0 to 100",
                got=str(number),
                do='For a loss pass metric="loss".',
            )
        if not math.isfinite(number):
            raise AttributionError(f"the value of {self.name(config)} must be a finite loss", got=str(number))
        return number


def packed(values: BoolArray) -> Bits:
    """A flat array of booleans as the records keep it."""
    return Bits.from_packed(np.packbits(values).tobytes(), len(values))


def unpacked(bits: Bits) -> BoolArray:
    """The array whose `packed` these are."""
    array: BoolArray = np.unpackbits(np.frombuffer(bits.packed, dtype=np.uint8), count=len(bits)).view(np.bool_)
    return array
