"""How sure a number read off a coalition game is: error from sampling coalitions, and from the finite validation set."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from karn_wandb.attribution.games import FloatArray, IntArray
from karn_wandb.attribution.regression import PairedFit
from karn_wandb.attribution.sampling import pair_estimates, pair_weights
from karn_wandb.attribution.units import Outcomes, Shares, Units
from karn_wandb.records import EvaluationMethod, ShapleyEstimate

Algorithm = Literal["exact", "permutation_antithetic", "leverage_regression"]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class EvaluationErrors:
    """Standard errors that the finite validation set causes.

    Attributes:
        std: One for each statistic, in the game's unit.
        method: How they are known; see `ShapleyEstimate.evaluation_method`.
        degrees_of_freedom: Of Student's t, units - 1; infinite (normal) for a bound.
    """

    std: FloatArray
    method: EvaluationMethod
    degrees_of_freedom: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number read off a game, with its uncertainty.

    Attributes:
        mean: In the game's unit.
        std: Its standard error, from the finite validation set; None when that was not measured.
        ci_low: Lower end of the 95 % interval; None without a standard error.
        ci_high: Upper end of the 95 % interval; None without a standard error.
        evaluation_method: How the standard error is known, as in `ShapleyEstimate`.
        degrees_of_freedom: Of Student's t behind the interval; infinite for the normal distribution.
    """

    mean: float
    std: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    evaluation_method: EvaluationMethod | None = None
    degrees_of_freedom: float = math.inf


def evaluation_errors(weights: FloatArray, outcomes: Outcomes | None) -> EvaluationErrors | None:
    """Standard errors, from the finite validation set, of statistics that are linear in the game.

    A linear statistic of a game that is a mean over examples is the mean of the examples' own statistics. So

    - "per_example": their standard deviation over sqrt(N). For one slot this is McNemar's comparison of paired
      proportions.
    - "group_jackknife": the jackknife that leaves out one group (batch, sequence) at a time. It allows for groups of
      different sizes, and for examples of one group that depend on each other.
    - "binomial_bound": how examples that are right under one coalition fare under others is not known. Given each
      coalition's accuracy, the variance of an example's sum of w_S c_S is largest when all its terms rise together
      (the upper Frechet bound), and is computed for that case: it cannot be larger.

    Args:
        weights: What each statistic gives each coalition, shape [k, coalitions].
        outcomes: Of the same coalitions.

    Returns:
        None when nothing is known of the outcomes.
    """
    if outcomes is None:
        return None
    if isinstance(outcomes, Shares):
        variances = np.array([_largest_variance(row, outcomes.shares) for row in weights])
        return EvaluationErrors(100 * np.sqrt(variances / (outcomes.n_examples - 1)), "binomial_bound", math.inf)
    used = np.flatnonzero(weights.any(axis=0))
    weights = weights[:, used]
    means = (weights @ outcomes.means[used])[:, None]
    squares = np.zeros(len(weights))
    for block, unit_weight in outcomes.blocks(used):
        squares += (((weights @ block - means) * unit_weight) ** 2).sum(axis=1)
    return _of_units(squares, outcomes)


def sampled_evaluation_errors(outcomes: Outcomes | None, rows: IntArray, orders: IntArray) -> EvaluationErrors | None:
    """The same for Shapley values estimated from antithetic pairs; None for a single pair.

    An example's estimate varies over examples also because permutations were sampled, which the sampling error
    already counts. What two different pairs' estimates share over examples does not contain it: the mean covariance
    over examples between pairs is an unbiased estimate of the variance of the exact per-example values. The bound
    bounds the variance of the pairs' mean.

    Args:
        outcomes: Of the known coalitions.
        rows: Which coalition is at each place along the permutations, shape [pairs, 2, n + 1].
        orders: The permutations, shape [pairs, 2, n].
    """
    pairs, n = len(orders), orders.shape[-1]
    if pairs < 2 or outcomes is None:
        return None
    if isinstance(outcomes, Shares):
        return evaluation_errors(pair_weights(rows, orders, len(outcomes.shares)), outcomes)
    means = pair_estimates(outcomes.means[rows], orders)
    known, places = np.unique(rows, return_inverse=True)
    shared = np.zeros(n)
    for block, unit_weight in outcomes.blocks(known):
        total = np.zeros((n, len(unit_weight)))
        for place, order, mean in zip(places.reshape(rows.shape), orders, means, strict=True):
            own = (pair_estimates(block[place][None], order[None])[0] - mean[:, None]) * unit_weight
            total += own
            shared -= (own**2).sum(axis=1)
        shared += (total**2).sum(axis=1)
    return _of_units(np.maximum(shared, 0.0) / (pairs * (pairs - 1)), outcomes)


def regressed_evaluation_errors(outcomes: Outcomes | None, rows: IntArray, fit: PairedFit) -> EvaluationErrors | None:
    """The same for Shapley values from a fit to complementary pairs; None where the fit's own error is unknown.

    An example's estimate varies over examples also because pairs are missing, which the sampling error already counts:
    that part is subtracted. The bound bounds the variance of the whole.

    Args:
        outcomes: Of the known coalitions.
        rows: Which coalitions are the two of each pair, shape [1 + pairs, 2], all on and all off first.
        fit: The fit to those pairs.
    """
    if outcomes is None or fit.jackknife is None:
        return None
    known = len(outcomes.shares if isinstance(outcomes, Shares) else outcomes.means)
    halves = np.zeros((len(rows), known))
    halves[np.arange(len(rows)), rows[:, 0]], halves[np.arange(len(rows)), rows[:, 1]] = 0.5, -0.5
    spread = evaluation_errors(fit.weights @ halves, outcomes)
    residual = evaluation_errors(fit.left_out @ halves, outcomes)
    if spread is None or residual is None or isinstance(outcomes, Shares):
        return spread
    return replace(spread, std=np.sqrt(np.maximum(spread.std**2 - fit.jackknife @ residual.std**2, 0.0)))


def _of_units(variances: FloatArray, outcomes: Units) -> EvaluationErrors:
    return EvaluationErrors(np.sqrt(variances), outcomes.method, len(outcomes.sizes) - 1)


def _largest_variance(weights: FloatArray, shares: FloatArray) -> float:
    """Of the sum of w_S c_S over Bernoulli variables c_S with means p_S, over all ways they may depend on each other.

    All terms then are non-decreasing functions of one uniform variable U: c_S is 1 for U > 1 - p_S where w_S is
    positive and for U <= p_S where it is negative, so the sum is a staircase.
    Source: Hoeffding (1940), Masstabinvariante Korrelationstheorie; Frechet (1951), Sur les tableaux de correlation.
    """
    used = weights != 0
    weights, shares = weights[used], shares[used]
    steps = np.where(weights > 0, 1 - shares, shares)
    order = np.argsort(steps)
    heights = weights[weights < 0].sum() + np.concatenate([[0.0], np.cumsum(np.abs(weights[order]))])
    widths = np.diff(steps[order], prepend=0.0, append=1.0)
    return float(widths @ (heights - widths @ heights) ** 2)


def interval(mean: float, std: float, degrees_of_freedom: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Student's two-sided interval; the normal one for infinite degrees of freedom."""
    margin = float(stdtrit(degrees_of_freedom, (1 + confidence) / 2)) * std
    return mean - margin, mean + margin


def estimate(
    mean: float,
    *,
    sampling: float | None,
    evaluation: float | None,
    n_samples: int,
    algorithm: Algorithm,
    sampling_freedom: float = math.inf,
    evaluation_freedom: float = math.inf,
    evaluation_method: EvaluationMethod | None = None,
) -> ShapleyEstimate:
    """A Shapley value with the standard error and 95 % interval that its two errors give it.

    The errors are independent and add in quadrature. An exact value has no sampling error, so what is left is that of
    the validation set, known or not; a sampled one whose sampling error is unknown has no standard error at all.

    Args:
        mean: The value.
        sampling: Standard error from sampling coalitions, 0 when exact, None when one pair says nothing of it.
        evaluation: Standard error from the validation set, None when not measured.
        n_samples: Permutations sampled, or coalitions evaluated when exact or by regression.
        algorithm: How the value was computed.
        sampling_freedom: Degrees of freedom of the sampling error.
        evaluation_freedom: Degrees of freedom of the validation set's error.
        evaluation_method: How the validation set's error is known.
    """
    exact = algorithm == "exact"
    unknown = sampling is None or (exact and evaluation is None)
    std = None if unknown else math.hypot(sampling or 0.0, evaluation or 0.0)
    low = high = freedom = None
    if std is not None:
        found = _satterthwaite(std, (sampling or 0.0, sampling_freedom), (evaluation or 0.0, evaluation_freedom))
        low, high = interval(mean, std, found)
        freedom = found if math.isfinite(found) else None
    return ShapleyEstimate(
        mean=mean,
        std=std,
        n_samples=n_samples,
        algorithm=algorithm,
        ci_low=low,
        ci_high=high,
        exact=exact,
        sampling_std=sampling,
        evaluation_std=evaluation,
        evaluation_method=evaluation_method,
        degrees_of_freedom=freedom,
    )


def _satterthwaite(std: float, *parts: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of independent parts (error, degrees of freedom); infinite for none.

    Source: Satterthwaite (1946), An approximate distribution of estimates of variance components.
    """
    if not std:
        return math.inf
    uncertain = sum((error / std) ** 4 / freedom for error, freedom in parts if error)
    return 1 / uncertain if uncertain else math.inf


def p_positive(found: ShapleyEstimate) -> float:
    """One-sided p of "the Shapley value is not positive"; 1 when there is no standard error to say so."""
    if found.std is None:
        return 1.0
    if found.std == 0:
        return float(found.mean <= 0)
    freedom = math.inf if found.degrees_of_freedom is None else found.degrees_of_freedom
    return float(stdtr(freedom, -found.mean / found.std))
