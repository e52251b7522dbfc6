"""Sizes of an effect: standardised differences with their interval, interquartile mean."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats

from karn_wandb.statistics.inputs import Floats

LARGEST_T = 1e4
"""Beyond it the noise of the mean is nothing beside that of the standard deviation, so the chi-squared distribution of
the latter gives the limits; scipy's non-central t gives NaN from about 1e5 on."""


def standard_deviation(treatment: Floats, control: Floats, *, paired: bool) -> float:
    """The denominator of d: the standard deviation of the paired deltas, else the pooled one.

    Needs one degree of freedom: two pairs, or three runs in all.
    """
    if paired:
        return float((treatment - control).std(ddof=1))
    squares = float(treatment.var()) * treatment.size + float(control.var()) * control.size
    return math.sqrt(squares / degrees_of_freedom(treatment.size, control.size, paired=False))


def degrees_of_freedom(n_treatment: int, n_control: int, *, paired: bool) -> int:
    """Degrees of freedom of that standard deviation."""
    return n_treatment - 1 if paired else n_treatment + n_control - 2


def hedges_correction(freedom: int) -> float:
    """The exact factor J that frees d of its bias in small samples (Hedges 1981): below 1, tending to 1.

    J = gamma(df / 2) / (sqrt(df / 2) gamma((df - 1) / 2)) with df = `freedom`, at least 2.
    """
    half = freedom / 2
    return math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half)


def glass_delta(treatment: Floats, control: Floats) -> float:
    """The difference in standard deviations of the control arm alone (Glass 1976), freed of its bias by Hedges' correction.

    For a treatment that changes the spread too: what its difference is worth, measured in what was usual before. Shapes
    (n,) and (m,); the control needs three values, not all equal.
    """
    delta = float(treatment.mean() - control.mean()) / float(control.std(ddof=1))
    return delta * hedges_correction(control.size - 1)


def effect_interval(effect: float, n_treatment: int, n_control: int, *, paired: bool, confidence: float) -> tuple[float, float]:
    """Interval of the true standardised difference by the non-central t distribution.

    The t statistic of d is non-central t distributed with the true effect, times the root of the effective size, as
    its non-centrality; the limits are the non-centralities under which the observed t is just not too extreme
    (Steiger & Fouladi 1997; Cumming & Finch 2001). It assumes normal data and, unpaired, equal variances. The limits
    bound the true effect itself, so they are the same for d and for g and are not multiplied by J, which would cost
    coverage (docs/decisions/0004-one-primary-interval.md).

    Args:
        effect: Cohen's d (d_z when paired), without correction.
        n_treatment: Runs in the treatment arm; pairs when paired.
        n_control: Runs in the control arm; not used when paired.
        paired: Whether the effect is d_z.
        confidence: 0.5 to 0.9999.
    """
    freedom = degrees_of_freedom(n_treatment, n_control, paired=paired)
    root = math.sqrt(n_treatment if paired else n_treatment * n_control / (n_treatment + n_control))
    tail = (1 - confidence) / 2
    t = abs(effect) * root  # scipy's distribution function gives NaN for negative t: mirror instead
    low, high = _noncentrality(t, freedom, 1 - tail) / root, _noncentrality(t, freedom, tail) / root
    return (low, high) if effect >= 0 else (-high, -low)


def interquartile_mean(values: Floats) -> float:
    """Mean of the middle half, a quarter of the values (rounded down) cut off each end (Agarwal et al. 2021).

    Of fewer than four values nothing is cut off: it is their mean.
    """
    return float(stats.trim_mean(values, 0.25))


def _noncentrality(t: float, freedom: int, probability: float) -> float:
    """The non-centrality with which a t variable falls below `t` (>= 0) with `probability`."""
    if t > LARGEST_T:
        return t * math.sqrt(float(stats.chi2.ppf(1 - probability, freedom)) / freedom)

    def excess(noncentrality: float) -> float:
        return float(stats.nct.cdf(t, freedom, noncentrality)) - probability

    # Bonferroni's inequality, half the tail to the mean and half to the standard deviation, brackets the root.
    tail = min(probability, 1 - probability) / 2
    shrink, stretch = np.sqrt(stats.chi2.ppf([tail, 1 - tail], freedom) / freedom)
    slack = float(stats.norm.isf(tail))
    return float(optimize.brentq(excess, t * shrink - slack, t * stretch + slack, xtol=1e-12, rtol=1e-14))
