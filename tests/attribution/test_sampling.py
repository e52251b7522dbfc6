"""Antithetic permutations and the estimates made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.attribution.games import coalition_sizes, shapley_values
from karn_wandb.attribution.sampling import antithetic_permutations, coalitions_along, pair_estimates

SIZES = st.integers(1, 9)
PAIRS = st.integers(1, 6)
SEEDS = st.integers(0, 2**32 - 1)


def numbers(coalitions):
    """Place of each coalition in a full table: the first slot is the most significant bit."""
    return coalitions @ (1 << np.arange(coalitions.shape[-1] - 1, -1, -1))


@given(SIZES, PAIRS, SEEDS)
def test_the_second_of_a_pair_is_the_first_backwards(n, pairs, seed):
    orders = antithetic_permutations(n, pairs, np.random.default_rng(seed))
    assert orders.shape == (pairs, 2, n)
    np.testing.assert_array_equal(np.sort(orders, axis=-1), np.broadcast_to(np.arange(n), orders.shape))
    np.testing.assert_array_equal(orders[:, 1], orders[:, 0, ::-1])


def test_every_permutation_is_as_likely():
    orders = antithetic_permutations(3, 30_000, np.random.default_rng(0))[:, 0]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert counts == pytest.approx([5000] * 6, abs=5 * np.sqrt(5000))


def test_slots_are_switched_on_in_the_order_of_the_permutation():
    along = coalitions_along(np.array([[[2, 0, 1], [1, 0, 2]]]))
    np.testing.assert_array_equal(along[0, 0], [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(along[0, 1], [[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1]])


@given(SIZES, PAIRS, SEEDS)
def test_every_pair_is_exact_for_a_game_of_single_slots_and_pairs(n, pairs, seed):
    rng = np.random.default_rng(seed)
    on = (np.arange(2**n)[:, None] >> np.arange(n - 1, -1, -1)) & 1
    table = on @ rng.normal(size=n) + np.einsum("ci,ij,cj->c", on, rng.normal(size=(n, n)), on)
    orders = antithetic_permutations(n, pairs, rng)
    by_pair = pair_estimates(table[numbers(coalitions_along(orders))], orders)
    np.testing.assert_allclose(by_pair, np.broadcast_to(shapley_values(table), by_pair.shape), atol=1e-10)


@given(SIZES, PAIRS, SEEDS)
def test_every_pair_distributes_the_whole_gain(n, pairs, seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=2**n)
    orders = antithetic_permutations(n, pairs, rng)
    by_pair = pair_estimates(table[numbers(coalitions_along(orders))], orders)
    np.testing.assert_allclose(by_pair.sum(axis=1), table[-1] - table[0], atol=1e-10)


@given(SIZES, PAIRS, SEEDS)
def test_games_along_further_axes_are_estimated_one_by_one(n, pairs, seed):
    rng = np.random.default_rng(seed)
    tables = rng.normal(size=(2**n, 3))
    orders = antithetic_permutations(n, pairs, rng)
    rows = numbers(coalitions_along(orders))
    together = pair_estimates(tables[rows], orders)
    for game in range(3):
        np.testing.assert_allclose(together[..., game], pair_estimates(tables[rows, game], orders), atol=1e-12)


def test_pairs_estimate_the_shapley_value_without_bias_where_three_slots_interact():
    n, rng = 5, np.random.default_rng(1)
    table = np.where(coalition_sizes(n) >= 3, rng.normal(size=2**n), 0.0)
    orders = antithetic_permutations(n, 20_000, rng)
    by_pair = pair_estimates(table[numbers(coalitions_along(orders))], orders)
    error = by_pair.std(axis=0, ddof=1) / np.sqrt(len(orders))
    assert (np.abs(by_pair.mean(axis=0) - shapley_values(table)) < 4 * error).all()
    assert (error > 0).all()
