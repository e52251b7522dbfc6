"""Exact arithmetic on coalition games given as full tables.

A table holds the game's value of all 2^n coalitions of n slots along its first axis, in the order in which binary
numbers count: the first slot is the most significant bit, entry 0 is the empty coalition, the last the full one.
Further axes are games of their own, solved at once: with one game per validation example the same code gives
per-example Shapley values.
"""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt

from karn_wandb.errors import AttributionError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_SLOTS = 16
"""A table of more slots would have more than 65,536 values, each a validation pass."""


def slots_of(table: FloatArray) -> int:
    """The number of slots n of a table of 2^n values.

    Raises:
        AttributionError: The table is of no length 2^n with 1 <= n <= 16.
    """
    n = len(table).bit_length() - 1
    if not 1 <= n <= MAX_SLOTS or len(table) != 2**n:
        raise AttributionError(
            f"a table of a coalition game must have 2^n values, n from 1 to {MAX_SLOTS}",
            got=f"{len(table)} values",
            do="Give the value of every coalition, the empty one included.",
        )
    return n


def coalition_sizes(n: int) -> IntArray:
    """How many of n slots are on, for each of the 2^n coalitions in table order."""
    sizes = np.zeros(1, dtype=np.int64)
    for _ in range(n):
        sizes = np.concatenate([sizes, sizes + 1])
    return sizes


def switched_on(n: int) -> npt.NDArray[np.bool_]:
    """Which coalitions of a table have each of n slots on, shape [n, 2^n]."""
    return (np.arange(2**n) >> np.arange(n - 1, -1, -1)[:, None]) & 1 > 0


def shapley_values(table: FloatArray) -> FloatArray:
    """Shapley values, shape [n, ...]: a slot's gain averaged over all orders in which slots can be switched on.

    phi_i = sum over S without i of |S|! (n-|S|-1)! / n! * (v(S+i) - v(S)); they sum to v(all on) - v(all off).
    Source: Shapley (1953), A value for n-person games.
    """
    n = slots_of(table)
    by_size = np.array([1 / (n * comb(n - 1, size)) for size in range(n)])
    weights = by_size[coalition_sizes(n - 1)]
    return np.stack([np.tensordot(weights, _gains(table, slot), axes=1) for slot in range(n)])


def main_effects(table: FloatArray) -> FloatArray:
    """Factorial main effects, shape [n, ...]: mean of all coalitions with the slot minus mean of those without.

    In a two-level full factorial this is the Banzhaf value of game theory. Source: Banzhaf (1965), Weighted voting doesn't work;
    Box, Hunter and Hunter (2005), Statistics for experimenters, chapter 5.
    """
    return np.stack([_gains(table, slot).mean(axis=0) for slot in range(slots_of(table))])


def shapley_weights(n: int) -> FloatArray:
    """What each slot's Shapley value gives each coalition of a table, shape [n, 2^n]."""
    by_size = np.array([1 / (n * comb(n - 1, size)) for size in range(n)] + [0.0])
    sizes = coalition_sizes(n)
    return np.where(switched_on(n), by_size[sizes - 1], -by_size[sizes])


def main_effect_weights(n: int) -> FloatArray:
    """What each slot's main effect gives each coalition of a table, shape [n, 2^n]."""
    weight = 0.5 ** (n - 1)
    return np.where(switched_on(n), weight, -weight)


def moebius_transform(table: FloatArray) -> FloatArray:
    """Harsanyi dividends a(T), in table order: what a coalition adds beyond all its parts; v(S) = sum of a(T), T in S.

    Source: Rota (1964), On the foundations of combinatorial theory I.
    """
    dividends = table.copy()
    for slot in range(slots_of(table)):
        blocks = _blocks(dividends, slot)
        blocks[:, 1] -= blocks[:, 0]
    return dividends


def _blocks(table: FloatArray, slot: int) -> FloatArray:
    """A view of shape [2^slot, 2, rest, ...] whose second axis is the slot, off and on."""
    return table.reshape(2**slot, 2, -1, *table.shape[1:])


def _gains(table: FloatArray, slot: int) -> FloatArray:
    """What switching the slot on changes, for each of the 2^(n-1) coalitions of the others, in table order."""
    blocks = _blocks(table, slot)
    gains: FloatArray = (blocks[:, 1] - blocks[:, 0]).reshape(-1, *table.shape[1:])
    return gains
