"""Scores of one arm, several tasks and several runs of each, and resamples of them.

A resample is a row of weights, one for each score, and whatever is computed of it is a function of weights and scores; so an
estimate is what the equal weights give, and tasks with fewer runs than others need no rule of their own: all tasks weigh the
same, and within a task all its runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.bootstrap import batches
from karn_wandb.statistics.inputs import LARGEST, Floats

RESAMPLES = 10_000
BATCH_ELEMENTS = 250_000
"""Weights at a time: with what is computed of them they fit in a processor's cache."""
ENOUGH = 10
"""Runs a task from which on the bootstrap is not said to be too narrow."""

Scores = npt.ArrayLike | Sequence[npt.ArrayLike]
"""A row for each task, a number for each of its runs: shape (tasks, runs), or rows of different lengths; NaN is a missing run."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskScores:
    """Scores of one arm, sorted within each task: the order of the runs has no influence.

    Attributes:
        values: All scores, task by task, shape (cells,).
        runs: Runs of each task, at least one.
        missing: Cells of the matrix that held NaN.
    """

    values: Floats
    runs: tuple[int, ...]
    missing: int

    @property
    def weights(self) -> Floats:
        """Of each score: 1 / tasks, shared among the task's runs; they add up to 1."""
        runs = np.array(self.runs)
        return np.repeat(1 / (runs.size * runs), runs)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each task begins in `values`."""
        return np.cumsum((0, *self.runs[:-1]), dtype=np.int64)

    def tasks(self) -> Iterator[slice]:
        """Where each task is in `values`."""
        for start, runs in zip(self.starts.tolist(), self.runs, strict=True):
            yield slice(start, start + runs)


def task_scores(scores: Scores, name: str = "scores") -> TaskScores:
    """Scores in a form that every function of this module takes.

    Args:
        scores: A row for each task, a number for each of its runs: shape (tasks, runs), or rows of different lengths.
            NaN is a run that is missing.
        name: What to call them in errors.

    Raises:
        StatisticsError: There is no task, a row is not one-dimensional or not numeric, a score is infinite or above 1e150,
            or a task has no run.
    """
    if isinstance(scores, str | bytes) or not isinstance(scores, Sequence | np.ndarray) or not len(scores):
        raise StatisticsError(f"{name} must have a row for each task", do="Pass at least one task with one run.")
    rows = [_row(row, task, name) for task, row in enumerate(scores)]
    present = [np.sort(row[~np.isnan(row)]) for row in rows]
    empty = next((task for task, row in enumerate(present) if not row.size), None)
    if empty is not None:
        raise StatisticsError(
            f"task {empty} of {name} has no run",
            got=f"{rows[empty].size} missing values",
            do="Leave the task out of both arms, by name, or give its runs the worst score.",
        )
    runs = tuple(row.size for row in present)
    return TaskScores(np.concatenate(present), runs, sum(row.size for row in rows) - sum(runs))


def resampled_weights(arm: TaskScores, resamples: int, rng: np.random.Generator, width: int = 0) -> Iterator[Floats]:
    """Weights of the scores in resamples, in batches of shape (rows, cells).

    Args:
        arm: The scores.
        resamples: How many rows in all.
        rng: Drawn from.
        width: Numbers a row that bound the size of a batch, if more than the cells.
    """
    cells, starts = arm.values.size, np.repeat(arm.starts, arm.runs)
    runs, weights = np.repeat(arm.runs, arm.runs).astype(np.float64), arm.weights
    for rows in batches(resamples, max(width, cells), BATCH_ELEMENTS):
        drawn = (rng.random((rows, cells)) * runs).astype(np.int64)
        drawn += starts + np.arange(0, rows * cells, cells)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * cells).reshape(rows, cells)
        yield counts * weights


def cautions(arms: Sequence[TaskScores]) -> Iterator[str]:
    """What a careful reader must know of the runs behind a number over several tasks."""
    missing = sum(arm.missing for arm in arms)
    runs = [count for arm in arms for count in arm.runs]
    if missing:
        cells = missing + sum(runs)
        yield f"{missing} of {cells} cells are missing: each task rests on the runs it has, and all tasks weigh the same"
    elif min(runs) != max(runs):
        yield f"tasks have {min(runs)} to {max(runs)} runs: all tasks weigh the same"
    single = runs.count(1)
    if single:
        tasks_have = "1 task has" if single == 1 else f"{single} tasks have"
        yield f"{tasks_have} a single run: how much runs differ there is not known, so there is no interval"
    elif min(runs) < ENOUGH:
        share = ((min(runs) - 1) / min(runs)) ** 0.5
        yield (
            f"as few as {min(runs)} runs a task: resampling them shows {share:.0%} of their spread, so the interval is too narrow"
        ).replace("%", " %")


def checked_resamples(resamples: object) -> int:
    """The number of resamples.

    Raises:
        StatisticsError: It is no whole number of at least 100.
    """
    if isinstance(resamples, int | np.integer) and not isinstance(resamples, bool) and resamples >= 100:
        return int(resamples)
    raise StatisticsError(
        "resamples must be a whole number of at least 100",
        got=repr(resamples),
        do="Use 10,000: the ends of an interval are rare.",
    )


def _row(values: npt.ArrayLike, task: int, name: str) -> Floats:
    """The runs of one task as they were given."""
    where = f"task {task} of {name}"
    try:
        row = np.asarray(values)
    except ValueError as error:  # NumPy refuses ragged nesting
        raise StatisticsError(f"{where} must be one-dimensional", got="ragged rows", do="Pass one number per run.") from error
    if row.ndim != 1:
        raise StatisticsError(f"{where} must be one-dimensional", got=f"shape {row.shape}", do="Pass one number per run.")
    if row.size and row.dtype.kind not in "iuf":
        raise StatisticsError(f"{where} must hold numbers", got=f"dtype {row.dtype}", do="Pass NaN where a run is missing.")
    row = row.astype(np.float64)
    beyond = np.flatnonzero(np.abs(row) > LARGEST)
    if beyond.size:
        raise StatisticsError(
            f"{where} must hold numbers of size at most {LARGEST:g}",
            got=f"{row[beyond[0]]} at index {beyond[0]}",
            do="Give a run that diverged the worst score.",
        )
    return row
