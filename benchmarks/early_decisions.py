"""What does deciding on a part of the validation examples save, and what does it do to claims and intervals?

    python -m benchmarks.early_decisions

A row is `--games` games, a sixteenth of them of eight slots, each attributed on all of its examples and again with
`decide_early`, by the same coalitions. Counted is how often a slot is claimed in one and not in the other, how often a slot
without effect is claimed, and how many 95 % intervals contain the slot's effect: on examples without end, and on all examples
of the validation set. The last table compares with what may not be done: to stop and claim as soon as two standard errors are
exceeded.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.coalition_games import ExampleValue, PartialExampleValue, coalitions, examples
from benchmarks.offline import table
from karn_wandb import CounterfactualConfig, CounterfactualEngine, CounterfactualMatrix
from karn_wandb.attribution import claims
from karn_wandb.attribution.early import looks
from karn_wandb.attribution.values import BoolArray


@dataclass(frozen=True, slots=True)
class Setting:
    """Where games are drawn from.

    Attributes:
        name: Of the setting.
        effects: What each slot adds on average, percentage points.
        size: Examples in the validation set.
        scatter: How much slots do to examples beside that.
    """

    name: str
    effects: tuple[float, ...]
    size: int = 2000
    scatter: float = 2.0

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots."""
        return tuple(f"slot{number}" for number in range(len(self.effects)))

    def game(self, rng: np.random.Generator) -> PartialExampleValue:
        """One of its games."""
        truth = 60 + coalitions(len(self.effects)) @ np.array(self.effects)
        return PartialExampleValue(examples(truth, self.size, rng, self.scatter))


SETTINGS = (
    Setting("2 large, 1 very harmful", (12, 10, -8)),
    Setting("2 clear, 1 harmful", (4, 4, -3)),
    Setting("2 clear, 1 harmful, 400 examples", (4, 4, -3), size=400),
    Setting("clear, 2 small", (4, 0.6, 0.6)),
    Setting("clear, small, null", (4, 0.6, 0)),
    Setting("3 null", (0, 0, 0)),
    Setting("clear, harmful, small, small, null", (4, -3, 0.6, 0.6, 0)),
    Setting("clear, 0.4 points by 8 examples", (4, 0.4), scatter=0.0),
    Setting("8 slots, sampled: 6 large, 2 very harmful", (5, 5, 5, 5, 5, 5, -5, -5)),
)

ONE_NULL = Setting("one slot without effect", (0,))


@dataclass(frozen=True, slots=True)
class Found:
    """What came out of a game.

    Attributes:
        whole: On all examples.
        early: With `decide_early`.
        effects: Of the slots.
    """

    whole: CounterfactualMatrix
    early: CounterfactualMatrix
    effects: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of the examples that were evaluated."""
        return (self.early.n_examples or 0) / (self.early.examples_available or 1)

    def changed(self, *, by_holm: bool) -> int:
        """Slots claimed in one and not in the other."""
        one, other = (set(claims(m) if by_holm else m.positive_claims()) for m in (self.whole, self.early))
        return len(one ^ other)

    def covered(self, matrix: CounterfactualMatrix, true: Sequence[float]) -> float:
        """Share of the intervals of a matrix with the true value in them."""
        inside = [
            found.ci_low is not None and found.ci_high is not None and found.ci_low <= value <= found.ci_high
            for found, value in zip((matrix.shapley_values or {}).values(), true, strict=True)
        ]
        return float(np.mean(inside))

    @property
    def of_the_whole(self) -> list[float]:
        """The values on all examples."""
        return [found.mean for found in (self.whole.shapley_values or {}).values()]

    def false_claims(self, matrix: CounterfactualMatrix) -> list[bool]:
        """Of each slot without effect, whether the plain rule claims it."""
        claimed = matrix.positive_claims()
        return [slot in claimed for slot, effect in zip(matrix.slot_ids, self.effects, strict=True) if not effect]


def play(setting: Setting, number: int, seed: int = 0) -> Found:
    """One game, attributed twice."""
    value = setting.game(np.random.default_rng((seed, number)))
    whole, early = (
        CounterfactualEngine(CounterfactualConfig(decide_early=decide), number).evaluate(setting.slots, value, epoch=1)
        for decide in (False, True)
    )
    return Found(whole, early, setting.effects)


def null_claims(games: int, seed: int = 0) -> float:
    """How often a single slot without effect is claimed with `decide_early`."""
    played = (play(ONE_NULL, number, seed) for number in range(games))
    return _mean([claimed for found in played for claimed in found.false_claims(found.early)])


def naive_claims(games: int, seed: int = 0) -> float:
    """The same by looking as often as `decide_early` does, and claiming as soon as two standard errors are exceeded."""

    def claimed(correct: BoolArray) -> bool:
        return bool(CounterfactualEngine().evaluate(ONE_NULL.slots, ExampleValue(correct), epoch=1).positive_claims())

    drawn = (ONE_NULL.game(np.random.default_rng((seed, number))).correct for number in range(games))
    return _mean([any(claimed(correct[:, :count]) for count in looks(ONE_NULL.size)) for correct in drawn])


def percent(share: float) -> str:
    """A share as the tables show it."""
    return "" if math.isnan(share) else f"{100 * share:.1f} %"


def line(setting: Setting, found: Sequence[Found]) -> list[str]:
    """A row of the table."""
    stopped = [game for game in found if game.early.early_stop]
    slots = len(found) * len(setting.effects)

    def covered(games: Sequence[Found]) -> str:
        return percent(_mean([game.covered(game.early, setting.effects) for game in games]))

    return [
        setting.name,
        percent(len(stopped) / len(found)),
        percent(1 - _mean([game.share for game in found])),
        f"{sum(game.changed(by_holm=False) for game in found)} of {slots}",
        f"{sum(game.changed(by_holm=True) for game in found)} of {slots}",
        percent(_mean([claimed for game in found for claimed in game.false_claims(game.whole)])),
        percent(_mean([claimed for game in found for claimed in game.false_claims(game.early)])),
        percent(_mean([game.covered(game.whole, setting.effects) for game in found])),
        covered(found),
        covered(stopped),
        percent(_mean([game.covered(game.early, game.of_the_whole) for game in stopped])),
    ]


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if numbers else math.nan


COLUMNS = [
    "effects of the slots",
    "stopped early",
    "evaluations saved",
    "claims changed, plain rule",
    "claims changed, Holm",
    "null claimed, all examples",
    "null claimed, decide_early",
    "covered, all examples",
    "covered, decide_early",
    "covered, of those stopped",
    "value on all examples covered, of those stopped",
]


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=2000, help="games a row, default 2000")
    games = parser.parse_args(arguments).games
    lines = []
    for setting in SETTINGS:
        count = games if len(setting.effects) < 8 else max(1, games // 16)
        lines.append(line(setting, [play(setting, number) for number in range(count)]))
    print(table(COLUMNS, lines))
    print()
    shares = [["decide_early", percent(null_claims(games))], ["stops at two standard errors", percent(naive_claims(games))]]
    print(table([ONE_NULL.name, "claimed"], shares))


if __name__ == "__main__":
    main()
