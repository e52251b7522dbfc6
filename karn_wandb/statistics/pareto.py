"""Which of several things are not beaten on cost and value at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from karn_wandb.errors import StatisticsError


def pareto_front(costs: npt.ArrayLike, values: npt.ArrayLike) -> tuple[bool, ...]:
    """Mark what is not dominated: nothing else is as cheap and as good, and better in one of the two (Pareto 1906).

    Of things that are equal in both, all are on the front or none is.

    Args:
        costs: Shape (n,); less is better.
        values: Shape (n,); more is better.

    Raises:
        StatisticsError: The arrays are not of one length, or hold NaN.
    """
    cost, value = np.asarray(costs, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if cost.ndim != 1 or cost.shape != value.shape:
        raise StatisticsError("a front needs a cost and a value for each point", got=f"shapes {cost.shape} and {value.shape}")
    if np.isnan(cost).any() or np.isnan(value).any():
        raise StatisticsError("costs and values of a front must be numbers", got="NaN", do="Leave out what was not measured.")
    order = np.lexsort((-value, cost))
    front = np.zeros(cost.size, dtype=bool)
    best = -np.inf
    for start in order:  # by rising cost, of one cost the best first: on the front is what is better than all cheaper ones
        if value[start] > best:
            front |= (cost == cost[start]) & (value == value[start])
            best = value[start]
    return tuple(front.tolist())
