"""A confidence sequence of a mean difference: intervals that hold at all numbers of runs at once, so anyone may peek.

An interval at 95 % holds at a number of runs that was fixed beforehand. Who looks after every seed, and stops when it looks
good, needs intervals of which *all* hold together with 95 %: then they hold at whatever moment one stops, for whatever reason.

The method: at every hypothetical difference the t statistic has a likelihood ratio, of a true difference of unknown size
(normally distributed in standard deviations, mean 0, standard deviation `scale`) against none. Under the hypothesis it is a
martingale that starts at 1, and exceeds 20 at any time with a chance of at most 1 in 20 (Ville 1939). Differences whose
ratio has not exceeded 1 / (1 - confidence) are in the interval. The unknown spread drops out, since the ratio depends on the
t statistic alone (Lai 1976, "On confidence sequences"; Wang & Ramdas 2025, "Anytime-valid t-tests and confidence sequences for
Gaussian means with unknown variance"). It is exact for normal values from the second on; no large sample is needed.

Assumed: runs are independent, deltas (or values, with the same spread in both arms) are normal, and which run comes next does
not depend on results. What happens without them is simulated in docs/statistics.md. Price: at 20 pairs the interval is
1.6 times as wide as Student's.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import effects
from karn_wandb.statistics.inputs import check_confidence, checked_arms

SCALE = 1.0
"""How large an effect is expected, in standard deviations. It is part of the declaration, not to be chosen after a look: any
value is valid, and the interval is narrowest when effects are of about that size."""


def anytime_interval(
    treatment: npt.ArrayLike,
    control: npt.ArrayLike,
    paired: bool = False,
    *,
    confidence: float = 0.95,
    scale: float = SCALE,
) -> tuple[float, float]:
    """The interval of the mean difference with the runs there are so far; valid at every moment together.

    Args:
        treatment: Shape (n,), one number per run, all that are in.
        control: Shape (m,); m = n when paired.
        paired: Whether value i of one arm belongs to value i of the other.
        confidence: Of the whole sequence, above 0.5 and at most 0.9999.
        scale: Standard deviation of the effects that are expected, in standard deviations of the values; above 0, the same
            at every look.

    Returns:
        The interval, treatment minus control. From minus to plus infinity while there are too few runs to say anything, or no
        spread.

    Raises:
        StatisticsError: An argument is not as described; the message names it.
    """
    check_confidence(confidence)
    if isinstance(scale, bool) or not isinstance(scale, int | float | np.floating) or not 0 < scale < math.inf:
        raise StatisticsError("scale must be a positive number", got=repr(scale), do="Use 1, and declare it.")
    first, second = checked_arms(treatment, control, paired=paired)
    n, m = first.size, second.size
    freedom = effects.degrees_of_freedom(n, m, paired=paired)
    delta = float((first - second).mean() if paired else first.mean() - second.mean())
    runs = n if paired else n * m / (n + m)
    farthest = farthest_t(freedom, runs, confidence=confidence, scale=scale)
    deviation = effects.standard_deviation(first, second, paired=paired) if freedom > 0 else 0.0
    rounding = 16 * np.finfo(float).eps * max(float(np.abs(arm).max()) for arm in (first, second))
    if math.isinf(farthest) or deviation <= rounding:  # equal deltas are no certainty, but a reason to look
        return -math.inf, math.inf
    half = farthest * deviation / math.sqrt(runs)
    return delta - half, delta + half


def farthest_t(freedom: float, runs: float, *, confidence: float, scale: float) -> float:
    """The size of t at which the likelihood ratio reaches 1 / (1 - confidence); infinite when no t reaches it.

    With k = 1 + runs scale^2 the ratio is k^(-1/2) ((1 + t^2 / df) / (1 + t^2 / (k df)))^((df + 1) / 2): Student's density of t
    with its variance stretched by k, over that without (Gonen, Johnson, Lu & Westfall 2005, "The Bayesian two-sample t test").

    Args:
        freedom: Degrees of freedom of t.
        runs: Pairs, or n m / (n + m) of two arms.
        confidence: Of the sequence.
        scale: Of the effects.
    """
    if freedom < 1:
        return math.inf
    stretch = 1 + runs * scale**2
    log_most = (math.log(stretch) / 2 - math.log1p(-confidence)) * 2 / (freedom + 1)
    if log_most >= math.log(stretch):  # what the ratio tends to as t grows is not enough
        return math.inf
    most = math.exp(log_most)
    return math.sqrt(freedom * (most - 1) / (1 - most / stretch))
