"""Shapley values from antithetic pairs of permutations.

A permutation says in which order the slots are switched on; a slot's gain, averaged over random permutations, is an
unbiased estimate of its Shapley value. Each permutation goes together with its reverse, and the mean of the two is
one observation: an antithetic pair is exact for games with at most pairwise interactions, so what pairs differ by
is interaction of third and higher order only.
Sources: Castro, Gomez and Tejada (2009), Polynomial calculation of the Shapley value based on sampling; Mitchell,
Cooper, Frank and Holmes (2022), Sampling permutations for Shapley value estimation.
"""

from __future__ import annotations

import numpy as np

from karn_wandb.attribution.games import FloatArray, IntArray
from karn_wandb.attribution.values import BoolArray


def antithetic_permutations(n: int, pairs: int, rng: np.random.Generator) -> IntArray:
    """Random permutations of n slots, shape [pairs, 2, n], the second of each pair the reverse of the first."""
    forward = rng.permuted(np.tile(np.arange(n), (pairs, 1)), axis=1)
    return np.stack([forward, forward[:, ::-1]], axis=1)


def coalitions_along(orders: IntArray) -> BoolArray:
    """The coalitions passed while switching on slot after slot, shape [pairs, 2, n + 1, n], from all off to all on."""
    position = np.argsort(orders, axis=-1)
    along: BoolArray = position[..., None, :] < np.arange(orders.shape[-1] + 1)[:, None]
    return along


def pair_estimates(values: FloatArray, orders: IntArray) -> FloatArray:
    """Each pair's estimate of each slot's Shapley value, shape [pairs, n, ...].

    Args:
        values: The game along the permutations, shape [pairs, 2, n + 1, ...]; further axes are games of their own.
        orders: The permutations, shape [pairs, 2, n].
    """
    gains = np.diff(values, axis=2)
    position = np.argsort(orders, axis=-1).reshape(*orders.shape, *(1,) * (values.ndim - 3))
    estimates: FloatArray = np.take_along_axis(gains, position, axis=2).mean(axis=1)
    return estimates


def pair_weights(rows: IntArray, orders: IntArray, coalitions: int) -> FloatArray:
    """What the mean of all pairs' estimates gives each coalition, shape [n, coalitions].

    Args:
        rows: Which coalition is at each place along the permutations, shape [pairs, 2, n + 1].
        orders: The permutations, shape [pairs, 2, n].
        coalitions: How many there are.
    """
    weights = np.zeros((orders.shape[-1], coalitions))
    np.add.at(weights, (orders, rows[..., 1:]), 1.0)
    np.add.at(weights, (orders, rows[..., :-1]), -1.0)
    return weights / (2 * len(orders))
