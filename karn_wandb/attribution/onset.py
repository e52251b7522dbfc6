"""When a slot began to contribute, and when it ceased to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from karn_wandb.errors import AttributionError


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which a slot contributed.

    Attributes:
        onset: Epoch of the first of the measurements that showed it.
        offset: Epoch of the first of the measurements that no longer did; None while it lasts.
    """

    onset: int
    offset: int | None = None


def contribution_onset_epoch(
    epochs: Sequence[int],
    values: Sequence[float | None],
    threshold: float,
    lower: Sequence[float | None] | None = None,
    consecutive: int = 3,
) -> int | None:
    """The first epoch of the first run of `consecutive` measurements that all lie above the threshold.

    Arguments and errors are those of `contribution_periods`.

    Returns:
        The epoch, or None when there was no such run.
    """
    periods = contribution_periods(epochs, values, threshold, lower=lower, consecutive=consecutive)
    return periods[0].onset if periods else None


def contribution_periods(
    epochs: Sequence[int],
    values: Sequence[float | None],
    threshold: float,
    *,
    off_threshold: float | None = None,
    lower: Sequence[float | None] | None = None,
    consecutive: int = 3,
) -> tuple[Period, ...]:
    """The times in which a slot contributed, with hysteresis: what began goes on until it clearly has ended.

    A period begins with `consecutive` measurements in a row above the threshold, and ends with as many in a row below
    the lower `off_threshold`, or not measured; one that only dips between the two goes on.

    One noisy measurement above the threshold is no onset: a slot that contributes nothing, with a standard error of
    0.2 points, exceeds 0.5 points in one of 100 epochs nearly half of the time, three times in a row almost never.
    Three in a row are little protection where errors repeat from epoch to epoch, as those from one validation set do;
    lower ends of intervals are.

    Args:
        epochs: Epochs of the measurements, increasing; they need not be adjacent.
        values: What was measured, for example Shapley values; None where it was not.
        threshold: In the unit of the values.
        off_threshold: At most the threshold, which None stands for.
        lower: Lower ends of the measurements' intervals, which then must lie above the threshold instead of the values.
            The end of a period is told by the values.
        consecutive: Measurements in a row, at least 1.

    Raises:
        AttributionError: The sequences differ in length, epochs do not increase, the thresholds are in the wrong order
            or `consecutive` is below 1.
    """
    bounds = values if lower is None else lower
    off = threshold if off_threshold is None else off_threshold
    _check(epochs, (values, bounds), (off, threshold), consecutive)
    periods: list[Period] = []
    contributes, run = False, 0
    for place, (value, bound) in enumerate(zip(values, bounds, strict=True)):
        turns = not (value is not None and value >= off) if contributes else bound is not None and bound > threshold
        run = run + 1 if turns else 0
        if run < consecutive:
            continue
        turned = epochs[place - consecutive + 1]
        if contributes:
            periods[-1] = Period(periods[-1].onset, turned)
        else:
            periods.append(Period(turned))
        contributes, run = not contributes, 0
    return tuple(periods)


def _check(
    epochs: Sequence[int],
    series: tuple[Sequence[float | None], Sequence[float | None]],
    thresholds: tuple[float, float],
    consecutive: int,
) -> None:
    values, bounds = map(len, series)
    if not len(epochs) == values == bounds:
        raise AttributionError("epochs, values and lower must be equally long", got=f"{len(epochs)}, {values} and {bounds}")
    if any(later <= earlier for earlier, later in pairwise(epochs)):
        raise AttributionError("epochs must increase", got=str(list(epochs)))
    if not thresholds[0] <= thresholds[1]:
        raise AttributionError("off_threshold must be at most the threshold", got="{} and {}".format(*thresholds))
    if consecutive < 1:
        raise AttributionError("consecutive must be at least 1", got=str(consecutive))
