"""Intervals of Shapley values cover what they promise, over random games with known values."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coalition_games import accuracy_like, coalitions, examples, unanimity
from benchmarks.shapley_coverage import coverage, false_claims, main, rows

ROWS = {row.name: row for row in rows()}


def test_both_estimators_are_simulated_with_and_without_stopping_and_with_each_source_of_noise():
    settings = {(row.config.estimator, row.config.target_std is None, row.by_example) for row in ROWS.values()}
    estimators = ("permutation_antithetic", "leverage_regression")
    assert settings == {(e, stops, noise) for e in estimators for stops in (True, False) for noise in (True, False)} | {
        ("auto", True, True)
    }


@pytest.mark.parametrize("name", ROWS)
def test_intervals_cover_roughly(name):
    """Forty games have 320 intervals; those of a game are not independent, so a standard error is up to 2 %."""
    assert 0.90 < coverage(ROWS[name], games=40, seed=1).covered <= 0.99


def test_slots_without_effect_are_rarely_claimed():
    assert false_claims(games=300) <= 0.04


def test_stopping_early_saves_calls():
    stopping = [row for row in ROWS.values() if row.config.target_std is not None]
    for row in stopping:
        found = coverage(row, games=10)
        assert 0 < found.stopped <= 1
        assert found.calls < 120


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_intervals_cover_93_to_97_percent(name):
    assert 0.93 <= coverage(ROWS[name], games=4000).covered <= 0.97


@pytest.mark.slow
def test_slots_without_effect_are_claimed_in_at_most_3_percent():
    assert false_claims(games=4000) <= 0.03


def test_random_examples_are_on_average_as_often_correct_as_the_table_says():
    table = accuracy_like(4, np.random.default_rng(0))
    correct = examples(table, 200_000, np.random.default_rng(1))
    np.testing.assert_allclose(100 * correct.mean(axis=1), table, atol=5 * 50 / 200_000**0.5)


def test_unanimity_games_are_worth_nothing_when_all_is_off():
    assert unanimity(5, np.random.default_rng(0))[0] == 0
    assert coalitions(2).tolist() == [[False, False], [False, True], [True, False], [True, True]]


def test_the_program_prints_a_row_for_each_setting(capsys):
    main(["--games", "5"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in ROWS)
    assert printed.splitlines()[-1].startswith("| full factorial |")
