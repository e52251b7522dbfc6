"""When a slot began to contribute."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from karn_wandb.errors import AttributionError


def contribution_onset_epoch(
    epochs: Sequence[int],
    values: Sequence[float | None],
    threshold: float,
    lower: Sequence[float | None] | None = None,
    consecutive: int = 3,
) -> int | None:
    """The first epoch of the first run of `consecutive` measurements that all lie above the threshold.

    One noisy measurement above it is no onset: a slot that contributes nothing, with a standard error of 0.2 points,
    exceeds 0.5 points in one of 100 epochs nearly half of the time, three times in a row almost never.

    Args:
        epochs: Epochs of the measurements, increasing; they need not be adjacent.
        values: What was measured, for example Shapley values; None where it was not, which ends a run.
        threshold: In the unit of the values.
        lower: Lower ends of the measurements' intervals, which then must lie above the threshold instead of the values.
        consecutive: Measurements in a row, at least 1.

    Returns:
        The epoch, or None when there was no such run.

    Raises:
        AttributionError: The sequences differ in length, epochs do not increase, or `consecutive` is below 1.
    """
    bounds = values if lower is None else lower
    if not len(epochs) == len(values) == len(bounds):
        raise AttributionError(
            "epochs, values and lower must be equally long", got=f"{len(epochs)}, {len(values)} and {len(bounds)}"
        )
    if any(later <= earlier for earlier, later in pairwise(epochs)):
        raise AttributionError("epochs must increase", got=str(list(epochs)))
    if consecutive < 1:
        raise AttributionError("consecutive must be at least 1", got=str(consecutive))
    run = 0
    for place, bound in enumerate(bounds):
        run = run + 1 if bound is not None and bound > threshold else 0
        if run == consecutive:
            return epochs[place - consecutive + 1]
    return None
