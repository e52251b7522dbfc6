"""Evaluate a coalition game and say what follows from it, with what certainty."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral

import numpy as np

from karn_wandb.attribution.plan import plan
from karn_wandb.attribution.values import BatchValue, PartialValue, Reader, SelfChecking, SlotAware, ValueFunction
from karn_wandb.attribution.work import Task
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualConfig, CounterfactualMatrix, CounterfactualResult, Metric


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
                `evaluate_all` gets all coalitions in one call, or with a timeout to keep in groups that there is time for.
            epoch: Epoch of the evaluation.
            metric: The game: percent accuracy, or minus the loss. Positive always helps.
            alphas: By slot, its present alpha, which is what "on" means. When left out it is asked of `value`; when
                that does not know either, `alpha_settings` stay empty.

        Returns:
            The matrix, its coalitions in the order in which binary numbers count. When `max_configurations` or
            `timeout_seconds` cut the work short it is not `complete`: what was skipped is listed, nothing is filled in.
            When `target_std` was reached, or with `decide_early` a part of the examples was enough, it is `complete`, and
            `early_stop` says so.

        Raises:
            AttributionError: The slots, the alphas or an answer of `value` are unusable; or `value` raised: then the
                message names the coalition, and what it raised is the cause. Or the configuration cannot be met:
                `decide_early` with a value that cannot be asked in part or tells no outcomes by example or group;
                `max_configurations` that is used up by what the value repeats.
            RecordError: An alpha is not between 0 and 1.
        """
        slots = _checked_slots(slot_ids, value)
        epoch = _whole("epoch", epoch)
        if metric not in ("accuracy", "loss"):
            raise AttributionError('metric must be "accuracy" or "loss"', got=repr(metric))
        reader = Reader(slots, metric, _checked_alphas(slots, value, alphas))
        started, timeout = time.monotonic(), self.config.timeout_seconds
        rng, budget = np.random.default_rng((self.seed, epoch)), self._budget(value)
        planned = plan(replace(self.config, max_configurations=budget), len(slots), rng)
        task = Task(self.config, planned, reader, budget, None if timeout is None else started + timeout)
        work = task.done_in_parts(_in_parts(value), rng) if self.config.decide_early else task.done(value)
        seconds = time.monotonic() - started
        solution = task.solution(work.known)
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
            complete=not work.stop_reason,
            skipped=work.skipped,
            stop_reason=work.stop_reason,
            n_examples=work.examples if solution.n_examples is None else solution.n_examples,
            seconds=seconds,
            interactions=interactions,
            group_sizes=solution.game.group_sizes if self.config.keep_outcomes else None,
            examples_available=work.examples_available,
            early_stop=work.early_stop,
        )

    def _budget(self, value: object) -> int | None:
        """Distinct coalitions that may be evaluated: what the value repeats to check itself is paid for first."""
        allowed = self.config.max_configurations
        repeats = value.repeats if isinstance(value, SelfChecking) else 0
        if allowed is not None and allowed <= repeats:
            raise AttributionError(
                f"max_configurations must be more than the {repeats} that the value evaluates a second time to check itself",
                got=str(allowed),
            )
        return None if allowed is None else allowed - repeats

    def _kept(self, result: CounterfactualResult) -> CounterfactualResult:
        if self.config.keep_outcomes:
            return result
        return replace(result, correct=None, group_losses=None, group_accuracies=None)


def _in_parts(value: object) -> PartialValue:
    if isinstance(value, PartialValue):
        return value
    raise AttributionError(
        "decide_early needs a value that can be asked about a part of the validation examples",
        got=type(value).__name__,
        do="Pass a ModelEvaluator or another PartialValue, or set decide_early=False.",
    )


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
