"""The simulations behind docs/statistics.md run, and the primary interval covers what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage_of_intervals import (
    ARMS,
    ASKED,
    TABLES,
    drawn,
    hits_by_block,
    holding,
    main,
    p_values,
    primary,
    running_t,
)
from karn_wandb.statistics import paired_difference, t_interval, welch_difference

NORMAL = ARMS["normal"]


@pytest.mark.parametrize("name", ARMS)
def test_both_arms_have_the_same_mean(name):
    """Else a coverage would be counted of the wrong truth; a standard error is at most 0.004."""
    rng = np.random.default_rng(0)
    assert [arm(rng, (1_000_000,)).mean() for arm in ARMS[name]] == pytest.approx([0.0, 0.0], abs=0.02)


@pytest.mark.parametrize("paired", [True, False])
def test_the_primary_interval_covers_roughly(paired):
    assert 0.92 < primary(1_000, 5, NORMAL, seed=1, paired=paired) < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_primary_interval_of_normal_data_covers_94_5_to_95_7_percent(n):
    """Of a million draws: in 20,000 the coverage itself has a standard error of 0.15 points."""
    for hits in hits_by_block(20_000, n, NORMAL, seed=0):
        assert ASKED[0] <= hits.sum() / 1_000_000 <= ASKED[1]


@pytest.mark.parametrize("name", ["normal", "normal, one arm three times as spread"])
@pytest.mark.parametrize("paired", [True, False])
def test_intervals_of_all_rows_at_once_are_those_of_the_package(name, paired):
    first, second = drawn(500, 5, ARMS[name], seed=2)
    difference = paired_difference if paired else welch_difference
    intervals = [t_interval(difference(a, b), 0.95) for a, b in zip(first, second, strict=True)]
    assert holding(first, second, paired=paired).tolist() == [low <= 0 <= high for low, high in intervals]


def test_the_first_block_is_that_of_the_other_table():
    hits = hits_by_block(500, 5, NORMAL, seed=2, many=3)
    assert hits[:, 0].tolist() == [round(500 * primary(500, 5, NORMAL, seed=2, paired=paired)) for paired in (False, True)]
    assert len({*hits[0].tolist(), *hits[1].tolist()}) > 1


def test_running_means_and_variances_are_those_of_the_first_values():
    values = np.random.default_rng(0).normal(3, 1, (4, 9))
    mean, variance = running_t(values, np.arange(3, 10))
    for column, n in enumerate(range(3, 10)):
        np.testing.assert_allclose(mean[:, column], values[:, :n].mean(axis=1))
        np.testing.assert_allclose(variance[:, column], values[:, :n].var(axis=1, ddof=1))


def test_p_values_are_those_of_the_paired_t_test():
    """Student's sleep data, as R prints it: 0.002833."""
    deltas = np.array([[1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]])
    assert round(float(p_values(deltas)[0]), 6) == 0.002833


def test_the_program_prints_every_table(capsys):
    main(["--draws", "20"])
    printed = capsys.readouterr().out
    assert all(title in printed for title in TABLES)
    assert sum(line.startswith("| --- |") for line in printed.splitlines()) == len(TABLES)
