"""Intervals of a mean difference: Student's t (paired) and Welch's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from karn_wandb.statistics.inputs import Floats


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
    n, m = treatment.size, control.size
    delta = float(treatment.mean()) - float(control.mean())
    return satterthwaite(delta, float(treatment.var(ddof=1)) / n, n, float(control.var(ddof=1)) / m, m)


def satterthwaite(delta: float, first: float, n: int, second: float, m: int) -> MeanDifference:
    """A difference of two means with the squared standard errors `first` of n runs and `second` of m (Satterthwaite 1946)."""
    share = first / (first + second)  # relative, so that tiny variances do not underflow when squared
    return MeanDifference(
        delta=delta,
        standard_error=math.sqrt(first + second),
        degrees_of_freedom=1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1)),
    )


def t_interval(difference: MeanDifference, confidence: float) -> tuple[float, float]:
    """The two-sided interval of `difference` at `confidence` (0 to 1)."""
    half = difference.standard_error * float(special.stdtrit(difference.degrees_of_freedom, (1 + confidence) / 2))
    return difference.delta - half, difference.delta + half
