"""What a comparison accepts: checked once at the door, so that the formulas behind it need no guards."""

from __future__ import annotations

import math
import numbers

import numpy as np
import numpy.typing as npt

from karn_wandb.errors import StatisticsError

Floats = npt.NDArray[np.float64]

LARGEST = 1e150
"""Values beyond it would overflow when squared."""


def checked_arms(treatment: npt.ArrayLike, control: npt.ArrayLike, *, paired: bool) -> tuple[Floats, Floats]:
    """Both arms as float arrays, in an order that does not depend on the order they came in.

    Sorting makes every sum and every resample, and so the result to the last bit, a function of the runs alone.

    Args:
        treatment: One number per run, shape (n,).
        control: One number per run, shape (m,); m = n when paired.
        paired: Whether value i of one arm belongs to value i of the other.

    Raises:
        StatisticsError: An arm is empty, not one-dimensional, not numeric or not finite, or paired arms differ in length.
    """
    first, second = checked_values(treatment, "treatment"), checked_values(control, "control")
    if not paired:
        return np.sort(first), np.sort(second)
    if first.size != second.size:
        raise StatisticsError(
            "paired arms must have the same length",
            got=f"{first.size} and {second.size} values",
            do="Match the runs one to one, or compare with paired=False.",
        )
    order = np.lexsort((first, first - second))
    return first[order], second[order]


def checked_values(values: npt.ArrayLike, name: str) -> Floats:
    """One number per run as a new float array, in the order given.

    Raises:
        StatisticsError: There is none, or they are not one-dimensional, not numeric or not finite.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:  # NumPy refuses ragged nesting
        raise StatisticsError(f"{name} must be one-dimensional", got="ragged rows", do="Pass one number per run.") from error
    if array.ndim != 1:
        raise StatisticsError(f"{name} must be one-dimensional", got=f"shape {array.shape}", do="Pass one number per run.")
    if array.size == 0:
        raise StatisticsError(f"{name} is empty", do="Pass the value of at least one run.")
    if array.dtype.kind not in "iuf":
        raise StatisticsError(f"{name} must hold numbers", got=f"dtype {array.dtype}", do="Pass one number per run.")
    array = array.astype(np.float64)
    beyond = np.flatnonzero(~(np.abs(array) <= LARGEST))
    if beyond.size:
        raise StatisticsError(
            f"{name} must hold finite numbers of size at most {LARGEST:g}",
            got=f"{array[beyond[0]]} at index {beyond[0]}",
            do="Decide what a run without a proper value counts as: leave it out by name, or give it the worst value.",
        )
    return array


def check_margin(margin: object) -> None:
    """Raise `StatisticsError` unless the margin is None or a positive, finite number."""
    if margin is None or (not isinstance(margin, bool) and isinstance(margin, numbers.Real) and 0 < float(margin) < math.inf):
        return
    raise StatisticsError(
        "margin must be a positive number or None",
        got=repr(margin),
        do="Give the largest loss that does not matter, in the metric's unit.",
    )


def check_confidence(confidence: object) -> None:
    """Raise `StatisticsError` unless 0.5 < confidence <= 0.9999, the largest a `Comparison` can hold."""
    if isinstance(confidence, numbers.Real) and 0.5 < float(confidence) <= 0.9999:
        return
    raise StatisticsError(
        "confidence must be above 0.5 and at most 0.9999",
        got=repr(confidence),
        do="Use 0.95 unless there is a reason.",
    )


def check_power(power: object) -> None:
    """Raise `StatisticsError` unless 0.5 <= power <= 0.9999."""
    if isinstance(power, numbers.Real) and 0.5 <= float(power) <= 0.9999:
        return
    raise StatisticsError(
        "power must be at least 0.5 and at most 0.9999", got=repr(power), do="Use 0.8 or 0.9: below one half a plan is no plan."
    )


def generators(rng: object, count: int) -> list[np.random.Generator]:
    """Independent generators from a seed or a Generator, so that what one consumer draws never shifts another's numbers.

    Raises:
        StatisticsError: `rng` is neither a whole number of at least 0 nor a Generator.
    """
    if isinstance(rng, np.random.Generator):
        return rng.spawn(count)
    if not isinstance(rng, bool) and isinstance(rng, numbers.Integral) and int(rng) >= 0:
        return np.random.default_rng(int(rng)).spawn(count)
    raise StatisticsError(
        "rng must be a whole number of at least 0 or a numpy Generator",
        got=repr(rng),
        do="Pass rng=0: a comparison must be repeatable.",
    )
