"""Do 95 % intervals of Shapley values hold what they promise? Random games, through the engine as anyone uses it.

    python -m benchmarks.shapley_coverage

A row is `--games` games, of 6 to 10 slots in turn. Counted is how many of all their slots' intervals contain the slot's
true value: of the game as it is, where nothing but the sampling of coalitions is uncertain; of the accuracy on examples
without end, where a validation set was drawn from them. The last table counts how often a slot without effect is claimed
to help by `positive_claims()`, in full factorials of 3 to 5 slots.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.coalition_games import (
    ExampleValue,
    Game,
    TableValue,
    accuracy_like,
    coalitions,
    examples,
    unanimity,
    unanimity_accuracy,
)
from benchmarks.offline import table
from karn_wandb import CounterfactualConfig, CounterfactualEngine, CounterfactualMatrix
from karn_wandb.attribution.games import FloatArray, shapley_values
from karn_wandb.records.counterfactual import Estimator

SAMPLES = {6: 8, 7: 12, 8: 20, 9: 20, 10: 20}
"""By number of slots, the permutations that the budget would pay for: 42, 74, 142, 162 and 182 coalitions."""

EXAMPLES = 300


@dataclass(frozen=True, slots=True)
class Row:
    """One setting.

    Attributes:
        name: Of the setting.
        game: Where games are drawn from.
        config: How they are attributed; `shapley_samples` follows the number of slots.
        by_example: Whether there is a validation set, drawn anew for each game.
    """

    name: str
    game: Game
    config: CounterfactualConfig
    by_example: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """What came out for a row.

    Attributes:
        covered: Share of intervals with the true value in them.
        error: Its standard error; the unit is the game.
        calls: Coalitions evaluated, on average.
        stopped: Share of games that needed less than their budget.
    """

    covered: float
    error: float
    calls: float
    stopped: float


def rows() -> Iterator[Row]:
    """All settings: both estimators with and without early stopping, each source of noise alone and both together."""
    kinds: list[tuple[str, Game, bool, dict[Estimator, float]]] = [
        ("sampling only, accuracy-like", accuracy_like, False, {"permutation_antithetic": 0.17, "leverage_regression": 0.06}),
        ("sampling only, unanimity", unanimity, False, {"permutation_antithetic": 0.18, "leverage_regression": 0.05}),
        ("both, accuracy-like", accuracy_like, True, {"permutation_antithetic": 0.3, "leverage_regression": 0.12}),
        ("both, unanimity", unanimity_accuracy, True, {"permutation_antithetic": 0.5, "leverage_regression": 0.16}),
    ]
    for name, game, by_example, targets in kinds:
        for estimator, target_std in targets.items():
            for target in (None, target_std):
                config = CounterfactualConfig(strategy="shapley", estimator=estimator, target_std=target)
                stopping = "" if target is None else f", stops at {target}"
                yield Row(f"{name}: {estimator}{stopping}", game, config, by_example)
    exact = CounterfactualConfig(force_full_factorial=True)
    yield Row("evaluation only, accuracy-like: exact", accuracy_like, exact, by_example=True)


def coverage(row: Row, games: int, seed: int = 0) -> Coverage:
    """Attribute that many games."""
    covered, calls, stopped = [], [], 0
    for number in range(games):
        n = 6 + number % 5
        rng = np.random.default_rng((seed, number))
        truth = row.game(n, rng)
        matrix = attributed(row, truth, rng, number)
        true = shapley_values(truth).tolist()
        inside = [
            found.ci_low is not None and found.ci_high is not None and found.ci_low <= value <= found.ci_high
            for found, value in zip((matrix.shapley_values or {}).values(), true, strict=True)
        ]
        covered.append(float(np.mean(inside)))
        calls.append(len(matrix.configs))
        stopped += bool(matrix.early_stop)
    error = float(np.std(covered, ddof=1)) / math.sqrt(games)
    return Coverage(float(np.mean(covered)), error, float(np.mean(calls)), stopped / games)


def attributed(row: Row, truth: FloatArray, rng: np.random.Generator, seed: int) -> CounterfactualMatrix:
    """One game through the engine."""
    n = len(truth).bit_length() - 1
    engine = CounterfactualEngine(replace(row.config, shapley_samples=SAMPLES[n]), seed)
    slots = [f"slot{slot}" for slot in range(n)]
    if row.by_example:
        return engine.evaluate(slots, ExampleValue(examples(truth, EXAMPLES, rng)), epoch=1)
    return engine.evaluate(slots, TableValue(truth), epoch=1, metric="loss")


def false_claims(games: int, seed: int = 0) -> float:
    """How often a slot is claimed to help on average over examples that it does not, among full factorials."""
    claimed = 0
    for number in range(games):
        n = 3 + number % 3
        rng = np.random.default_rng((seed, number))
        truth = accuracy_like(n, rng)
        without = coalitions(n) @ (1 << np.arange(n - 1, -1, -1)) & ~1
        correct = examples(truth[without], EXAMPLES, rng)
        matrix = CounterfactualEngine().evaluate([f"slot{slot}" for slot in range(n)], ExampleValue(correct), epoch=1)
        claimed += f"slot{n - 1}" in matrix.positive_claims()
    return claimed / games


def percent(share: float) -> str:
    """A share as the tables show it."""
    return f"{100 * share:.1f} %"


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=4000, help="games a row, default 4000")
    games = parser.parse_args(arguments).games
    lines = []
    for row in rows():
        found = coverage(row, games)
        numbers = [percent(found.covered), percent(found.error), f"{found.calls:.0f}", percent(found.stopped)]
        lines.append([row.name, *numbers])
    print(table(["noise, games, estimator", "covered", "standard error", "calls", "stopped early"], lines))
    print()
    share = false_claims(games)
    error = percent(math.sqrt(share * (1 - share) / games))
    print(table(["a slot without effect", "claimed", "standard error"], [["full factorial", percent(share), error]]))


if __name__ == "__main__":
    main()
