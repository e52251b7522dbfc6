"""Which coalitions a strategy asks for, in the order in which they are evaluated.

All slots on and all slots off always come first: whatever cuts the work short, the removal cost of everything is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, product
from typing import Literal, cast

import numpy as np

from karn_wandb.attribution.games import MAX_SLOTS, IntArray
from karn_wandb.attribution.regression import paired_coalitions
from karn_wandb.attribution.sampling import coalitions_along, permutations_within
from karn_wandb.attribution.values import BoolArray
from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition, CounterfactualConfig

EffectiveStrategy = Literal["full_factorial", "shapley", "ablation_only"]

_FIRST_PERMUTATIONS, _FIRST_COALITIONS = 10, 6
"""Pairs of permutations, or pairs of coalitions beyond one a slot, before their spread may end the sampling.

A spread of few is often small by chance, and that would be a reason to stop and believe it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate.

    Attributes:
        strategy: What is done.
        coalitions: Those it asks for, each once, in the order of their evaluation.
        orders: The permutations sampled, shape [pairs, 2, n]; None when none are.
        halves: One coalition of each complementary pair sampled, shape [pairs, n]; None when none are.
        looks: After how many coalitions the sampling error may be judged, each about twice as many as the one before.
    """

    strategy: EffectiveStrategy
    coalitions: tuple[Coalition, ...]
    orders: IntArray | None = None
    halves: BoolArray | None = None
    looks: tuple[int, ...] = ()


def plan(config: CounterfactualConfig, n: int, rng: np.random.Generator) -> Plan:
    """What `config` asks for with n slots, before `max_configurations` cuts it.

    Sampling may evaluate as many distinct coalitions as `shapley_samples` permutations pass when no two pass the same.

    Raises:
        AttributionError: A full factorial of more than 16 slots.
    """
    strategy = cast("EffectiveStrategy", config.effective_strategy(n))
    if strategy == "full_factorial":
        return Plan(strategy, _full_factorial(n))
    if strategy == "ablation_only":
        return Plan(strategy, _distinct(n, _each_one_off(n)))
    calls = config.shapley_samples * (n - 1) + 2
    if _regresses(config, n, calls):
        return _paired(n, (calls - 2) // 2, rng)
    return _permuted(n, calls, rng)


def _regresses(config: CounterfactualConfig, n: int, calls: int) -> bool:
    """Whether to fit: "auto" does from one pair a slot on, where it is already more precise than permutations."""
    if config.estimator != "auto":
        return config.estimator == "leverage_regression"
    return min(calls, config.max_configurations or calls) >= 2 * n + 2


def _paired(n: int, pairs: int, rng: np.random.Generator) -> Plan:
    halves = paired_coalitions(n, pairs, rng)
    sides = np.stack([halves, ~halves], axis=1).reshape(-1, n)
    coalitions = _distinct(n, [tuple(row) for row in sides.tolist()])
    looks = [2 + 2 * count for count in _doubled(n + _FIRST_COALITIONS, len(halves))]
    return Plan("shapley", coalitions, halves=halves, looks=tuple(looks))


def _permuted(n: int, calls: int, rng: np.random.Generator) -> Plan:
    orders = permutations_within(n, calls, rng)
    passed = [[tuple(row) for row in along.reshape(-1, n).tolist()] for along in coalitions_along(orders)]
    known = list(accumulate(passed, lambda before, new: before | set(new), initial={(True,) * n, (False,) * n}))
    looks = [len(known[count]) for count in _doubled(_FIRST_PERMUTATIONS, len(orders))]
    return Plan("shapley", _distinct(n, [c for along in passed for c in along]), orders=orders, looks=tuple(looks))


def _doubled(first: int, total: int) -> list[int]:
    """`first`, twice as many and so on, below `total`."""
    counts = []
    while first < total:
        counts.append(first)
        first *= 2
    return counts


def _distinct(n: int, coalitions: list[Coalition]) -> tuple[Coalition, ...]:
    return tuple(dict.fromkeys([(True,) * n, (False,) * n, *coalitions]))


def _each_one_off(n: int) -> list[Coalition]:
    return [tuple(slot != off for slot in range(n)) for off in range(n)]


def _full_factorial(n: int) -> tuple[Coalition, ...]:
    """From both corners inwards, so that a factorial cut short still tells each slot's removal cost."""
    if n > MAX_SLOTS:
        raise AttributionError(
            f"a full factorial may have at most {MAX_SLOTS} slots",
            got=f"{n} slots, {2**n} coalitions",
            do='Sample them with strategy="shapley".',
        )

    def distance_from_corner(coalition: Coalition) -> tuple[int, int]:
        off = n - sum(coalition)
        return min(n - off, off), off

    return tuple(sorted(product((False, True), repeat=n), key=distance_from_corner))
