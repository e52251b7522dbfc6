"""Several tasks, several runs of each: one number over all of them, with a stratified bootstrap interval.

Runs are resampled within each task, so that a resample holds as many of every task as there were (Agarwal et al. 2021, "Deep
reinforcement learning at the edge of the statistical precipice"). The tasks themselves are not: what is inferred
concerns other runs of *these* tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.bootstrap import percentile_interval
from karn_wandb.statistics.inputs import Floats, check_confidence, generators
from karn_wandb.statistics.task_scores import (
    RESAMPLES,
    Scores,
    TaskScores,
    cautions,
    checked_resamples,
    resampled_weights,
    task_scores,
)

Statistic = Literal["iqm", "mean", "median", "optimality gap"]


@dataclass(frozen=True, slots=True)
class TaskEstimate:
    """One number over several tasks.

    Attributes:
        statistic: What it is.
        estimate: Its value, in the unit of the scores.
        low: Lower end of its interval; None when the runs say nothing about it.
        high: Upper end.
        confidence: Of the interval.
        runs: Runs of each task; of both arms, treatment first, when it is a difference.
        warnings: What a careful reader must know.
    """

    statistic: str
    estimate: float
    low: float | None
    high: float | None
    confidence: float
    runs: tuple[int, ...]
    warnings: tuple[str, ...]


def over_tasks(  # noqa: PLR0917 -- the same order as `compare`
    scores: Scores,
    statistic: Statistic = "iqm",
    confidence: float = 0.95,
    rng: int | np.random.Generator = 0,
    resamples: int = RESAMPLES,
    target: float = 1.0,
) -> TaskEstimate:
    """One number for an arm over several tasks, with its stratified bootstrap interval.

    Args:
        scores: A row for each task, a number for each of its runs; NaN where one is missing. Scores of different tasks
            must be comparable, such as accuracies, or scores normalised by fixed numbers (not by the arms' own results).
        statistic: "iqm", the mean of the middle half of all scores; "mean"; "median", of the tasks' means; or "optimality
            gap", how far scores lie below `target` on average, those above it counting as reaching it.
        confidence: Above 0.5 and at most 0.9999.
        rng: Whole number or Generator.
        resamples: How many, at least 100.
        target: Of the optimality gap, in the unit of the scores.

    Raises:
        StatisticsError: An argument is not as described.
    """
    return _first_minus_others((task_scores(scores),), statistic, _statistic(statistic, target), confidence, rng, resamples)


def difference_over_tasks(  # noqa: PLR0917 -- the same order as `compare`
    treatment: Scores,
    control: Scores,
    statistic: Statistic = "iqm",
    confidence: float = 0.95,
    rng: int | np.random.Generator = 0,
    resamples: int = RESAMPLES,
    target: float = 1.0,
) -> TaskEstimate:
    """The statistic of the treatment minus that of the control, each arm resampled on its own; see `over_tasks`.

    Raises:
        StatisticsError: An argument is not as described, or the arms have different numbers of tasks.
    """
    arms, what = _both(treatment, control), f"difference of {statistic}"
    return _first_minus_others(arms, what, _statistic(statistic, target), confidence, rng, resamples)


def improvement_over_tasks(  # noqa: PLR0917 -- the same order as `compare`
    treatment: Scores,
    control: Scores,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    rng: int | np.random.Generator = 0,
    resamples: int = RESAMPLES,
) -> TaskEstimate:
    """Probability of improvement, averaged over the tasks: each task's by Mann-Whitney, ties one half.

    What the interval shows: `improvement.meaning(low, high)`.

    For runs that are paired by seed within each task, pass wins (1, ties 0.5, losses 0) to `over_tasks` with "mean".

    Args:
        treatment: A row for each task, a number for each of its runs; NaN where one is missing.
        control: The same tasks in the same order; their runs need not be as many.
        higher_is_better: Direction of the scores.
        confidence: Above 0.5 and at most 0.9999.
        rng: Whole number or Generator.
        resamples: How many, at least 100.

    Raises:
        StatisticsError: An argument is not as described, or the arms have different numbers of tasks.
    """
    check_confidence(confidence)
    first, second = arms = _both(treatment, control)
    streams = generators(rng, 2)
    size = checked_resamples(resamples)
    wins = _wins(first, second, 1 if higher_is_better else -1)
    width = max(first.values.size, second.values.size)
    draws = (resampled_weights(arm, size, stream, width) for arm, stream in zip(arms, streams, strict=True))
    resampled = np.concatenate([_chance(ours, theirs, wins) for ours, theirs in zip(*draws, strict=True)])
    estimate = float(_chance(first.weights[None, :], second.weights[None, :], wins)[0])
    return _estimate("probability of improvement", estimate, resampled, confidence, arms)


def _first_minus_others(  # noqa: PLR0917 -- those of the two above
    arms: tuple[TaskScores, ...],
    what: str,
    of: Callable[[Floats, TaskScores], Floats],
    confidence: float,
    rng: int | np.random.Generator,
    resamples: int,
) -> TaskEstimate:
    """The first arm's statistic, less that of the others if there are any, each arm resampled on its own."""
    check_confidence(confidence)
    size, streams = checked_resamples(resamples), generators(rng, len(arms))
    first, *others = (float(of(arm.weights[None, :], arm)[0]) for arm in arms)
    drawn, *against = (
        np.concatenate([of(rows, arm) for rows in resampled_weights(arm, size, stream)])
        for arm, stream in zip(arms, streams, strict=True)
    )
    return _estimate(what, first - sum(others), drawn - sum(against), confidence, arms)


def _both(treatment: Scores, control: Scores) -> tuple[TaskScores, TaskScores]:
    first, second = task_scores(treatment, "treatment"), task_scores(control, "control")
    if len(first.runs) != len(second.runs):
        raise StatisticsError(
            "both arms must have the same tasks, in the same order",
            got=f"{len(first.runs)} and {len(second.runs)} tasks",
            do="Leave out, by name, the tasks that only one of them has.",
        )
    return first, second


def _estimate(
    statistic: str, estimate: float, resampled: Floats, confidence: float, arms: tuple[TaskScores, ...]
) -> TaskEstimate:
    """The estimate with its interval, or with the reason why there is none."""
    runs = tuple(count for arm in arms for count in arm.runs)
    warnings = list(cautions(arms))
    low: float | None
    high: float | None
    low, high = percentile_interval(resampled, confidence)
    if min(runs) == 1:
        low, high = None, None
    elif float(np.ptp(resampled)) <= 1e-12 * max(float(np.abs(arm.values).max()) for arm in arms):
        low, high = None, None
        warnings.append("all resamples give the same: without spread there is no interval")
    if "iqm" in statistic and (fewest := min(arm.values.size for arm in arms)) < 4:
        warnings.append(f"with {fewest} scores an interquartile mean is the plain mean")
    return TaskEstimate(statistic, estimate, low, high, confidence, runs, tuple(warnings))


def _statistic(statistic: Statistic, target: float) -> Callable[[Floats, TaskScores], Floats]:
    if not math.isfinite(target):
        raise StatisticsError("target must be finite", got=repr(target), do="Give the score that counts as reached.")
    if statistic == "optimality gap":
        return lambda weights, arm: weights @ np.maximum(target - arm.values, 0)
    if statistic in _STATISTICS:
        return _STATISTICS[statistic]
    known = ", ".join(f'"{name}"' for name in (*_STATISTICS, "optimality gap"))
    raise StatisticsError("unknown statistic", got=repr(statistic), do=f"Use one of {known}.")


def _mean(weights: Floats, arm: TaskScores) -> Floats:
    return weights @ arm.values


def _median(weights: Floats, arm: TaskScores) -> Floats:
    means = np.add.reduceat(weights * arm.values, arm.starts, axis=1) * len(arm.runs)
    return np.asarray(np.median(means, axis=1))


def _interquartile_mean(weights: Floats, arm: TaskScores) -> Floats:
    """Scores in their order, the weight below and above the middle cut off; a quarter of the cells, rounded down."""
    order = np.argsort(arm.values, kind="stable")
    cut = (arm.values.size // 4) / arm.values.size
    upto = np.cumsum(weights[:, order], axis=1)
    np.clip(upto, cut, 1 - cut, out=upto)
    steps = np.diff(arm.values[order])
    # The sum of score times weight, by parts: from the weight up to each score to the step that follows it.
    middle = (1 - cut) * arm.values[order[-1]] - cut * arm.values[order[0]] - upto[:, :-1] @ steps
    return np.asarray(middle / (1 - 2 * cut))


_STATISTICS: dict[str, Callable[[Floats, TaskScores], Floats]] = {"iqm": _interquartile_mean, "mean": _mean, "median": _median}


def _wins(first: TaskScores, second: TaskScores, sign: int) -> list[tuple[slice, Floats, slice]]:
    """Each task's runs, whom of the other arm each beats (ties one half), and the other arm's runs."""
    return [
        (ours, (1 + sign * np.sign(first.values[ours, None] - second.values[None, theirs])) / 2, theirs)
        for ours, theirs in zip(first.tasks(), second.tasks(), strict=True)
    ]


def _chance(first: Floats, second: Floats, wins: list[tuple[slice, Floats, slice]]) -> Floats:
    """P(improvement) for each row of weights; a task's weights add up to its share, 1 / tasks, in both arms."""
    total = np.zeros(len(first))
    for ours, beats, theirs in wins:
        total += np.einsum("ri,ri->r", first[:, ours] @ beats, second[:, theirs])
    return total * len(wins)
