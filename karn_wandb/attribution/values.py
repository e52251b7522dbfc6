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
from karn_wandb.records import Bits, Coalition, CounterfactualResult, Evaluation, GroupSizes, Metric

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

    @property
    def parts_cost_all(self) -> bool:
        """Whether a part takes as long as all examples would, as far as the newest evaluation told."""
        ...

    def evaluate_part(self, configs: Sequence[Coalition], examples: IntArray) -> Sequence[Evaluation]:
        """One evaluation for each coalition, of exactly these examples; with sizes of classes and groups, if it has those."""
        ...


@runtime_checkable
class SelfChecking(Protocol):
    """A value that evaluates coalitions a second time, to see whether the same comes out."""

    @property
    def repeats(self) -> int:
        """How many, in all; they are charged to `max_configurations`."""
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
        result: The record of it, outcomes by example and by group included.
        value: The game's value: percent accuracy, or minus the loss.
        group_sizes: Examples in each group of outcomes; None for groups of one size, or none.
        n_examples: Independent examples the accuracy is a share of; None when unknown.
    """

    result: CounterfactualResult
    value: float
    group_sizes: GroupSizes | None = None
    n_examples: int | None = None

    def examples(self) -> dict[str, str]:
        """What it says of the validation examples behind it, in words: every coalition must say the same."""
        result, sizes = self.result, self.group_sizes
        found = {
            "`correct` bits": None if result.correct is None else str(len(result.correct)),
            "`group_losses`": None if result.group_losses is None else str(len(result.group_losses)),
            "`group_accuracies`": None if result.group_accuracies is None else str(len(result.group_accuracies)),
            "`group_sizes`": None if sizes is None else str(sizes) if len(sizes) < 10 else f"{len(sizes)}, sum {sum(sizes)}",
            "`n_examples`": None if self.n_examples is None else str(self.n_examples),
        }
        return {name: said for name, said in found.items() if said is not None}


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

    def _of_evaluation(self, config: Coalition, found: Evaluation) -> Outcome:
        correct = found.correct or None
        if correct is not None and found.n_examples not in (None, len(correct)):
            raise AttributionError(
                f"n_examples of {self.name(config)} must be the number of its `correct` bits",
                got=f"{found.n_examples} and {len(correct)}",
            )
        result = CounterfactualResult(
            config=config,
            val_loss=found.loss,
            val_accuracy=found.accuracy,
            per_class_accuracy=found.per_class_accuracy,
            correct=correct,
            group_losses=found.group_losses or None,
            group_accuracies=found.group_accuracies or None,
        )
        return self._of_result(config, result, found.group_sizes, found.n_examples)

    def _of_result(
        self,
        config: Coalition,
        result: CounterfactualResult,
        group_sizes: GroupSizes | None = None,
        n_examples: int | None = None,
    ) -> Outcome:
        if result.config != config:
            raise AttributionError(
                f"the value of {self.name(config)} must be a result of that coalition", got=f"one of {result.config}"
            )
        if result.correct:
            n_examples = len(result.correct)
            result = self._with_share(config, result, 100 * result.correct.ones() / n_examples)
        result = replace(
            result,
            val_loss=self._mean_of_groups(config, "loss", result.val_loss, result.group_losses, group_sizes),
            val_accuracy=self._mean_of_groups(config, "accuracy", result.val_accuracy, result.group_accuracies, group_sizes),
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
        return Outcome(result, number if self.metric == "accuracy" else -number, group_sizes, n_examples)

    def _with_share(self, config: Coalition, result: CounterfactualResult, share: float) -> CounterfactualResult:
        """The result with the accuracy that its `correct` bits say, where it has none of its own."""
        if result.val_accuracy is None:
            return replace(result, val_accuracy=share)
        if abs(result.val_accuracy - share) > _SAME_ACCURACY:
            raise AttributionError(
                f"the accuracy of {self.name(config)} must be the share of its `correct` examples",
                got=f"accuracy {result.val_accuracy} and {share} % correct",
                do="Return the bits the accuracy was counted from, or no bits.",
            )
        return result

    def _mean_of_groups(
        self, config: Coalition, name: str, mean: float | None, groups: tuple[float, ...] | None, sizes: GroupSizes | None
    ) -> float | None:
        """The mean as given, which must lie among its groups' means; where it was not given, theirs."""
        if groups is None:
            return mean
        if sizes is not None and len(sizes) != len(groups):
            raise AttributionError(
                f"every group of {self.name(config)} must have a size", got=f"{len(groups)} groups and {len(sizes)} group_sizes"
            )
        if not all(map(math.isfinite, groups)):
            if self.metric != name:
                return mean
            raise AttributionError(f"the {name} of every group of {self.name(config)} must be finite", got=str(groups[:10]))
        if mean is None:
            return float(np.average(groups, weights=sizes))
        slack = _SAME_ACCURACY * max(1.0, abs(mean))
        if self.metric == name and math.isfinite(mean) and not min(groups) - slack <= mean <= max(groups) + slack:
            raise AttributionError(
                f"the {name} of {self.name(config)} must lie between those of its groups",
                got=f"{mean}, groups from {min(groups)} to {max(groups)}",
                do="Give the mean over all examples, and each group's own mean in the same unit.",
            )
        return mean

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
    """The flat array of booleans again."""
    return np.unpackbits(np.frombuffer(bits.packed, dtype=np.uint8), count=len(bits)).astype(np.bool_)
