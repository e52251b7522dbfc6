"""The program compares methods on the same games and budgets; what it finds is pasted into the README, not tested here."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("shapiq")

from benchmarks.coalition_games import accuracy_like
from benchmarks.shapley_mse import METHODS, PLAIN, THEIRS, Problem, Row, report, verdicts
from karn_wandb.attribution.games import shapley_values


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_to_the_budget_and_comes_near(name):
    problem = Problem(accuracy_like(6, np.random.default_rng(0)), samples=8, seed=0)
    found, calls = METHODS[name](problem)
    exact = shapley_values(problem.values)
    assert calls <= problem.calls == 42
    assert ((found - exact) ** 2).sum() < (0.5 if name == "SVARM" else 0.2) * (exact**2).sum()


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("samples", [4, 6])
def test_ours_is_more_precise_than_plain_permutations_on_the_same_games(n, samples):
    """Over forty games, whose mean errors differ by a factor of ten and more."""
    errors = {"auto": [], PLAIN: []}
    for seed in range(40):
        problem = Problem(accuracy_like(n, np.random.default_rng(seed)), samples, seed)
        exact = shapley_values(problem.values)
        for name, found in errors.items():
            found.append(((METHODS[name](problem)[0] - exact) ** 2).sum() / (exact**2).sum())
    assert np.mean(errors["auto"]) < 0.2 * np.mean(errors[PLAIN])


def row(factor):
    """Errors of all methods: those of "auto" times a factor, with some scatter."""
    base = np.random.default_rng(0).lognormal(size=(len(METHODS), 50))
    errors = {name: base[i] * (1 if name == "auto" else factor) for i, name in enumerate(METHODS)}
    return Row(("accuracy-like", "5", "18"), errors, dict.fromkeys(METHODS, 18.0))


def test_the_verdict_names_where_another_is_better():
    assert f"0 of {len(THEIRS)} comparisons" in verdicts([row(10.0)])
    assert f"better: {len(THEIRS)} of {len(THEIRS)}; than {PLAIN}: 1 of 1 rows" in verdicts([row(10.0)])
    assert f"{len(THEIRS)} of {len(THEIRS)} comparisons [(('accuracy-like', '5', '18'), 'KernelSHAP')" in verdicts([row(0.1)])


def test_the_table_marks_the_smallest_error():
    line = report([row(10.0)]).splitlines()[2]
    assert line.split("|")[4].strip().startswith("**")
    assert line.count("**") == 2
