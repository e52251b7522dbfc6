"""Planned looks at a comparison that is still running: boundaries by alpha spending (Lan & DeMets 1983).

Testing at 0.05 after every new seed finds a difference between equal arms more often than not, if it is done for long enough.
Here the chance of a false find is a budget: a spending function says which part may be used up when a fraction of the
planned runs is in, and each look's level is what makes the chance of *any* false find so far equal to it. The number and the
times of the looks need not be planned, only the largest number of runs, and looks must not be chosen by what was seen.
Who cannot plan that much takes a confidence sequence (`karn_wandb.statistics.confidence_sequence`), which is wider.

The boundaries are those of a normal statistic whose increments are independent. With few runs each look compares the p-value
of its t test with the look's level (Jennison & Turnbull 2000, "Group Sequential Methods", section 3.8), which keeps the
overall level approximately: by simulation in docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy import optimize, special

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.inputs import Floats, check_confidence

Spending = Literal["obrien_fleming", "pocock"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(512)
FARTHEST = 9.0
"""Standard deviations beyond which no probability is left that double precision would notice."""


@dataclass(frozen=True, slots=True)
class Look:
    """One planned look at the data.

    Attributes:
        fraction: Of the planned runs, above 0 and at most 1.
        spent: Chance of a false find at this look or before, two-sided.
        boundary: Size of the normal statistic from which on the look finds a difference; infinite when nothing may be spent.
        level: The same as a two-sided level: a look finds a difference when its p-value is below it.
    """

    fraction: float
    spent: float
    boundary: float
    level: float

    @property
    def confidence(self) -> float:
        """Of the interval to look at: it excludes zero when the look finds a difference (Jennison & Turnbull 1989)."""
        return 1 - self.level


def spent(fraction: float, spending: Spending = "obrien_fleming", *, confidence: float = 0.95) -> float:
    """Chance of a false find, two-sided, that may be used up when a fraction of the planned runs is in.

    "obrien_fleming" spends next to nothing early and leaves the last look nearly at the full level; "pocock" spends evenly
    and finds large differences early (Lan & DeMets 1983, "Discrete sequential boundaries for clinical trials"). Each side
    spends half.

    Raises:
        StatisticsError: The fraction is not above 0 and at most 1, the function is unknown, or confidence is not as it must be.
    """
    check_confidence(confidence)
    if not 0 < fraction <= 1:
        raise StatisticsError(
            "a look's fraction of the planned runs must be above 0 and at most 1",
            got=repr(fraction),
            do="Divide the runs that are in by the runs planned; beyond the plan nothing is left to be spent.",
        )
    side = (1 - confidence) / 2
    if spending == "obrien_fleming":
        return 4 * float(special.ndtr(special.ndtri(side / 2) / math.sqrt(fraction)))
    if spending == "pocock":
        return 2 * side * math.log1p((math.e - 1) * fraction)
    raise StatisticsError("unknown spending function", got=repr(spending), do='Use "obrien_fleming" or "pocock".')


def looks(fractions: Sequence[float], spending: Spending = "obrien_fleming", *, confidence: float = 0.95) -> tuple[Look, ...]:
    """The boundary of every look, by numerical integration (Armitage, McPherson & Rowe 1969).

    The sum of what was seen so far is followed from look to look: its density over the values at which no look has found
    anything, on Gauss-Legendre nodes; each boundary is where the part that crosses it is what the look may spend.

    Args:
        fractions: Of the planned runs in at each look, rising, above 0 and at most 1; the last may be below 1, when more
            looks are to come.
        spending: "obrien_fleming" or "pocock".
        confidence: Of all looks together, above 0.5 and at most 0.9999.

    Raises:
        StatisticsError: There is no look, fractions do not rise, or an argument is not as described.
    """
    check_confidence(confidence)
    if not len(fractions) or any(later <= earlier for earlier, later in pairwise(fractions)):
        raise StatisticsError("fractions must rise from look to look", got=repr(list(fractions)), do="Leave out repeated looks.")
    return _looks(tuple(map(float, fractions)), spending, float(confidence))


@lru_cache(maxsize=1024)
def _looks(fractions: tuple[float, ...], spending: Spending, confidence: float) -> tuple[Look, ...]:
    totals = [spent(fraction, spending, confidence=confidence) for fraction in fractions]
    found = []
    sums, mass = np.zeros(1), np.ones(1)  # before the first look the sum is 0
    previous, used = 0.0, 0.0
    for fraction, total in zip(fractions, totals, strict=True):
        step = math.sqrt(fraction - previous)
        boundary = _boundary(sums, mass, step, math.sqrt(fraction), total - used)
        found.append(Look(fraction, total, boundary, 2 * float(special.ndtr(-boundary))))
        reach = min(boundary, FARTHEST) * math.sqrt(fraction)
        onward = reach * NODES
        density = np.exp(-0.5 * ((onward[:, None] - sums) / step) ** 2) @ mass / (step * math.sqrt(2 * math.pi))
        sums, mass = onward, reach * WEIGHTS * density
        previous, used = fraction, total
    return tuple(found)


def sequential_p(p: float, fractions: Sequence[float], spending: Spending = "obrien_fleming") -> float:
    """A look's one-sided p-value as one that counts all looks: the least overall level at which this look finds a difference.

    It may be corrected over several comparisons and compared with a level as any other p-value (Liu & Anderson 2008, "On
    adaptive extensions of group sequential trials for clinical investigations"; Maurer & Bretz 2013, "Multiple testing in
    group sequential trials using graphical approaches").

    Args:
        p: One-sided p of the last of the looks, 0 to 1.
        fractions: Of the planned runs in at each look, as for `looks`.
        spending: "obrien_fleming" or "pocock".

    Returns:
        From 0.00005 to 0.25, or 1 when it would be larger.
    """
    least, most = 1 - 0.9999, 0.5 - 1e-9

    def excess(alpha: float) -> float:
        return looks(fractions, spending, confidence=1 - alpha)[-1].level / 2 - p

    if excess(most) < 0:
        return 1.0
    if excess(least) >= 0:
        return least / 2
    return float(optimize.brentq(excess, least, most, xtol=1e-9)) / 2


def _boundary(sums: Floats, mass: Floats, step: float, root: float, allowed: float) -> float:
    """Where the chance to be beyond it at this look, having been within all earlier ones, is what is allowed."""

    def beyond(boundary: float) -> float:
        above = special.ndtr((sums - boundary * root) / step)
        below = special.ndtr((-sums - boundary * root) / step)
        return math.log(max(float(mass @ (above + below)), 1e-300)) - math.log(allowed)

    if allowed <= 1e-300:
        return math.inf
    return float(optimize.brentq(beyond, 0.0, 40.0, xtol=1e-13, rtol=1e-14))
