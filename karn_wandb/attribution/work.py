"""Evaluating what a plan asks for, or as much of it as budget, time and the questions asked of it take."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from karn_wandb.attribution.asking import answers
from karn_wandb.attribution.early import all_decided, looks
from karn_wandb.attribution.parts import GrowingValue
from karn_wandb.attribution.plan import Plan
from karn_wandb.attribution.solution import Solution
from karn_wandb.attribution.units import Units
from karn_wandb.attribution.values import BatchValue, Outcome, PartialValue, Reader, ValueFunction
from karn_wandb.errors import AttributionError, KarnWarning
from karn_wandb.records import Coalition, CounterfactualConfig


@dataclass(frozen=True, slots=True)
class Work:
    """What was evaluated.

    Attributes:
        known: The coalitions evaluated.
        skipped: Those asked for that were not.
        early_stop: Why less was needed, "" when all was.
        stop_reason: Why less was evaluated than needed, "" when it was not.
        examples: Validation examples behind each value, where it was evaluated in parts.
        examples_available: How many there are.
    """

    known: Mapping[Coalition, Outcome] = field(default_factory=dict)
    skipped: tuple[Coalition, ...] = ()
    early_stop: str = ""
    stop_reason: str = ""
    examples: int | None = None
    examples_available: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be evaluated.

    Attributes:
        config: Budget, timeout, and when less is enough.
        plan: The coalitions wanted.
        reader: Reads the answers of value functions.
        budget: Coalitions that may be evaluated; None for all.
        deadline: On `time.monotonic`; None for none.
    """

    config: CounterfactualConfig
    plan: Plan
    reader: Reader
    budget: int | None
    deadline: float | None

    @property
    def affordable(self) -> tuple[Coalition, ...]:
        """The coalitions wanted that the budget pays for."""
        return self.plan.coalitions[: self.budget]

    def solution(self, known: Mapping[Coalition, Outcome]) -> Solution:
        """What follows from the coalitions known."""
        ordered = {config: known[config] for config in sorted(known)}
        return Solution(self.reader.slot_ids, self.reader.metric, self.plan, ordered)

    def done(self, value: ValueFunction | BatchValue) -> Work:
        """Evaluate the coalitions, on all examples."""
        known: dict[Coalition, Outcome] = {}
        affordable = self.affordable
        target = self.config.target_std
        ends = () if target is None else [end for end in self.plan.looks if end < len(affordable)]
        for end in (*ends, len(affordable)):
            self._add(known, affordable[len(known) : end], value)
            if len(known) < end:
                return self._cut(known, f"timeout_seconds={self.config.timeout_seconds} reached")
            if end in ends and target is not None and self.solution(known).is_precise(target):
                reached = f"the sampling error of every Shapley value is at most target_std={target}"
                return Work(known, early_stop=f"{reached} after {end} of {len(self.plan.coalitions)} coalitions")
        if len(affordable) < len(self.plan.coalitions):
            return self._cut(known, self._out_of_budget())
        return Work(known)

    def done_in_parts(self, value: PartialValue, rng: np.random.Generator) -> Work:
        """Evaluate the coalitions on more and more of the examples, until all that is claimed is decided.

        When the time is over, what was evaluated of the newest part is left out: all coalitions must be known on the same
        examples.
        """
        order = value.stratified_order(rng)
        available, growing = len(order), GrowingValue(value, order)
        waiting, work = list(looks(available)), Work(examples_available=available)
        while waiting:
            examples = waiting.pop(0)
            growing.grow(examples)
            now = self.done(growing)
            in_time = len(now.known) == len(self.affordable)
            if not in_time and work.known:
                return replace(work, stop_reason=f"{now.stop_reason} on {work.examples} of {available} examples")
            work = replace(now, examples=examples if now.known else None, examples_available=available)
            if not in_time:
                return work
            if waiting and self._is_decided(work, examples, available):
                return replace(work, early_stop=f"every slot's claim was decided on {examples} of {available} examples")
            if waiting and value.parts_cost_all:
                _warn_of_whole_batches()
                waiting = waiting[-1:]
        return work

    def _add(self, known: dict[Coalition, Outcome], configs: Sequence[Coalition], value: ValueFunction | BatchValue) -> None:
        """Evaluate `configs`, or as many as there is time for."""
        seen = {name: said for outcome in known.values() for name, said in outcome.examples().items()}
        for config, answer in answers(configs, value, self.reader, self.deadline):
            outcome = self.reader.outcome(config, answer)
            known[config] = outcome
            for name, said in outcome.examples().items():
                if seen.setdefault(name, said) != said:
                    raise AttributionError(
                        f"every coalition must have its {name} for the same validation examples",
                        got=f"{seen[name]}, and {said} for {self.reader.name(config)}",
                        do="Evaluate the same batches in the same order for all coalitions.",
                    )

    def _cut(self, known: Mapping[Coalition, Outcome], reason: str) -> Work:
        return Work(known, tuple(config for config in self.plan.coalitions if config not in known), stop_reason=reason)

    def _out_of_budget(self) -> str:
        allowed, budget = self.config.max_configurations or 0, self.budget or 0
        repeated = f", {allowed - budget} of them by evaluating again" if budget < allowed else ""
        return f"max_configurations={allowed} reached{repeated}"

    def _is_decided(self, work: Work, examples: int, available: int) -> bool:
        solution = self.solution(work.known)
        if not isinstance(solution.game.outcomes, Units):
            raise AttributionError(
                f"decide_early needs the {self.reader.metric} of each example or group",
                got="no outcomes",
                do="Return them from evaluate_part, or set decide_early=False.",
            )
        inactive = [slot for slot, alpha in self.reader.alphas.items() if alpha == 0]
        return all_decided(solution.shapley_values() or {}, examples, available, inactive)


def _warn_of_whole_batches() -> None:
    warnings.warn(
        "decide_early saves nothing with this model: a part of the validation examples costs as much as all of them, because "
        "whole batches are evaluated in plain passes. The rest is evaluated at once.",
        KarnWarning,
        stacklevel=4,
    )
