"""The simulations behind docs/statistics.md run, and the primary interval covers what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage_of_intervals import ARMS, TABLES, main, p_values, primary, running_t

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
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_primary_interval_of_normal_data_covers_94_5_to_95_7_percent(n, paired):
    """To the tenth of a percent. A million draws of Welch's at n = 5 give 95.58; by chance one in five of 20,000 exceeds 95.7."""
    assert 0.945 <= round(primary(20_000, n, NORMAL, seed=0, paired=paired), 3) <= 0.957


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
