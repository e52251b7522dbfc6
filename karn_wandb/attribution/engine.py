"""Evaluate a coalition game and say what follows from it, with what certainty."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral

import numpy as np

from karn_wandb.attribution.plan import Plan, plan
from karn_wandb.attribution.solution import Solution
from karn_wandb.attribution.values import BatchValue, Outcome, Reader, SlotAware, ValueFunction
from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition, CounterfactualConfig, CounterfactualMatrix, CounterfactualResult, Metric


class CounterfactualEngine:
    """Chooses coalitions of slots, has each evaluated once, and attributes the game's value to the slots.

    Args:
        config: Strategy, budget and timeout.
        seed: Of the coalitions sampled, at least 0. The same seed and epoch give the same coalitions; another epoch gives
            others, so that their sampling errors do not repeat each other.

    Raises:
        AttributionError: The seed is no whole number of at least 0.
    """

    def __init__(self, config: CounterfactualConfig = CounterfactualConfig(), seed: int = 0) -> None:  # noqa: B008 -- immutable
        self.config = config
        self.seed = _whole("seed", seed)

    def evaluate(
        self,
        slot_ids: Sequence[str],
        value: ValueFunction | BatchValue,
        epoch: int,
        metric: Metric = "accuracy",
        alphas: Mapping[str, float] | None = None,
    ) -> CounterfactualMatrix:
        """Evaluate the game and attribute it.

        Args:
            slot_ids: The slots, in the order in which `value` takes them.
            value: From a coalition (for each slot whether it is on) to a float, an `Evaluation` or a
                `CounterfactualResult`. A float is percent accuracy, or with metric="loss" the loss. An object with
                `evaluate_all` gets all coalitions in one call, or with a timeout to keep one by one.
            epoch: Epoch of the evaluation.
            metric: The game: percent accuracy, or minus the loss. Positive always helps.
            alphas: By slot, its present alpha, which is what "on" means. When left out it is asked of `value`; when
                that does not know either, `alpha_settings` stay empty.

        Returns:
            The matrix, its coalitions in the order in which binary numbers count. When `max_configurations` or
            `timeout_seconds` cut the work short it is not `complete`: what was skipped is listed, nothing is filled in.
            When `target_std` was reached it is `complete`, and `early_stop` says so.

        Raises:
            AttributionError: The slots, the alphas or an answer of `value` are unusable; or `value` raised: then the
                message names the coalition, and what it raised is the cause.
            RecordError: An alpha is not between 0 and 1.
        """
        slots = _checked_slots(slot_ids, value)
        epoch = _whole("epoch", epoch)
        if metric not in ("accuracy", "loss"):
            raise AttributionError('metric must be "accuracy" or "loss"', got=repr(metric))
        reader = Reader(slots, metric, _checked_alphas(slots, value, alphas))
        planned = plan(self.config, len(slots), np.random.default_rng((self.seed, epoch)))
        started = time.monotonic()
        known, early_stop = self._evaluated(planned, value, reader)
        seconds = time.monotonic() - started
        solution = _solution(reader, planned, known)
        skipped = () if early_stop else tuple(config for config in planned.coalitions if config not in known)
        marginal_basis, marginals = solution.marginals()
        interactions = solution.interactions(self.config.independence_margin)
        return CounterfactualMatrix(
            epoch=epoch,
            configs=tuple(self._kept(outcome.result) for outcome in solution.known.values()),
            marginal_contributions=marginals,
            marginal_basis=marginal_basis,
            interaction_effects={pair: found.effect for pair, found in interactions.items()},
            interaction_basis="empty_corner" if interactions else "none",
            shapley_values=solution.shapley_values(),
            slot_ids=slots,
            strategy=planned.strategy,
            metric=metric,
            complete=not skipped,
            skipped=skipped,
            stop_reason=self._stop_reason(len(known)) if skipped else "",
            n_examples=solution.n_examples,
            seconds=seconds,
            interactions=interactions,
            group_sizes=solution.game.group_sizes if self.config.keep_outcomes else None,
            early_stop=early_stop,
        )

    def _evaluated(
        self, planned: Plan, value: ValueFunction | BatchValue, reader: Reader
    ) -> tuple[dict[Coalition, Outcome], str]:
        """What was asked for, or as much of it as the budget or the precision wanted takes; and why the latter ended it."""
        known: dict[Coalition, Outcome] = {}
        affordable = planned.coalitions[: self.config.max_configurations]
        ends = () if self.config.target_std is None else [end for end in planned.looks if end < len(affordable)]
        timeout = self.config.timeout_seconds
        deadline = None if timeout is None else time.monotonic() + timeout
        for end in (*ends, len(affordable)):
            self._add(known, affordable[len(known) : end], value, reader, deadline)
            if len(known) < end:
                break
            target = self.config.target_std
            if end in ends and target is not None and _solution(reader, planned, known).is_precise(target):
                reached = f"the sampling error of every Shapley value is at most target_std={target}"
                return known, f"{reached} after {end} of {len(planned.coalitions)} coalitions"
        return known, ""

    def _add(
        self,
        known: dict[Coalition, Outcome],
        configs: Sequence[Coalition],
        value: ValueFunction | BatchValue,
        reader: Reader,
        deadline: float | None,
    ) -> None:
        """Evaluate `configs`, or as many as there is time for."""
        seen = {name: said for outcome in known.values() for name, said in outcome.examples().items()}
        for config, answer in _answers(configs, value, reader, deadline):
            outcome = reader.outcome(config, answer)
            known[config] = outcome
            for name, said in outcome.examples().items():
                if seen.setdefault(name, said) != said:
                    raise AttributionError(
                        f"every coalition must have its {name} for the same validation examples",
                        got=f"{seen[name]}, and {said} for {reader.name(config)}",
                        do="Evaluate the same batches in the same order for all coalitions.",
                    )

    def _kept(self, result: CounterfactualResult) -> CounterfactualResult:
        if self.config.keep_outcomes:
            return result
        return replace(result, correct=None, group_losses=None, group_accuracies=None)

    def _stop_reason(self, evaluated: int) -> str:
        if evaluated == self.config.max_configurations:
            return f"max_configurations={evaluated} reached"
        return f"timeout_seconds={self.config.timeout_seconds} reached"


def _solution(reader: Reader, planned: Plan, known: Mapping[Coalition, Outcome]) -> Solution:
    return Solution(reader.slot_ids, reader.metric, planned, {config: known[config] for config in sorted(known)})


def _answers(
    configs: Sequence[Coalition], value: ValueFunction | BatchValue, reader: Reader, deadline: float | None
) -> Iterator[tuple[Coalition, object]]:
    """What `value` says of each coalition, until the time is over."""
    if isinstance(value, BatchValue):
        ask: Callable[[Sequence[Coalition]], Sequence[object]] = value.evaluate_all
        at_once = deadline is None
    else:
        ask, at_once = (lambda asked: [value(config) for config in asked]), False
    for asked in [configs] if at_once else [[config] for config in configs]:
        if deadline is not None and time.monotonic() >= deadline:
            return
        subject = reader.name(asked[0]) if len(asked) == 1 else f"{len(asked)} coalitions of ({', '.join(reader.slot_ids)})"
        try:
            answers = ask(asked)
        except AttributionError:
            raise
        except Exception as error:
            raise AttributionError(
                f"the value function failed for {subject}",
                got=f"{type(error).__name__}: {error}".removesuffix("."),
                do="What it raised is the cause of this error.",
            ) from error
        if len(answers) != len(asked):
            raise AttributionError(f"evaluate_all must return an evaluation for each of {subject}", got=str(len(answers)))
        yield from zip(asked, answers, strict=True)


def _checked_slots(slot_ids: Sequence[str], value: object) -> tuple[str, ...]:
    slots = tuple(slot_ids)
    if isinstance(slot_ids, str) or not all(isinstance(slot, str) for slot in slots):
        raise AttributionError("slot_ids must be a sequence of names", got=repr(slot_ids))
    if not slots:
        raise AttributionError("a coalition game needs at least one slot", got="none", do="Attribute once a slot is there.")
    twice = sorted({slot for slot in slots if slots.count(slot) > 1})
    if twice:
        raise AttributionError("every slot may be named once", got=f"{twice[0]!r} twice")
    if isinstance(value, SlotAware) and tuple(value.slot_ids) != slots:
        raise AttributionError(
            "slot_ids must be those of the value function, in its order",
            got=f"{slots} and {tuple(value.slot_ids)}",
            do="Pass value.slot_ids.",
        )
    return slots


def _checked_alphas(slots: tuple[str, ...], value: object, alphas: Mapping[str, float] | None) -> Mapping[str, float]:
    if alphas is None:
        alphas = value.alphas if isinstance(value, SlotAware) else {}
    elif set(alphas) != set(slots):
        raise AttributionError("alphas must name every slot and no other", got=f"{sorted(alphas)} for the slots {sorted(slots)}")
    # The record checks them here, before the first evaluation instead of after it.
    return CounterfactualResult(config=(True,) * len(slots), alpha_settings=dict(alphas)).alpha_settings


def _whole(name: str, number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 0:
        raise AttributionError(f"{name} must be a whole number of at least 0", got=repr(number))
    return int(number)
