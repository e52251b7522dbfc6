"""The ratio of two means with the interval of Fieller (1954), "Some problems in interval estimation"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.inputs import check_confidence, checked_arms


@dataclass(frozen=True, slots=True)
class Ratio:
    """Mean of the treatment over mean of the control, and the ratios that the runs do not contradict.

    Attributes:
        ratio: Of the means; infinite or NaN when the control's mean is zero.
        kind: "interval": from `low` to `high`. "outside": all ratios up to `low` and all from `high` on, since the control's
            mean may have either sign. "everything": the runs contradict no ratio. The latter two occur exactly when the
            control's mean is not shown to differ from zero; whoever then gives a finite interval is wrong more often than
            said (Gleser & Hwang 1987).
        low: First bound; minus infinity of "everything".
        high: Second bound; infinity of "everything".
        confidence: Of the set.
    """

    ratio: float
    kind: Literal["interval", "outside", "everything"]
    low: float
    high: float
    confidence: float

    def __contains__(self, ratio: float) -> bool:
        """Whether the runs do not contradict a ratio."""
        within = self.low <= ratio <= self.high
        return within if self.kind != "outside" else not self.low < ratio < self.high


def ratio_of_means(treatment: npt.ArrayLike, control: npt.ArrayLike, paired: bool = False, *, confidence: float = 0.95) -> Ratio:
    """The ratio of two means.

    A ratio is contradicted when a t test of treatment - ratio * control against zero rejects. Paired runs of normal data:
    exact. Unpaired: with the degrees of freedom of Welch's test at the observed ratio (Tamhane & Logan 2004, "Finding the
    maximum safe dose level for heteroscedastic data"). A ratio hides its parts: show it beside both means (Bland & Altman).

    Args:
        treatment: Shape (n,), n >= 2.
        control: Shape (m,), m >= 2; m = n when paired.
        paired: Whether value i of one arm belongs to value i of the other.
        confidence: Above 0.5 and at most 0.9999.

    Raises:
        StatisticsError: An argument is not as described, neither arm has any spread, or the control is zero in every run.
    """
    check_confidence(confidence)
    above, below = checked_arms(treatment, control, paired=paired)
    if min(above.size, below.size) < 2:
        raise StatisticsError(
            "a ratio's interval needs two runs an arm", got=f"{above.size} and {below.size}", do="Give more runs, or no interval."
        )
    if not below.any():
        raise StatisticsError("there is no ratio to a control that is zero in every run", do="Compare the difference instead.")
    unit = (float(np.abs(above).max()) or 1.0, float(np.abs(below).max()))  # so that no square over- or underflows
    above, below = above / unit[0], below / unit[1]
    x, y = float(above.mean()), float(below.mean())
    xx, yy = float(above.var(ddof=1)) / above.size, float(below.var(ddof=1)) / below.size
    if max(xx, yy) < np.finfo(float).eps ** 2:
        raise StatisticsError("without spread a ratio has no interval", do="Check that the runs are independent repetitions.")
    xy = float(np.cov(above, below)[0, 1]) / above.size if paired else 0.0
    t = -float(special.stdtrit(_freedom(x * x * yy, y * y * xx, above.size, below.size, paired=paired), (1 - confidence) / 2))
    # (x - r y)^2 <= t^2 (xx - 2 r xy + r^2 yy) is quadratic * r^2 - 2 * linear * r + constant <= 0.
    quadratic, linear, constant = y * y - t * t * yy, x * y - t * t * xy, x * x - t * t * xx
    discriminant = linear**2 - quadratic * constant
    scale = unit[0] / unit[1]
    ratio = scale * float(np.divide(x, y)) if y else math.copysign(math.inf, x) if x else math.nan
    if quadratic == 0 or (quadratic < 0 and discriminant <= 0):
        return Ratio(ratio, "everything", -math.inf, math.inf, confidence)
    # The root that loses no digits; the other is by Vieta. Below zero by rounding: the two are one.
    far = linear + math.copysign(math.sqrt(max(discriminant, 0.0)), linear)
    low, high = sorted((far / quadratic, constant / far if far else 0.0))
    return Ratio(ratio, "interval" if quadratic > 0 else "outside", scale * low, scale * high, confidence)


def _freedom(below: float, above: float, n: int, m: int, *, paired: bool) -> float:
    """Satterthwaite's, of x - r y at r = x / y; `above` and `below` are the parts of its variance, times y squared."""
    if paired:
        return n - 1
    share = above / (above + below) if above + below else 0.5
    return 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
