"""Exact interaction indices of a full factorial matrix.

Each index here is linear in the Harsanyi dividends a(T) and weighs them by sizes only: I(S) = sum over T that
contain S of c(|S|, |T|) a(T). An index is therefore nothing but its coefficients c.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
from scipy.special import bernoulli

from karn_wandb.attribution.games import MAX_SLOTS, FloatArray, coalition_sizes, moebius_transform
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualMatrix

Index = Literal["SII", "k-SII", "STII", "FSII", "BII"]


def interaction_index(matrix: CounterfactualMatrix, index: Index = "SII", order: int = 2) -> dict[tuple[str, ...], float]:
    """An interaction index for every set of 1 to `order` slots, in the game's unit. Positive is synergy.

    Args:
        matrix: One in which every coalition was evaluated.
        index: "SII" Shapley interaction index (Grabisch and Roubens 1999); "k-SII" the same made efficient
            (Bordt and von Luxburg 2023); "STII" Shapley-Taylor (Sundararajan, Dhamdhere and Agarwal 2020);
            "FSII" faithful Shapley (Tsai, Yeh and Ravikumar 2023); "BII" Banzhaf (Grabisch and Roubens 1999).
            k-SII, STII and FSII add up to v(all on) - v(all off) over all sets.
        order: The largest set, at least 1; sets of more slots than there are do not exist.

    Returns:
        By set of slots, in the order of `matrix.slot_ids`, smaller sets first.

    Raises:
        AttributionError: A coalition was not evaluated, the matrix does not name its slots, or index or order are
            none of the allowed.
    """
    if index not in _COEFFICIENTS:
        raise AttributionError(f"index must be one of {', '.join(_COEFFICIENTS)}", got=repr(index))
    table = _full_table(matrix)
    n = len(matrix.slot_ids)
    if order < 1:
        raise AttributionError("order must be at least 1", got=str(order))
    order = min(order, n)
    # No index depends on v(all off); without it the differences of large sums lose fewer digits.
    dividends = moebius_transform(table - table[0]).reshape((2,) * n)
    coefficient = _COEFFICIENTS[index]
    found = {}
    for size in range(1, order + 1):
        by_size = np.array([coefficient(size, larger, order) for larger in range(size, n + 1)])
        weights = by_size[coalition_sizes(n - size)]
        for members in combinations(range(n), size):
            holding = dividends[tuple(1 if slot in members else slice(None) for slot in range(n))]
            found[tuple(matrix.slot_ids[slot] for slot in members)] = float(weights @ np.ravel(holding))
    return found


def _full_table(matrix: CounterfactualMatrix) -> FloatArray:
    n = len(matrix.slot_ids)
    if not 1 <= n <= MAX_SLOTS:
        raise AttributionError(f"interaction_index needs a matrix of 1 to {MAX_SLOTS} named slots", got=f"{n} slot_ids")
    sign, field = (1, "val_accuracy") if matrix.metric == "accuracy" else (-1, "val_loss")
    table = np.full((2,) * n, np.nan)
    for result in matrix.configs:
        value: float | None = getattr(result, field)
        if value is not None:
            table[tuple(map(int, result.config))] = sign * value
    missing = int((~np.isfinite(table)).sum())
    if missing:
        raise AttributionError(
            f"interaction_index needs the value of all {2**n} coalitions of {n} slots",
            got=f"{2**n - missing}",
            do="Evaluate with CounterfactualConfig(force_full_factorial=True).",
        )
    return table.ravel()


def _sii(small: int, large: int, order: int) -> float:  # noqa: ARG001 -- one signature for all indices
    return 1 / (large - small + 1)


def _bii(small: int, large: int, order: int) -> float:  # noqa: ARG001 -- one signature for all indices
    return 0.5 ** (large - small)


def _k_sii(small: int, large: int, order: int) -> float:
    """SII, with each larger set up to `order` handed down to its parts by Bernoulli numbers."""
    extra = large - small
    numbers = bernoulli(order)
    return float(sum(numbers[j] * comb(extra, j) / (extra - j + 1) for j in range(min(order - small, extra) + 1)))


def _stii(small: int, large: int, order: int) -> float:
    if small < order:
        return float(large == small)
    return 1 / comb(large, order)


def _fsii(small: int, large: int, order: int) -> float:
    """Best approximation of the game by one with sets up to `order` only (Tsai et al. 2023)."""
    if large <= order:
        return float(large == small)
    share = small / (order + small) * comb(order, small) * comb(large - 1, order) / comb(large + order - 1, order + small)
    return -share if (order - small) % 2 else share


_COEFFICIENTS: dict[str, Callable[[int, int, int], float]] = {
    "SII": _sii,
    "k-SII": _k_sii,
    "STII": _stii,
    "FSII": _fsii,
    "BII": _bii,
}
