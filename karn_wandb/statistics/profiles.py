"""Performance profiles: which share of all scores lies above each threshold, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.inputs import Floats, check_confidence, generators
from karn_wandb.statistics.task_scores import RESAMPLES, Scores, cautions, checked_resamples, resampled_weights, task_scores


@dataclass(frozen=True, slots=True)
class Profile:
    """A performance profile of one arm, a number for each threshold.

    Attributes:
        thresholds: Scores, rising.
        shares: Share of scores above each, all tasks weighing the same; 0 to 1, falling.
        low: Lower ends of the intervals, each on its own; None when the runs say nothing about them.
        high: Upper ends.
        confidence: Of each interval.
        warnings: What a careful reader must know.
    """

    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    confidence: float
    warnings: tuple[str, ...]


def performance_profile(
    scores: Scores,
    thresholds: Sequence[float] | None = None,
    confidence: float = 0.95,
    rng: int | np.random.Generator = 0,
    resamples: int = RESAMPLES,
) -> Profile:
    """The score distribution of Dolan & More (2002) and Agarwal et al. (2021), with stratified bootstrap intervals.

    The intervals hold for each threshold on its own, not for the whole curve at once. Memory: 8 bytes for each resample and
    threshold.

    Args:
        scores: A row for each task, a number for each of its runs; NaN where one is missing.
        thresholds: Finite, rising; 101 from the smallest to the largest score when not given.
        confidence: Above 0.5 and at most 0.9999.
        rng: Whole number or Generator.
        resamples: How many, at least 100.

    Raises:
        StatisticsError: An argument is not as described.
    """
    check_confidence(confidence)
    arm, (stream,) = task_scores(scores), generators(rng, 1)
    levels = _levels(np.linspace(arm.values.min(), arm.values.max(), 101) if thresholds is None else np.asarray(thresholds))
    above = (arm.values[:, None] > levels).astype(np.float64)
    resampled = np.concatenate([rows @ above for rows in resampled_weights(arm, checked_resamples(resamples), stream)])
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    known = min(arm.runs) > 1
    return Profile(
        thresholds=tuple(levels.tolist()),
        shares=tuple((arm.weights @ above).tolist()),
        low=tuple(low.tolist()) if known else None,
        high=tuple(high.tolist()) if known else None,
        confidence=confidence,
        warnings=tuple(cautions((arm,))),
    )


def _levels(thresholds: Floats) -> Floats:
    if thresholds.ndim != 1 or not thresholds.size or thresholds.dtype.kind not in "iuf":
        raise StatisticsError("thresholds must be numbers, at least one", got=repr(thresholds), do="Pass scores, rising.")
    if not np.isfinite(thresholds).all() or np.any(np.diff(thresholds) < 0):
        raise StatisticsError("thresholds must be finite and rising", got=repr(thresholds.tolist()), do="Sort them.")
    return thresholds.astype(np.float64)
