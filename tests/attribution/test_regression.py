"""Pairs of coalitions and the fit that stands in for those not drawn."""

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.attribution.games import coalition_sizes, shapley_values
from karn_wandb.attribution.regression import PairedFit, paired_coalitions, paired_fit
from karn_wandb.attribution.uncertainty import regressed_evaluation_errors
from karn_wandb.attribution.units import Units

SEEDS = st.integers(0, 2**32 - 1)


def numbers(coalitions):
    """Place of each coalition in a full table: the first slot is the most significant bit."""
    return coalitions @ (1 << np.arange(coalitions.shape[-1] - 1, -1, -1))


def differences(table, halves):
    """Half of what each pair's two coalitions differ by, first all slots on and all off."""
    first = numbers(np.vstack([np.ones_like(halves[:1]), halves]))
    return (table[first] - table[len(table) - 1 - first]) / 2


def evaluation_errors(table, halves, fit):
    """Those of a fit when the table's columns are examples."""
    examples = Units("group_jackknife", table, np.ones(table.shape[1]), table.mean(axis=1))
    first = numbers(np.vstack([np.ones_like(halves[:1]), halves]))
    return regressed_evaluation_errors(examples, np.stack([first, len(table) - 1 - first], axis=1), fit)


def coalitions_of(n):
    return np.array(list(product((0, 1), repeat=n)))


@given(st.integers(2, 10), st.integers(1, 80), SEEDS)
def test_pairs_are_distinct_and_as_many_as_asked_for_or_there_are(n, pairs, seed):
    halves = paired_coalitions(n, pairs, np.random.default_rng(seed))
    assert halves.shape == (min(pairs, 2 ** (n - 1) - 1), n)
    assert len(set(numbers(halves)) | set(numbers(~halves))) == 2 * len(halves)
    sizes = halves.sum(axis=1)
    assert ((sizes >= 1) & (2 * sizes <= n)).all()
    assert (sizes[:n] == 1).all()


@given(st.integers(4, 10), st.integers(0, 60), SEEDS)
def test_every_size_takes_its_turn_until_it_is_used_up(n, more, seed):
    halves = paired_coalitions(n, n + more, np.random.default_rng(seed))
    counts = np.bincount(halves.sum(axis=1), minlength=n // 2 + 1)
    for size in range(2, n // 2 + 1):
        half = 2 * size == n
        if counts[size] < comb(n, size) // (1 + half):
            others = [counts[s] / (2 if 2 * s != n else 1) for s in range(2, n // 2 + 1)]
            assert counts[size] / (1 if half else 2) >= max(others) - 1.5 or counts[size] >= counts[1]


def test_one_slot_has_no_pairs_but_the_corners():
    assert paired_coalitions(1, 5, np.random.default_rng(0)).shape == (0, 1)


def test_no_slot_is_preferred():
    halves = [paired_coalitions(6, 12, np.random.default_rng(seed)) for seed in range(2000)]
    sides = np.where(np.stack(halves).sum(axis=-1, keepdims=True) == 3, 0.5, np.stack(halves)).sum(axis=(0, 1))
    assert sides == pytest.approx([sides.mean()] * 6, rel=0.03)


@given(st.integers(3, 8), st.integers(0, 30), SEEDS)
def test_games_of_single_slots_and_pairs_of_slots_are_solved_exactly(n, more, seed):
    rng = np.random.default_rng(seed)
    on = coalitions_of(n)
    table = 3 + on @ rng.normal(size=n) + np.einsum("ci,ij,cj->c", on, rng.normal(size=(n, n)), on)
    halves = paired_coalitions(n, n + more, rng)
    found, drawn = paired_fit(halves), differences(table, halves)
    np.testing.assert_allclose(found.shapley_values(drawn), shapley_values(table), atol=1e-9)
    if found.jackknife is not None:
        np.testing.assert_allclose(found.sampling_errors(drawn), 0, atol=1e-9)


@given(st.integers(3, 8), st.integers(0, 30), SEEDS)
def test_the_whole_gain_is_distributed(n, more, seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=2**n)
    halves = paired_coalitions(n, n + more, rng)
    found = paired_fit(halves).shapley_values(differences(table, halves))
    assert found.sum() == pytest.approx(table[-1] - table[0], abs=1e-9)


@given(st.integers(3, 7), SEEDS)
def test_all_pairs_give_the_shapley_values_themselves(n, seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=2**n)
    halves = paired_coalitions(n, 2**n, rng)
    found = paired_fit(halves)
    np.testing.assert_allclose(found.shapley_values(differences(table, halves)), shapley_values(table), atol=1e-9)
    assert found.jackknife is None


@given(st.integers(4, 7), st.integers(0, 12), SEEDS)
def test_coalitions_that_were_not_drawn_count_with_what_the_fit_predicts_for_them(n, more, seed):
    """Reference: the definition, on the table completed by numpy's least squares."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=2**n)
    halves = paired_coalitions(n, n + more, rng)
    drawn = differences(table, halves)
    regressors = np.vstack([np.ones((1, n)), np.where(halves, 1, -1)]) / 2
    slope = np.linalg.lstsq(regressors, drawn, rcond=None)[0]
    completed = (coalitions_of(n) - 0.5) @ slope
    completed[-1], completed[0] = drawn[0], -drawn[0]
    completed[numbers(halves)], completed[numbers(~halves)] = drawn[1:], -drawn[1:]
    np.testing.assert_allclose(paired_fit(halves).shapley_values(drawn), shapley_values(completed), atol=1e-9)


@given(st.integers(4, 7), st.integers(2, 12), SEEDS)
def test_leaving_a_pair_out_is_the_fit_without_it(n, more, seed):
    """The pair left out is predicted by the others; its weight times that error is what the estimate changes by."""
    rng = np.random.default_rng(seed)
    halves = paired_coalitions(n, n + more, rng)
    drawn = differences(rng.normal(size=2**n), halves)
    regressors = np.vstack([np.ones((1, n)), np.where(halves, 1, -1)]) / 2
    left_out = paired_fit(halves).left_out @ drawn
    for pair in range(1, len(drawn)):
        rest = np.delete(np.arange(len(drawn)), pair)
        slope = np.linalg.lstsq(regressors[rest], drawn[rest], rcond=None)[0]
        assert left_out[pair - 1] == pytest.approx(drawn[pair] - regressors[pair] @ slope, abs=1e-9)


def test_errors_are_right_on_average_and_as_free_as_they_say_for_values_that_scatter_independently():
    """Games of independent values: the variance estimates' own mean and variance are those of chi squared."""
    n, rng = 6, np.random.default_rng(0)
    halves = paired_coalitions(n, 14, rng)
    found = paired_fit(halves)
    tables = rng.normal(size=(2**n, 40_000))
    drawn = differences(tables, halves)
    actual = ((found.shapley_values(drawn) - shapley_values(tables)) ** 2).mean(axis=1)
    claimed = found.sampling_errors(drawn) ** 2
    np.testing.assert_allclose(claimed.mean(axis=1), actual, rtol=0.05)
    np.testing.assert_allclose(2 * claimed.mean(axis=1) ** 2 / claimed.var(axis=1), found.degrees_of_freedom, rtol=0.05)


def test_errors_by_example_do_not_count_the_sampling_twice():
    """Examples that need some strength, of which each slot gives them a different part: the error of the exact values."""
    n, examples, rng = 8, 200, np.random.default_rng(0)
    exact, claimed, plain = [], [], []
    for _ in range(60):
        needed, given_by = rng.uniform(0, n, size=examples), rng.normal(1, 0.5, size=(n, examples))
        table = (coalitions_of(n) @ given_by > needed).astype(float)
        halves = paired_coalitions(n, 30, rng)
        found, drawn = paired_fit(halves), differences(table, halves)
        exact.append(shapley_values(table).var(axis=1, ddof=1) / examples)
        claimed.append(evaluation_errors(table, halves, found).std ** 2)
        plain.append(found.shapley_values(drawn).var(axis=1, ddof=1) / examples)
    assert np.mean(claimed) == pytest.approx(np.mean(exact), rel=0.05)
    assert np.mean(plain) > 1.25 * np.mean(exact)


def test_too_few_pairs_give_no_fit_and_single_slots_alone_no_error():
    halves = paired_coalitions(6, 8, np.random.default_rng(0))
    assert paired_fit(halves[:5]) is None
    alone = paired_fit(halves[:6])
    table = np.random.default_rng(0).normal(size=(64, 5))
    assert alone.sampling_errors(differences(table, halves[:6])[:, 0]) is None
    assert evaluation_errors(table, halves[:6], alone) is None
    assert alone.degrees_of_freedom is None
    assert isinstance(paired_fit(halves[:7]), PairedFit)
    assert paired_fit(halves[:7]).degrees_of_freedom == pytest.approx([1] * 6)


def test_the_bias_is_a_small_part_of_the_error():
    """Over designs, for a game of three-way and higher terms: the mean misses by far less than one estimate does."""
    n, table = 7, np.where(coalition_sizes(7) >= 3, np.random.default_rng(3).normal(size=2**7), 0.0)
    rng = np.random.default_rng(4)
    found = []
    for _ in range(1500):
        halves = paired_coalitions(n, 20, rng)
        found.append(paired_fit(halves).shapley_values(differences(table, halves)))
    errors = np.array(found) - shapley_values(table)
    assert (errors.mean(axis=0) ** 2).mean() < 0.2 * (errors**2).mean()


def test_intervals_of_one_games_designs_cover():
    """Student's t with the fit's own degrees of freedom, over designs and games with terms of every order."""
    n, rng = 7, np.random.default_rng(5)
    covered = []
    for _ in range(600):
        table = rng.normal(size=2**n)
        halves = paired_coalitions(n, 22, rng)
        found, drawn = paired_fit(halves), differences(table, halves)
        margin = stats.t.ppf(0.975, found.degrees_of_freedom) * found.sampling_errors(drawn)
        covered.append(np.abs(found.shapley_values(drawn) - shapley_values(table)) <= margin)
    assert 0.93 < np.mean(covered) < 0.97
