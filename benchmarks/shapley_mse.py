"""How precise are Shapley values from few calls? Ours and shapiq's, on the same random games, at equal calls.

    python -m benchmarks.shapley_mse

A row is a kind of game, a number of slots and a budget; its cells are mean relative squared errors over `--games` games: the
sum over slots of squared errors over that of squared Shapley values. A call is a coalition whose value is asked for. All get
the same budget, and what they ask for within it counts in full: repeats too, which shapiq's permutations have and ours
take from what is known. What a method leaves of its budget is lost to it.

"auto" is compared with each of shapiq's by a paired t test over games of the logarithms of their errors, which a few games
with large errors do not dominate. All one-sided p-values of a question, over rows and methods, are corrected by Holm.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

import numpy as np
import numpy.typing as npt
import shapiq
from scipy.stats import ttest_1samp

from benchmarks.coalition_games import Game, TableValue, accuracy_like, unanimity
from benchmarks.offline import table
from karn_wandb import CounterfactualConfig, CounterfactualEngine
from karn_wandb.attribution.claims import holm
from karn_wandb.attribution.games import FloatArray, shapley_values
from karn_wandb.records.counterfactual import Estimator

SAMPLES = {5: (4, 6), 8: (4, 10, 20), 10: (4, 10, 20), 12: (4, 10, 20)}
"""By number of slots n, the permutations that the budgets would pay for: samples * (n - 1) + 2 calls."""

GAMES: dict[str, Game] = {"accuracy-like": accuracy_like, "unanimity": unanimity}
PLAIN = "iid permutations"
"""The method that "auto" must beat everywhere."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One game and what may be spent on it.

    Attributes:
        values: Of all coalitions, in the order of binary numbers.
        samples: Permutations that the budget would pay for.
        seed: Of the method.
    """

    values: FloatArray
    samples: int
    seed: int

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.values).bit_length() - 1

    @property
    def calls(self) -> int:
        """The budget."""
        return self.samples * (self.slots - 1) + 2


class Approximator(Protocol):
    """What shapiq's methods have in common."""

    def approximate(self, budget: int, game: Callable[..., FloatArray], /) -> shapiq.InteractionValues:
        """Values from that many evaluations of the game."""
        ...


Answer = tuple[FloatArray, int]
"""Shapley values and the calls made for them."""


def ours(estimator: Estimator) -> Callable[[Problem], Answer]:
    """The engine."""

    def solve(problem: Problem) -> Answer:
        config = CounterfactualConfig(strategy="shapley", shapley_samples=problem.samples, estimator=estimator)
        names = [f"slot{slot}" for slot in range(problem.slots)]
        matrix = CounterfactualEngine(config, problem.seed).evaluate(names, TableValue(problem.values), 1, metric="loss")
        found = np.array([estimate.mean for estimate in (matrix.shapley_values or {}).values()])
        return found, len(matrix.configs)

    return solve


def theirs(approximator: Callable[[int, int], Approximator]) -> Callable[[Problem], Answer]:
    """One of shapiq's, made of the number of slots and a seed."""

    def solve(problem: Problem) -> Answer:
        calls = 0
        bits = 1 << np.arange(problem.slots - 1, -1, -1)

        def game(coalitions: npt.NDArray[np.bool_]) -> FloatArray:
            nonlocal calls
            asked = np.atleast_2d(coalitions)
            calls += len(asked)
            values: FloatArray = problem.values[asked.astype(np.int64) @ bits]
            return values

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about budgets it cannot spend whole
            found = approximator(problem.slots, problem.seed).approximate(problem.calls, game)
        return np.array([found.dict_values.get((slot,), 0.0) for slot in range(problem.slots)]), calls

    return solve


OURS = {"auto": ours("auto"), "antithetic permutations": ours("permutation_antithetic")}
THEIRS = {
    "KernelSHAP": theirs(lambda n, seed: shapiq.KernelSHAP(n, pairing_trick=True, random_state=seed)),
    "kADD-SHAP": theirs(lambda n, seed: shapiq.kADDSHAP(n, max_order=2, pairing_trick=True, random_state=seed)),
    "SVARM": theirs(lambda n, seed: shapiq.SVARM(n, random_state=seed)),
    PLAIN: theirs(lambda n, seed: shapiq.PermutationSamplingSV(n, random_state=seed)),
}
METHODS = OURS | THEIRS


@dataclass(frozen=True, slots=True)
class Row:
    """Errors on shared games.

    Attributes:
        name: Kind of game, slots, calls.
        errors: By method, the relative squared error of each game.
        calls: By method, the calls it made on average.
    """

    name: tuple[str, str, str]
    errors: dict[str, FloatArray]
    calls: dict[str, float]


def measured(games: int) -> Iterator[Row]:
    """All rows."""
    for kind, game in GAMES.items():
        for n, budgets in SAMPLES.items():
            for samples in budgets:
                yield _row(kind, game, n, samples, games)


def _row(kind: str, game: Game, n: int, samples: int, games: int) -> Row:
    errors = {name: np.empty(games) for name in METHODS}
    calls = dict.fromkeys(METHODS, 0.0)
    for number in range(games):
        problem = Problem(game(n, np.random.default_rng((n, number))), samples, number)
        exact = shapley_values(problem.values)
        for name, solve in METHODS.items():
            found, asked = solve(problem)
            errors[name][number] = ((found - exact) ** 2).sum() / (exact**2).sum()
            calls[name] += asked / games
    return Row((kind, str(n), str(samples * (n - 1) + 2)), errors, calls)


def log_ratio(row: Row, other: str) -> FloatArray:
    """By game, the logarithm of how many times larger the other's error is than that of "auto"."""
    tiny = np.finfo(np.float64).tiny
    ratios: FloatArray = np.log(row.errors[other] + tiny) - np.log(row.errors["auto"] + tiny)
    return ratios


def verdicts(rows: Sequence[Row]) -> str:
    """Is "auto" worse than the best of shapiq's, or than any? Better than plain permutations?"""
    pairs = [(row, other) for row in rows for other in THEIRS]
    worse = holm([float(ttest_1samp(log_ratio(row, other), 0, alternative="less").pvalue) for row, other in pairs])
    better = holm([float(ttest_1samp(log_ratio(row, other), 0, alternative="greater").pvalue) for row, other in pairs])
    lost = [(row.name, other) for (row, other), p in zip(pairs, worse, strict=True) if p <= 0.05]
    won = [(row.name, other) for (row, other), p in zip(pairs, better, strict=True) if p <= 0.05]
    plain = sum(other == PLAIN for _, other in won)
    return "\n".join(
        [
            f'"auto" significantly worse than one of shapiq\'s: {len(lost)} of {len(pairs)} comparisons {lost or ""}'.rstrip(),
            f'"auto" significantly better: {len(won)} of {len(pairs)}; than {PLAIN}: {plain} of {len(rows)} rows',
        ]
    )


def report(rows: Sequence[Row]) -> str:
    """The tables."""
    lines = []
    for row in rows:
        means = {name: float(errors.mean()) for name, errors in row.errors.items()}
        best = min(THEIRS, key=means.__getitem__)
        ratio = log_ratio(row, best)
        half = 1.96 * float(ratio.std(ddof=1)) / len(ratio) ** 0.5
        low, middle, high = np.exp([ratio.mean() - half, ratio.mean(), ratio.mean() + half]).tolist()
        cells = [f"**{mean:.2g}**" if mean == min(means.values()) else f"{mean:.2g}" for mean in means.values()]
        lines.append([*row.name, *cells, best, f"{middle:.2f} ({low:.2f} to {high:.2f})"])
    header = ["game", "slots", "calls", *METHODS, "best of shapiq's", "its error over auto's"]
    spent = [f"{100 * float(np.mean([row.calls[name] / int(row.name[2]) for row in rows])):.1f} %" for name in METHODS]
    return "\n\n".join([table(header, lines), verdicts(rows), table(["", *METHODS], [["budget spent", *spent]])])


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=500, help="games a row, default 500")
    games = parser.parse_args(arguments).games
    print(f"shapiq {version('shapiq')}, {games} games a row.\n")
    print(report(list(measured(games))))


if __name__ == "__main__":
    main()
