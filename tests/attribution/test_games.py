"""The arithmetic of full tables: axioms, other formulas for the same numbers, and another package's."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from karn_wandb.attribution.games import (
    main_effect_weights,
    main_effects,
    moebius_transform,
    shapley_values,
    shapley_weights,
    switched_on,
)
from karn_wandb.errors import AttributionError

VALUES = st.floats(-100, 100, allow_subnormal=False)
UP_TO_SIX = st.integers(1, 6)


@st.composite
def tables(draw, n=UP_TO_SIX):
    return draw(arrays(np.float64, 2 ** draw(n), elements=VALUES))


def slots(table):
    return len(table).bit_length() - 1


@given(tables())
def test_shapley_values_add_up_to_the_gain_of_all_slots(table):
    assert shapley_values(table).sum() == pytest.approx(table[-1] - table[0], abs=1e-9)


@given(tables(st.integers(2, 6)), st.data())
def test_exchanging_two_slots_exchanges_their_shapley_values(table, data):
    n = slots(table)
    order = data.draw(st.permutations(range(n)))
    exchanged = table.reshape((2,) * n).transpose(order).ravel()
    np.testing.assert_allclose(shapley_values(exchanged), shapley_values(table)[list(order)], atol=1e-9)


@given(tables(), st.data())
def test_a_slot_that_changes_nothing_has_no_value_and_no_interaction(table, data):
    n = slots(table)
    null = data.draw(st.integers(0, n))
    with_null = np.repeat(np.expand_dims(table.reshape((2,) * n), null), 2, axis=null).ravel()
    assert shapley_values(with_null)[null] == pytest.approx(0, abs=1e-9)
    assert main_effects(with_null)[null] == 0
    np.testing.assert_allclose(np.delete(shapley_values(with_null), null), shapley_values(table), atol=1e-9)


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(tables(st.just(n)), tables(st.just(n)))))
def test_shapley_values_of_a_sum_are_the_sum(pair):
    one, other = pair
    np.testing.assert_allclose(shapley_values(one + other), shapley_values(one) + shapley_values(other), atol=1e-9)


@given(tables(st.integers(1, 5)))
def test_shapley_values_are_the_mean_gain_over_all_orders(table):
    n = slots(table)
    expected = np.zeros(n)
    for order in permutations(range(n)):
        coalition = 0
        for slot in order:
            larger = coalition | 1 << (n - 1 - slot)
            expected[slot] += table[larger] - table[coalition]
            coalition = larger
    np.testing.assert_allclose(shapley_values(table), expected / factorial(n), atol=1e-9)


@given(st.integers(1, 4).flatmap(lambda n: arrays(np.float64, (2**n, 3, 2), elements=VALUES)))
def test_games_along_further_axes_are_solved_one_by_one(stacked):
    for solve in (shapley_values, main_effects, moebius_transform):
        together = solve(stacked)
        for place in np.ndindex(stacked.shape[1:]):
            np.testing.assert_allclose(together[:, *place], solve(stacked[:, *place]), atol=1e-9)


@given(tables())
def test_dividends_add_up_to_the_game(table):
    np.testing.assert_allclose(sum_over_parts(moebius_transform(table)), table, atol=1e-9)


def sum_over_parts(dividends):
    coalitions = np.arange(len(dividends))
    return np.array([dividends[(coalitions & whole) == coalitions].sum() for whole in coalitions])


@given(tables())
def test_weights_of_coalitions_say_what_the_table_says(table):
    n = slots(table)
    np.testing.assert_allclose(shapley_weights(n) @ table, shapley_values(table), atol=1e-9)
    np.testing.assert_allclose(main_effect_weights(n) @ table, main_effects(table), atol=1e-9)


@pytest.mark.parametrize("n", range(1, 8))
def test_weights_are_the_values_of_games_of_a_single_coalition(n):
    np.testing.assert_allclose(shapley_weights(n), shapley_values(np.eye(2**n)), atol=1e-15)
    np.testing.assert_allclose(main_effect_weights(n), main_effects(np.eye(2**n)), atol=1e-15)


def test_the_first_slot_is_the_most_significant_bit():
    assert switched_on(2).tolist() == [[False, False, True, True], [False, True, False, True]]


@pytest.mark.parametrize("n", range(1, 11))
def test_shapley_and_banzhaf_values_are_those_of_shapiq(n):
    """Reference: shapiq 1.4.1, ExactComputer."""
    shapiq = pytest.importorskip("shapiq")
    table = np.random.default_rng(n).uniform(0, 100, 2**n)
    bits = 1 << np.arange(n - 1, -1, -1)
    exact = shapiq.ExactComputer(lambda coalitions: table[np.asarray(coalitions).astype(int) @ bits], n)
    np.testing.assert_allclose(shapley_values(table), exact("SV").get_n_order_values(1), atol=1e-10)
    np.testing.assert_allclose(main_effects(table), exact("BV").get_n_order_values(1), atol=1e-10)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sixteen_slots_are_solved_exactly(seed):
    """Reference: a linear game plus one of the last two slots together has its Shapley values by inspection."""
    strengths = np.random.default_rng(seed).normal(size=16)
    on = (np.arange(2**16)[:, None] >> np.arange(15, -1, -1)) & 1
    table = on @ strengths + 3.0 * on[:, 14] * on[:, 15]
    np.testing.assert_allclose(shapley_values(table), strengths + np.array([0] * 14 + [1.5] * 2), atol=1e-10)


@pytest.mark.parametrize("length", [0, 1, 3, 12, 2**17])
def test_what_is_no_table_of_a_game_is_refused(length):
    with pytest.raises(AttributionError) as caught:
        shapley_values(np.zeros(length))
    assert str(caught.value) == (
        f"a table of a coalition game must have 2^n values, n from 1 to 16; got {length} values. "
        "Give the value of every coalition, the empty one included."
    )
