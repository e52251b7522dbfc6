"""Bootstrap intervals of a mean difference: percentile, and BCa from the same resamples.

Companions of the t interval, never in its place: both are too narrow for fewer than ten runs, and the correction that BCa
makes for bias and skewness needs more runs than that to be estimated (docs/decisions/0004-one-primary-interval.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import special

from karn_wandb.statistics.inputs import Floats

RESAMPLES = 10_000
BATCH_ELEMENTS = 1_000_000
"""Numbers drawn at a time: bounds the memory of every resampling to a few megabytes."""


def resampled_differences(treatment: Floats, control: Floats, *, paired: bool, rng: np.random.Generator) -> Floats:
    """The mean difference in 10,000 resamples: pairs resampled as pairs, unpaired arms each on its own."""
    if paired:
        return _resampled_means(treatment - control, rng)
    return _resampled_means(treatment, rng) - _resampled_means(control, rng)


def percentile_interval(resampled: Floats, confidence: float) -> tuple[float, float]:
    """The middle of the resampled values (Efron & Tibshirani 1993, chapter 13)."""
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bca_interval(
    resampled: Floats, treatment: Floats, control: Floats, *, paired: bool, confidence: float
) -> tuple[float, float] | None:
    """Bias-corrected and accelerated percentiles (Efron 1987, "Better bootstrap confidence intervals").

    The bias is that of the median of the resamples, ties counted one half. The acceleration, a sixth of the skewness of
    the mean's influence values, is by the jackknife; of two arms as of two samples (Efron & Tibshirani 1993, chapter 14).

    Args:
        resampled: The resampled differences of these arms.
        treatment: Shape (n,).
        control: Shape (m,); m = n when paired.
        paired: Whether value i of one arm belongs to value i of the other.
        confidence: 0 to 1.

    Returns:
        The interval; None where the correction is undefined: all resamples on one side of the difference, or a skewness
        beyond what it can undo.
    """
    samples = [treatment - control] if paired else [treatment, -control]
    observed = sum(float(sample.mean()) for sample in samples)
    rounding = 1e-12 * sum(float(np.abs(sample).max()) for sample in samples)
    below = float(np.mean((1 + np.sign(np.where(np.abs(observed - resampled) > rounding, observed - resampled, 0))) / 2))
    bias, acceleration = float(special.ndtri(below)), _acceleration(samples)
    tails = bias + special.ndtri([(1 - confidence) / 2, (1 + confidence) / 2])
    if not (0 < below < 1 and np.all(acceleration * tails < 1)):
        return None
    low, high = np.quantile(resampled, special.ndtr(bias + tails / (1 - acceleration * tails)))
    return float(low), float(high)


def batches(rows: int, width: int, elements: int = BATCH_ELEMENTS) -> Iterator[int]:
    """Split `rows` rows of `width` numbers into batches of at most `elements` numbers, at least one row each."""
    size = max(1, elements // width)
    for start in range(0, rows, size):
        yield min(size, rows - start)


def _acceleration(samples: list[Floats]) -> float:
    """A sixth of the skewness of a sum of means, from the influence of each value; the samples must not all be constant."""
    influence = np.concatenate([(sample - sample.mean()) / sample.size for sample in samples])
    influence /= np.abs(influence).max()  # so that no power over- or underflows
    return float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))


def _resampled_means(values: Floats, rng: np.random.Generator) -> Floats:
    n = values.size
    return np.concatenate([values[rng.integers(0, n, (rows, n))].mean(axis=1) for rows in batches(RESAMPLES, n)])
