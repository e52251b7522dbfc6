"""Intervals of a mean difference: Student's t (paired), Welch's, and the percentile bootstrap."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from karn_wandb.statistics.inputs import Floats

RESAMPLES = 10_000
BATCH_ELEMENTS = 1_000_000
"""Numbers drawn at a time: bounds the memory of every resampling to a few megabytes."""


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A mean difference with all that its t intervals and t tests need.

    Attributes:
        delta: Mean of the treatment minus mean of the control.
        standard_error: Its standard error, above 0.
        degrees_of_freedom: Of the t distribution; fractional for Welch.
    """

    delta: float
    standard_error: float
    degrees_of_freedom: float


def paired_difference(treatment: Floats, control: Floats) -> MeanDifference:
    """The mean of the paired deltas (Student 1908, "The probable error of a mean"); shapes (n,), n >= 2."""
    deltas = treatment - control
    return MeanDifference(float(deltas.mean()), float(deltas.std(ddof=1)) / math.sqrt(deltas.size), deltas.size - 1)


def welch_difference(treatment: Floats, control: Floats) -> MeanDifference:
    """The difference of two means with unequal variances (Welch 1947; Satterthwaite 1946); shapes (n,), (m,), both >= 2."""
    a = float(treatment.var(ddof=1)) / treatment.size
    b = float(control.var(ddof=1)) / control.size
    share = a / (a + b)  # relative, so that tiny variances do not underflow when squared
    return MeanDifference(
        delta=float(treatment.mean()) - float(control.mean()),
        standard_error=math.sqrt(a + b),
        degrees_of_freedom=1 / (share**2 / (treatment.size - 1) + (1 - share) ** 2 / (control.size - 1)),
    )


def t_interval(difference: MeanDifference, confidence: float) -> tuple[float, float]:
    """The two-sided interval of `difference` at `confidence` (0 to 1)."""
    half = difference.standard_error * float(stats.t.ppf((1 + confidence) / 2, difference.degrees_of_freedom))
    return difference.delta - half, difference.delta + half


def bootstrap_interval(
    treatment: Floats, control: Floats, *, paired: bool, confidence: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean difference (Efron & Tibshirani 1993, chapter 13), 10,000 resamples.

    Pairs are resampled as pairs, unpaired arms each on its own. Too narrow for fewer than ten runs; see
    docs/decisions/0004-one-primary-interval.md.
    """
    if paired:
        means = _resampled_means(treatment - control, rng)
    else:
        means = _resampled_means(treatment, rng) - _resampled_means(control, rng)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def batches(rows: int, width: int) -> Iterator[int]:
    """Split `rows` rows of `width` numbers into batches of at most `BATCH_ELEMENTS` numbers, at least one row each."""
    size = max(1, BATCH_ELEMENTS // width)
    for start in range(0, rows, size):
        yield min(size, rows - start)


def _resampled_means(values: Floats, rng: np.random.Generator) -> Floats:
    n = values.size
    return np.concatenate([values[rng.integers(0, n, (rows, n))].mean(axis=1) for rows in batches(RESAMPLES, n)])
