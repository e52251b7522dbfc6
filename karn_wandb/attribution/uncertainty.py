"""How sure a Shapley value is: error from sampling coalitions, and from the finite validation set."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from karn_wandb.attribution.games import FloatArray, IntArray, shapley_values
from karn_wandb.attribution.sampling import pair_estimates
from karn_wandb.attribution.values import BoolArray
from karn_wandb.records import ShapleyEstimate

Algorithm = Literal["exact", "permutation_antithetic", "leverage_regression"]

_CHUNK = 2**22
"""Numbers held at once while solving per-example games: 32 MiB of floats."""


def exact_evaluation_errors(correct: BoolArray) -> FloatArray | None:
    """Standard errors of exact Shapley values that the finite validation set causes; None for a single example.

    The Shapley value is linear in the game and accuracy is a mean over examples, so every example has Shapley values
    of its own; their mean is the Shapley value and their standard deviation over sqrt(N) its standard error. For one
    slot this is McNemar's comparison of paired proportions.

    Args:
        correct: A full table for each example: whether it is classified correctly, shape [2^n, N].

    Returns:
        By slot, percentage points, shape [n].
    """
    coalitions, examples = correct.shape
    if examples < 2:
        return None
    step = max(1, _CHUNK // coalitions)
    parts = [shapley_values(100 * correct[:, start : start + step].astype(np.float64)) for start in range(0, examples, step)]
    return _standard_error(np.concatenate(parts, axis=1).var(axis=1, ddof=1), examples)


def sampled_evaluation_errors(correct: BoolArray, rows: IntArray, orders: IntArray) -> FloatArray | None:
    """The same for Shapley values estimated from antithetic pairs; None for a single pair or example.

    An example's estimate varies over examples also because permutations were sampled, which the sampling error
    already counts. What two different pairs' estimates share over examples does not contain it: the mean covariance
    over examples between pairs is an unbiased estimate of the variance of the exact per-example values.

    Args:
        correct: Whether each example is classified correctly, shape [coalitions, N].
        rows: Which coalition is at each place along the permutations, shape [pairs, 2, n + 1].
        orders: The permutations, shape [pairs, 2, n].

    Returns:
        By slot, percentage points, shape [n].
    """
    pairs, examples = len(orders), correct.shape[1]
    if pairs < 2 or examples < 2:
        return None
    total, variances = np.zeros((orders.shape[-1], examples)), np.zeros(orders.shape[-1])
    for places, order in zip(rows, orders, strict=True):
        (by_example,) = pair_estimates(100 * correct[places][None].astype(np.float64), order[None])
        total += by_example
        variances += by_example.var(axis=1, ddof=1)
    covariance = (total.var(axis=1, ddof=1) - variances) / (pairs * (pairs - 1))
    return _standard_error(np.maximum(covariance, 0.0), examples)


def _standard_error(variance: FloatArray, examples: int) -> FloatArray:
    errors: FloatArray = np.sqrt(variance / examples)
    return errors


def estimate(
    mean: float,
    *,
    sampling: float | None,
    evaluation: float | None,
    n_samples: int,
    algorithm: Algorithm,
    sampling_freedom: float = math.inf,
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
    """
    exact = algorithm == "exact"
    unknown = sampling is None or (exact and evaluation is None)
    std = None if unknown else math.hypot(sampling or 0.0, evaluation or 0.0)
    found = ShapleyEstimate(
        mean=mean,
        std=std,
        n_samples=n_samples,
        algorithm=algorithm,
        exact=exact,
        sampling_std=sampling,
        evaluation_std=evaluation,
    )
    if std is None:
        return found
    # By Satterthwaite (1946), An approximate distribution of estimates of variance components; the evaluation error
    # counts as known.
    sampled_share = (sampling / std) ** 4 if std and sampling else 0.0
    freedom = sampling_freedom / sampled_share if sampled_share else math.inf
    margin = float(stdtrit(freedom, 0.975)) * std
    return replace(
        found, ci_low=mean - margin, ci_high=mean + margin, degrees_of_freedom=freedom if math.isfinite(freedom) else None
    )


def p_positive(found: ShapleyEstimate) -> float:
    """One-sided p of "the Shapley value is not positive"; 1 when there is no standard error to say so."""
    if found.std is None:
        return 1.0
    if found.std == 0:
        return float(found.mean <= 0)
    freedom = math.inf if found.degrees_of_freedom is None else found.degrees_of_freedom
    return float(stdtr(freedom, -found.mean / found.std))
