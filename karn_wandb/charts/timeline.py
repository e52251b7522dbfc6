"""Shapley values over the epochs as a chart: what each slot is worth, and since when it contributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from karn_wandb.charts.builtin import lines, with_ends
from karn_wandb.charts.chart import Chart
from karn_wandb.charts.render import Row
from karn_wandb.printable import printable
from karn_wandb.records import OCCUPIED, Metric, SeedStage, ShapleyEstimate

MOST_EPOCHS = 200
"""Evaluated epochs drawn, evenly thinned."""

MOST_DOTS = 30
"""Evaluated epochs up to which each has a dot; with more, only those that no line reaches."""

ByEpoch = Mapping[int, Mapping[str, ShapleyEstimate]]
Stages = Sequence[tuple[int, SeedStage]]
"""A slot's stage at the end of each epoch, in order."""


def onset(
    values: ByEpoch,
    metric: Metric,
    threshold: float,
    onsets: Mapping[str, int | None],
    stages: Mapping[str, Stages],
) -> Chart | None:
    """The Shapley value of each slot over the epochs, with its interval; None without any.

    Args:
        values: By evaluated epoch, increasing, the values of the slots that were there.
        metric: The game.
        threshold: What a value must exceed to count as contributing.
        onsets: By slot, the epoch from which it does; None or missing draws no mark.
        stages: By slot, its stages; missing draws none.
    """
    drawn = dict(list(values.items())[:: -(-len(values) // MOST_EPOCHS)]) if values else {}
    slots = dict.fromkeys(slot for estimates in drawn.values() for slot in estimates)
    if not slots:
        return None
    rows = [
        {"slot": slot, "place": place, **row}
        for place, slot in enumerate(slots)
        for row in _slot([(epoch, found.get(slot)) for epoch, found in drawn.items()], onsets.get(slot), stages.get(slot, ()))
    ]
    unit = "percentage points" if metric == "accuracy" else "loss"
    title = f"Shapley value over the epochs ({unit})"
    return Chart(
        name="onset",
        rows=rows,
        titles={"title": title},
        caption=(
            "Band: 95 % interval of each evaluation. Onset: the first of three evaluations in a row that lie above "
            f"{threshold:g}, each with its whole interval where it has one. A gap is an epoch without an estimate, not zero. "
            "The bar on top is the stage of the slot's seed module."
        ),
        plain=lines(
            title,
            "epoch",
            (
                (epoch, name, value)
                for slot in slots
                for epoch, found in drawn.items()
                if slot in found
                for name, value in with_ends(printable(slot), found[slot])
            ),
        ),
    )


def _slot(series: Sequence[tuple[int, ShapleyEstimate | None]], began: int | None, stages: Stages) -> Iterator[Row]:
    for place, (epoch, estimate) in enumerate(series):
        around = [found for _, found in series[max(place - 1, 0) : place + 2]]
        alone = estimate is not None and sum(found is not None for found in around) == 1
        dot = alone or len(series) <= MOST_DOTS
        yield {"kind": "value", "epoch": epoch, "alone": alone, "dot": dot, **_ends(estimate)}
    if began is not None:
        yield {"kind": "onset", "epoch": began, "label": f"onset {began}"}
    for stage, seen in groupby(stages, key=lambda entry: entry[1]):
        epochs = [epoch for epoch, _ in seen]
        if stage in OCCUPIED:
            yield {"kind": "stage", "epoch": epochs[0] - 0.5, "until": epochs[-1] + 0.5, "stage": stage.name.lower()}


def _ends(estimate: ShapleyEstimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {"mean": None, "low": None, "high": None}
    return {"mean": estimate.mean, "low": estimate.ci_low, "high": estimate.ci_high}
