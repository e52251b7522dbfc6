"""Which coalitions a strategy asks for, in the order in which they are evaluated.

All slots on and all slots off always come first: whatever cuts the work short, the removal cost of everything is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal, cast

import numpy as np

from karn_wandb.attribution.games import MAX_SLOTS, IntArray
from karn_wandb.attribution.sampling import antithetic_permutations, coalitions_along
from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition, CounterfactualConfig

EffectiveStrategy = Literal["full_factorial", "shapley", "ablation_only"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate.

    Attributes:
        strategy: What is done.
        coalitions: Those it asks for, each once, in the order of their evaluation.
        orders: The permutations sampled, shape [pairs, 2, n]; None when none are.
    """

    strategy: EffectiveStrategy
    coalitions: tuple[Coalition, ...]
    orders: IntArray | None = None


def plan(config: CounterfactualConfig, n: int, rng: np.random.Generator) -> Plan:
    """What `config` asks for with n slots.

    Raises:
        AttributionError: A full factorial of more than 16 slots.
    """
    strategy = cast("EffectiveStrategy", config.effective_strategy(n))
    if strategy == "full_factorial":
        return Plan(strategy, _full_factorial(n))
    if strategy == "ablation_only":
        return Plan(strategy, _distinct(n, _each_one_off(n)))
    orders = antithetic_permutations(n, config.shapley_samples // 2, rng)
    passed = [tuple(row) for row in coalitions_along(orders).reshape(-1, n).tolist()]
    return Plan(strategy, _distinct(n, passed), orders)


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
