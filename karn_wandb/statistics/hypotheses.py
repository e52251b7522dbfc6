"""The t tests of a mean difference: is it zero, is there improvement, is it within a margin.

All of them ask the same question, how far the observed difference lies from a hypothetical one in standard errors,
so all take a `MeanDifference`, paired or Welch alike.
"""

from __future__ import annotations

from scipy import stats

from karn_wandb.statistics.intervals import MeanDifference


def p_two_sided(difference: MeanDifference) -> float:
    """P-value against a true difference of zero (paired t test, or Welch 1947)."""
    t = abs(difference.delta) / difference.standard_error
    return min(1.0, 2 * float(stats.t.sf(t, difference.degrees_of_freedom)))


def p_above(difference: MeanDifference, bound: float) -> float:
    """One-sided p-value against a true difference of `bound` or less."""
    return float(stats.t.sf((difference.delta - bound) / difference.standard_error, difference.degrees_of_freedom))


def p_below(difference: MeanDifference, bound: float) -> float:
    """One-sided p-value against a true difference of `bound` or more."""
    return float(stats.t.cdf((difference.delta - bound) / difference.standard_error, difference.degrees_of_freedom))


def p_improvement(difference: MeanDifference, *, higher_is_better: bool) -> float:
    """One-sided p-value against no improvement, in the direction that is better."""
    return p_above(difference, 0.0) if higher_is_better else p_below(difference, 0.0)


def p_non_inferiority(difference: MeanDifference, margin: float, *, higher_is_better: bool) -> float:
    """One-sided p-value against the treatment being worse by `margin` (> 0) or more.

    Source: Wellek 2010, "Testing Statistical Hypotheses of Equivalence and Noninferiority", chapter 2.
    """
    return p_above(difference, -margin) if higher_is_better else p_below(difference, margin)


def p_equivalence(difference: MeanDifference, margin: float) -> float:
    """TOST p-value, the larger of two one-sided ones, against a true difference of at least `margin` (> 0) either way.

    Source: Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".
    """
    return max(p_above(difference, -margin), p_below(difference, margin))
