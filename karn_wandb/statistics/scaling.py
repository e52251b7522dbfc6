"""How large a host-only model would have to be: accuracy against the number of parameters."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping

from scipy.optimize import isotonic_regression

from karn_wandb.errors import StatisticsError


def equivalent_params(sizes: Mapping[int, float], accuracy: float) -> float | None:
    """Parameters of the smallest host-only model that reaches an accuracy, between the sizes that were measured.

    The measured accuracies are made to rise with size by isotonic least squares (pool adjacent violators; Barlow,
    Bartholomew, Bremner and Brunk 1972, "Statistical inference under order restrictions"), each size with the same
    weight, and joined by lines over log10 of the parameters. Nothing is extrapolated. The result has no interval: it is
    as uncertain as the runs behind each size.

    Args:
        sizes: Accuracy of host-only models, percent, by their parameters (at least 1).
        accuracy: The accuracy to reach, percent.

    Returns:
        Parameters, from the smallest size to the largest; None when the accuracy lies below or above all that the curve
        reaches, or with fewer than two sizes.

    Raises:
        StatisticsError: A size is below 1, or an accuracy is not finite.
    """
    _check(sizes, accuracy)
    if len(sizes) < 2:
        return None
    params = sorted(sizes)
    curve: list[float] = isotonic_regression([sizes[size] for size in params]).x.tolist()
    if not curve[0] <= accuracy <= curve[-1]:
        return None
    above = bisect_left(curve, accuracy)
    if curve[above] == accuracy:
        return float(params[above])
    low, high = params[above - 1], params[above]
    fraction = (accuracy - curve[above - 1]) / (curve[above] - curve[above - 1])
    between: float = low * (high / low) ** fraction  # a line over the logarithm of the size
    return min(between, float(high))


def _check(sizes: Mapping[int, float], accuracy: float) -> None:
    for size in sizes:
        if size < 1:
            raise StatisticsError("a model's size must be at least 1 parameter", got=str(size), do="Count its parameters.")
    for value in (accuracy, *sizes.values()):
        if not math.isfinite(value):
            raise StatisticsError("accuracies must be finite", got=str(value), do="Leave out the sizes that were not measured.")
