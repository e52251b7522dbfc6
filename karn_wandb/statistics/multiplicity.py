"""Correction of p-values that are looked at together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.inputs import Floats


def correct(p_values: Sequence[float | None], method: Literal["holm", "bh"] = "holm") -> tuple[float | None, ...]:
    """Adjusted p-values, each in the place of its own hypothesis.

    Args:
        p_values: The family, 0 to 1 each; None where there was no test, which does not count towards the family.
        method: "holm" holds the chance of any false claim (Holm 1979); "bh" the expected share of false ones among
            those claimed (Benjamini & Hochberg 1995).

    Returns:
        The adjusted p-values in the order given; None where None was.

    Raises:
        StatisticsError: The method is unknown, or a p-value is not between 0 and 1.
    """
    if method not in ("holm", "bh"):
        raise StatisticsError("unknown correction", got=repr(method), do='Use "holm" or "bh".')
    for index, p in enumerate(p_values):
        if p is not None and not 0 <= p <= 1:
            raise StatisticsError(
                "p-values must lie between 0 and 1", got=f"{p} at index {index}", do="Pass None where there is none."
            )
    tested = np.array([p for p in p_values if p is not None], dtype=np.float64)
    adjusted = iter((_holm if method == "holm" else stats.false_discovery_control)(tested))
    return tuple(None if p is None else float(next(adjusted)) for p in p_values)


def _holm(p_values: Floats) -> Floats:
    """Step down from the smallest, multiplying by how many are left.

    statsmodels' multipletests does the same but runs the garbage collector on every call.
    """
    order = np.argsort(p_values, kind="stable")
    left = np.arange(p_values.size, 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * left))
    return adjusted
