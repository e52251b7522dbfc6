"""Probability of improvement: how often a run of the treatment beats a run of the control, and what its interval shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.inputs import Floats, check_confidence, checked_arms

BAR = 0.75
"""The probability from which on Bouthillier et al. (2021, "Accounting for variance in machine learning benchmarks") call an
improvement meaningful: three of four runs are better."""

Meaning = Literal["not shown", "shown, below the bar", "shown, may reach the bar", "shown, above the bar"]


@dataclass(frozen=True, slots=True)
class Improvement:
    """A probability of improvement with its interval.

    Attributes:
        probability: P(treatment beats control), ties one half; 0 to 1.
        low: Lower end of the interval.
        high: Upper end.
        confidence: Of the interval.
        method: Of the interval.
    """

    probability: float
    low: float
    high: float
    confidence: float
    method: Literal["Clopper-Pearson", "Newcombe's method 5 with t"]


def meaning(low: float, high: float) -> Meaning:
    """What the interval of a probability of improvement shows about one half, and about the `BAR` of 0.75.

    An improvement is shown when the interval lies above one half. Bouthillier et al. call it meaningful as soon as the
    interval reaches above the bar; whether it lies above it as a whole is told apart here.
    """
    if low <= 0.5:
        return "not shown"
    if high <= BAR:
        return "shown, below the bar"
    return "shown, above the bar" if low > BAR else "shown, may reach the bar"


def probability_of_improvement(
    treatment: npt.ArrayLike,
    control: npt.ArrayLike,
    paired: bool = False,
    *,
    higher_is_better: bool = True,
    confidence: float = 0.95,
) -> Improvement:
    """Probability of improvement with its interval.

    Paired: wins among the pairs, ties one half, and the interval of Clopper & Pearson (1934), whose coverage is never below
    its confidence and which excludes one half only when the sign test rejects; so five pairs never show an improvement.
    Unpaired: the Mann-Whitney estimate and method 5 of Newcombe (2006, "Confidence intervals for an effect size measure based
    on the Mann-Whitney statistic. Part 2"), a score interval that has a width even when every run of one arm beats every run
    of the other; with the quantile of Student's t instead of the normal one, which at 3 v 3 runs covered only nine times of
    ten (docs/statistics.md). It wants independent runs and arms whose spreads are not too different.

    Args:
        treatment: Shape (n,), one number per run.
        control: Shape (m,); m = n when paired. Unpaired, three runs in all are needed.
        paired: Whether value i of one arm belongs to value i of the other.
        higher_is_better: Direction of the metric.
        confidence: Above 0.5 and at most 0.9999.

    Raises:
        StatisticsError: An argument is not as described; the message names it.
    """
    check_confidence(confidence)
    first, second = checked_arms(treatment, control, paired=paired)
    if not paired and first.size + second.size < 3:
        raise StatisticsError(
            "one run against one says nothing of how often one beats the other", do="Give at least two runs of one of the arms."
        )
    chance = probability(first, second, paired=paired, higher_is_better=higher_is_better)
    if paired:
        low, high = _binomial_interval(chance, first.size, confidence)
        return Improvement(chance, low, high, confidence, "Clopper-Pearson")
    low, high = _rank_interval(chance, first.size, second.size, confidence)
    return Improvement(chance, low, high, confidence, "Newcombe's method 5 with t")


def probability(treatment: Floats, control: Floats, *, paired: bool, higher_is_better: bool) -> float:
    """P(treatment beats control), ties counting one half; 0 to 1.

    Over pairs when paired, else over all pairings of the two arms, the Mann-Whitney estimate (Agarwal et al. 2021,
    "Deep reinforcement learning at the edge of the statistical precipice").
    """
    if paired:
        wins = float(np.mean((1 + np.sign(treatment - control)) / 2))
    else:
        ranked = np.sort(control)
        below, not_above = np.searchsorted(ranked, treatment, "left"), np.searchsorted(ranked, treatment, "right")
        wins = float(np.mean(below + not_above)) / (2 * control.size)
    return wins if higher_is_better else 1 - wins


def _binomial_interval(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Of a binomial proportion, from the beta distribution; half a win is taken as it is."""
    tail, wins = (1 - confidence) / 2, share * n
    low = float(special.betaincinv(wins, n - wins + 1, tail)) if wins > 0 else 0.0
    high = float(special.betaincinv(wins + 1, n - wins, 1 - tail)) if wins < n else 1.0
    return low, high


def _rank_interval(chance: float, n: int, m: int, confidence: float) -> tuple[float, float]:
    """The probabilities from which the estimate is not too many of *their* standard errors away.

    The variance is that of Hanley & McNeil (1982) with both arms taken as of the mean size where it says n - 1.
    """
    t = -float(special.stdtrit(n + m - 2, (1 - confidence) / 2))
    others = (n + m) / 2 - 1

    def beyond(true: float) -> float:
        variance = true * (1 - true) * (1 + others * ((1 - true) / (2 - true) + true / (1 + true))) / (n * m)
        return (chance - true) ** 2 - t**2 * variance

    return _root(beyond, 0.0, chance), _root(beyond, 1.0, chance)


def _root(beyond: Callable[[float], float], end: float, estimate: float) -> float:
    """Where the function turns from positive, at an end of [0, 1], to negative, just before the estimate."""
    if estimate == end:
        return end
    return float(optimize.brentq(beyond, end, estimate + (end - estimate) * 1e-9, xtol=1e-14, rtol=1e-14))
