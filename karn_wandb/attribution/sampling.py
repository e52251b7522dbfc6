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


def permutations_within(n: int, calls: int, rng: np.random.Generator) -> IntArray:
    """Antithetic pairs of permutations that pass at most `calls` distinct coalitions, shape [pairs, 2, n].

    Pairs are drawn until one would exceed that, or until every coalition is passed. Coalitions that earlier pairs pass too
    cost nothing, so there are the more pairs the fewer slots.

    Args:
        n: Number of slots.
        calls: Coalitions that may be evaluated, all on and all off among them.
        rng: Random generator.
    """
    drawn: list[IntArray] = []
    passed: set[bytes] = set()
    while len(passed) < 2**n:
        pair = antithetic_permutations(n, 1, rng)
        passed |= {coalition.tobytes() for coalition in coalitions_along(pair).reshape(-1, n)}
        if len(passed) > calls:
            break
        drawn.append(pair)
    return np.concatenate([np.empty((0, 2, n), dtype=np.int64), *drawn])


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
