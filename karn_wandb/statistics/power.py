"""What runs that are still to be made can show: power, the least detectable difference, and how many runs are needed.

Power belongs to a plan: a true difference, spreads and numbers of runs that are assumed beforehand. The power "at the
observed difference" is the p-value in other units and says nothing more (Hoenig & Heisey 2001, "The abuse of power"),
so nothing here takes the data of a comparison.

A plan is a `MeanDifference` with the true difference and the true standard error. Every test of this room compares the
observed difference with a multiple of the *estimated* standard error, whose ratio r to the true one follows a chi
distribution (r^2 times the degrees of freedom is chi-squared distributed) and is independent of the difference; so
every power is an average of a normal probability over r. That is the non-central t distribution for one-sided tests,
and Owen's Q function for two at once (Phillips 1990, "Power of the two one-sided tests procedure in bioequivalence").
It is exact for paired runs of normal data. For Welch's test it is exact when arms and spreads are equal, but for the
degrees of freedom, which the test estimates; else an approximation by those of the true spreads (Satterthwaite 1946).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.inputs import Floats, check_confidence, check_margin, check_power
from karn_wandb.statistics.intervals import MeanDifference, satterthwaite

MOST_RUNS = 1_000_000
FEWEST_RUNS = 3
"""Below it nothing is inferred, whatever the power."""

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


def paired_plan(delta: float, deviation: float, n: int) -> MeanDifference:
    """Pairs still to be run.

    Args:
        delta: True mean of the deltas, treatment minus control, in the metric's unit.
        deviation: Their true standard deviation, above 0.
        n: Pairs, at least 2.

    Raises:
        StatisticsError: The deviation is not a positive number, or there are fewer than two pairs.
    """
    _check_plan((deviation,), (n,))
    return MeanDifference(delta, deviation / math.sqrt(n), n - 1)


def unpaired_plan(
    delta: float, deviations: float | tuple[float, float], n_treatment: int, n_control: int | None = None
) -> MeanDifference:
    """Runs of two arms still to be made.

    Args:
        delta: True difference, treatment minus control, in the metric's unit.
        deviations: True standard deviation of both arms, or of treatment and control; above 0.
        n_treatment: Runs in the treatment arm, at least 2.
        n_control: Runs in the control arm; as many when not given.

    Raises:
        StatisticsError: A deviation is not a positive number, or an arm has fewer than two runs.
    """
    first, second = deviations if isinstance(deviations, tuple) else (deviations, deviations)
    n_control = n_treatment if n_control is None else n_control
    _check_plan((first, second), (n_treatment, n_control))
    return satterthwaite(delta, first**2 / n_treatment, n_treatment, second**2 / n_control, n_control)


def power_of_difference(plan: MeanDifference, *, confidence: float = 0.95) -> float:
    """Chance that the interval at `confidence` excludes zero on the side of the true difference.

    Raises:
        StatisticsError: The confidence is not above 0.5 and at most 0.9999.
    """
    check_confidence(confidence)
    return _chance_above(abs(plan.delta) / plan.standard_error, plan.degrees_of_freedom, confidence)


def power_of_non_inferiority(
    plan: MeanDifference, margin: float, *, confidence: float = 0.95, higher_is_better: bool = True
) -> float:
    """Chance that the interval's worse end is nearer to zero than the margin (or on the better side).

    Args:
        plan: With the true difference; 0 when the arms are assumed equal.
        margin: Above 0, in the metric's unit.
        confidence: Of the two-sided interval; the test is one-sided at half of the rest.
        higher_is_better: Direction of the metric.

    Raises:
        StatisticsError: Margin or confidence is not as described.
    """
    check_margin(margin)
    check_confidence(confidence)
    gain = plan.delta if higher_is_better else -plan.delta
    return _chance_above((gain + margin) / plan.standard_error, plan.degrees_of_freedom, confidence)


def power_of_equivalence(plan: MeanDifference, margin: float, *, confidence: float = 0.95) -> float:
    """Chance that the whole interval lies within the margin, both ways: that both one-sided tests reject.

    Args:
        plan: With the true difference; 0 when the arms are assumed equal.
        margin: Above 0, in the metric's unit.
        confidence: Of the two-sided interval; each test is one-sided at half of the rest. The usual TOST at 0.05 is 0.9.

    Raises:
        StatisticsError: Margin or confidence is not as described.
    """
    check_margin(margin)
    check_confidence(confidence)
    t = _t(plan.degrees_of_freedom, confidence)
    delta, bound = plan.delta / plan.standard_error, margin / plan.standard_error

    def inside(ratio: Floats) -> Floats:
        most = bound - t * ratio
        return np.asarray(np.maximum(special.ndtr(most - delta) - special.ndtr(-most - delta), 0))

    return _averaged(inside, plan.degrees_of_freedom, [(bound + delta) / t, (bound - delta) / t, bound / t], 1 / t)


def minimum_detectable_delta(plan: MeanDifference, *, confidence: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference that runs so many and so spread show with `power`, in the metric's unit; above 0.

    Args:
        plan: Its difference is not looked at.
        confidence: Of the interval that must exclude zero.
        power: Wanted chance, 0.5 to 0.9999.

    Raises:
        StatisticsError: Confidence or power is not as described.
    """
    check_confidence(confidence)
    check_power(power)
    freedom = plan.degrees_of_freedom

    def lacking(noncentrality: float) -> float:
        return _chance_above(noncentrality, freedom, confidence) - power

    enough = 1.0
    while lacking(enough) < 0:
        enough *= 2
    return plan.standard_error * float(optimize.brentq(lacking, 0, enough, xtol=1e-12, rtol=1e-14))


def required_runs(
    plan: Callable[[int], MeanDifference], chance: Callable[[MeanDifference], float], *, power: float = 0.8
) -> int | None:
    """The smallest number of runs an arm (pairs when paired) with which a plan has `power`.

        required_runs(lambda n: unpaired_plan(0.0, 1.2, n), lambda plan: power_of_equivalence(plan, 1.0))

    Args:
        plan: From a number of runs to the plan.
        chance: From the plan to its power, which must rise with the runs.
        power: Wanted power, 0.5 to 0.9999.

    Returns:
        The number, at least 3; None when one million would not do.

    Raises:
        StatisticsError: The power is not as described.
    """
    check_power(power)

    def suffices(n: int) -> bool:
        return chance(plan(n)) >= power

    enough = FEWEST_RUNS
    while not suffices(enough):
        if enough == MOST_RUNS:
            return None
        enough = min(2 * enough, MOST_RUNS)
    return bisect_left(range(enough), x=True, lo=max(FEWEST_RUNS, enough // 2), key=suffices)


def required_n(effect: float, *, paired: bool, alpha: float, power: float = 0.8) -> int | None:
    """The smallest number of runs an arm (pairs when paired) with which the two-sided t test has `power`.

    Equal arms and equal variances assumed (Cohen 1988, chapter 2). It counts significance in the direction of the
    effect, at alpha / 2, as R's power.t.test does: also exactly the power of the one-sided test at alpha / 2. So for a
    margin pass margin / standard deviation, and the answer is the number with which non-inferiority is shown when the
    true difference is zero.

    Args:
        effect: Standardised difference, in standard deviations (of the deltas when paired); its sign does not matter.
        paired: Whether the runs are matched.
        alpha: Two-sided level.
        power: Wanted power, 0.5 to 0.9999.

    Returns:
        The number, at least 3; None when one million would not do.
    """

    def plan(n: int) -> MeanDifference:
        return paired_plan(effect, 1.0, n) if paired else unpaired_plan(effect, 1.0, n)

    def chance(made: MeanDifference) -> float:
        return _chance_above(abs(made.delta) / made.standard_error, made.degrees_of_freedom, 1 - alpha)

    return required_runs(plan, chance, power=power)


def _check_plan(deviations: tuple[float, ...], runs: tuple[int, ...]) -> None:
    if not all(0 < deviation < math.inf for deviation in deviations):
        raise StatisticsError(
            "a plan's standard deviation must be a positive number",
            got=", ".join(map(repr, deviations)),
            do="Take it from earlier runs of the same kind.",
        )
    if min(runs) < 2:
        raise StatisticsError("a plan needs two runs an arm", got=", ".join(map(repr, runs)), do="Plan at least three.")


def _t(freedom: float, confidence: float) -> float:
    return -float(special.stdtrit(freedom, (1 - confidence) / 2))


def _chance_above(noncentrality: float, freedom: float, confidence: float) -> float:
    """P(a t variable with that non-centrality exceeds the quantile that bounds the interval)."""
    t = _t(freedom, confidence)

    def above(ratio: Floats) -> Floats:
        return np.asarray(special.ndtr(noncentrality - t * ratio), dtype=np.float64)

    return _averaged(above, freedom, [noncentrality / t], 1 / t)


def _averaged(value: Callable[[Floats], Floats], freedom: float, turns: list[float], width: float) -> float:
    """The mean of a function of r, the estimated over the true standard error, by Gauss-Legendre quadrature.

    Args:
        value: The function, smooth but for what happens near the turns.
        freedom: Degrees of freedom, at least 1.
        turns: Where the function changes; each gets panels of its own.
        width: How quickly it changes there: the standard deviation of the normal distribution it contains.
    """
    half = freedom / 2
    low = math.sqrt(float(special.gammaincinv(half, 1e-15)) / half)
    high = math.sqrt(float(special.gammainccinv(half, 1e-15)) / half)
    around = [turn + offset * width for turn in turns for offset in (-9, 0, 9)]
    edges = np.unique(np.clip([low, (low + high) / 2, high, *around], low, high))
    scale = np.diff(edges)[:, None] / 2
    ratio = edges[:-1, None] + scale * (1 + NODES)
    density = np.exp((freedom - 1) * np.log(ratio) - half * (ratio - 1) * (ratio + 1))  # up to a factor
    share = WEIGHTS * scale * density
    return float(np.sum(share * value(ratio)) / np.sum(share))
