"""Permutation tests of two arms: exact while all relabellings can be looked at, else by Monte Carlo.

A relabelling is a row of values: the paired deltas with other signs, or the pooled values with the smaller arm's first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from karn_wandb.statistics.bootstrap import batches
from karn_wandb.statistics.inputs import Floats

Statistic = Callable[[Floats], Floats]
"""From relabellings, shape (rows, values), to how extreme each is, shape (rows,)."""

EXACT_LIMIT = 50_000
"""Relabellings that are enumerated: up to 15 pairs, or 9 runs an arm; well under a second."""
RELABELLINGS = 9_999
"""Random relabellings beyond it; with the observed one that makes 10,000."""


class PermutationTest(NamedTuple):
    """A two-sided permutation p-value and how it was found."""

    p_value: float
    method: Literal["exact", "monte_carlo"]


def permutation_test(treatment: Floats, control: Floats, *, paired: bool, rng: np.random.Generator) -> PermutationTest:
    """Two-sided permutation test of no difference.

    Paired: the signs of the deltas are flipped; the statistic is the size of their sum (Fisher 1935), which orders the
    flips exactly as Student's t does. Unpaired: the values are dealt out anew; the statistic is the size of Welch's t,
    so that the test stays valid in large samples when the arms differ in spread (Janssen 1997; Chung & Romano 2013);
    for arms of equal size it orders the relabellings exactly as the difference of means does. Monte Carlo p-values are
    (b + 1) / (m + 1), never zero (Phipson & Smyth 2010). Exchanging the arms changes nothing, random draws included.

    Args:
        treatment: Shape (n,), at least two values.
        control: Shape (m,), at least two values; m = n when paired.
        paired: Whether value i of one arm belongs to value i of the other.
        rng: Used only when the relabellings are too many to enumerate.
    """
    return _paired(treatment - control, rng) if paired else _unpaired(treatment, control, rng)


def attainable_p(n_treatment: int, n_control: int, *, paired: bool) -> float:
    """The smallest two-sided p-value that any data of this size can give when all relabellings are looked at.

    Flipping every sign, or exchanging two arms of equal size, leaves a two-sided statistic as it is, so the most
    extreme relabelling has a twin: 2 / 2^n for pairs, 2 / C(2n, n) for equal arms. Arms of unequal size cannot be
    exchanged and have no twin: 1 / C(n + m, n).
    """
    if paired:
        return 0.5 ** (n_treatment - 1)
    return (2 if n_treatment == n_control else 1) / math.comb(n_treatment + n_control, n_treatment)


def smallest_sufficient_n(alpha: float, *, paired: bool) -> int:
    """Pairs, or runs in each of two equal arms, from which on the permutation test can reach `alpha` (> 0)."""
    n = 1
    while attainable_p(n, n, paired=paired) > alpha:
        n += 1
    return n


def _paired(deltas: Floats, rng: np.random.Generator) -> PermutationTest:
    sizes = np.sort(np.abs(deltas))  # flips of the sizes are the flips of the deltas, whichever arm came first
    n = sizes.size

    def statistic(rows: Floats) -> Floats:
        sums: Floats = rows.sum(axis=1)
        return np.abs(sums)

    def signed(flips: npt.NDArray[np.int64]) -> Floats:
        return np.where(flips == 1, -sizes, sizes)

    threshold = abs(float(deltas.sum())) - 1e-12 * float(sizes.sum())
    if 2**n <= EXACT_LIMIT:
        return _exact(signed(np.arange(2**n)[:, None] >> np.arange(n) & 1), statistic, threshold)
    draws = (signed(rng.integers(0, 2, (rows, n))) for rows in batches(RELABELLINGS, n))
    return _monte_carlo(draws, statistic, threshold)


def _unpaired(treatment: Floats, control: Floats, rng: np.random.Generator) -> PermutationTest:
    smaller, larger = sorted((treatment, control), key=len)
    observed = np.concatenate((smaller, larger))
    pooled, size = np.sort(observed), smaller.size

    def statistic(rows: Floats) -> Floats:
        return _welch_t_sizes(rows[:, :size], rows[:, size:])

    t = float(statistic(observed[None, :])[0])
    threshold = t - 1e-9 * (1 + t) if math.isfinite(t) else t
    if math.comb(pooled.size, size) <= EXACT_LIMIT:
        return _exact(_all_choices(pooled, size), statistic, threshold)
    draws = (rng.permuted(np.tile(pooled, (rows, 1)), axis=1) for rows in batches(RELABELLINGS, pooled.size))
    return _monte_carlo(draws, statistic, threshold)


def _exact(rows: Floats, statistic: Statistic, threshold: float) -> PermutationTest:
    # Thresholds lie a hair below the observed statistic: relabellings that tie with it must count whatever the rounding.
    return PermutationTest(float(np.mean(statistic(rows) >= threshold)), "exact")


def _monte_carlo(draws: Iterator[Floats], statistic: Statistic, threshold: float) -> PermutationTest:
    extreme = sum(int(np.count_nonzero(statistic(rows) >= threshold)) for rows in draws)
    return PermutationTest((extreme + 1) / (RELABELLINGS + 1), "monte_carlo")


def _all_choices(pooled: Floats, size: int) -> Floats:
    """Every choice of `size` of the values, the chosen ones first in each row."""
    chosen = np.array(list(combinations(range(pooled.size), size)))
    left = np.ones((len(chosen), pooled.size), dtype=bool)
    np.put_along_axis(left, chosen, values=False, axis=1)
    return pooled[np.argsort(left, axis=1, kind="stable")]


def _welch_t_sizes(first: Floats, second: Floats) -> Floats:
    """The size of Welch's t in each row; infinite where both arms are constant and differ."""
    gap = np.abs(first.mean(axis=1) - second.mean(axis=1))
    error = np.sqrt(first.var(axis=1, ddof=1) / first.shape[1] + second.var(axis=1, ddof=1) / second.shape[1])
    rounding = 16 * np.finfo(float).eps * max(np.abs(first).max(), np.abs(second).max())
    sizes: Floats = np.where(gap > rounding, np.inf, 0.0)
    np.divide(gap, error, out=sizes, where=error > rounding)
    return sizes
