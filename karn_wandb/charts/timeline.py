"""A run's matrices as a chart over time: each slot's Shapley value, and since when it contributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from karn_wandb.charts.chart import Chart
from karn_wandb.charts.render import Row
from karn_wandb.records import OCCUPIED, CounterfactualMatrix, SeedStage, ShapleyEstimate

MOST_EPOCHS = 200
"""Evaluated epochs drawn of a slot, evenly thinned."""

Stages = Sequence[tuple[int, SeedStage]]
"""A slot's stage at the end of each epoch, in order."""

def onset(
    matrices: Sequence[CounterfactualMatrix],
    onsets: Mapping[str, int | None] | None = None,
    stages: Mapping[str, Stages] | None = None,
) -> Chart | None:
    """The Shapley value of each slot over the epochs, with its interval; None without any.

    Args:
        matrices: Of one episode, by increasing epoch.
        onsets: By slot, the epoch from which it contributes; None or missing draws no mark.
        stages: By slot, its stages; missing draws none.
    """
    valued = [matrix for matrix in matrices if matrix.shapley_values]
    if not valued:
        return None
    valued = valued[:: -(-len(valued) // MOST_EPOCHS)]
    slots = dict.fromkeys(slot for matrix in valued for slot in (*matrix.slot_ids, *(matrix.shapley_values or {})))
    unit = "points" if valued[-1].metric == "accuracy" else "loss"
    rows = [
        {"slot": slot, "place": place, **row}
        for place, slot in enumerate(slots)
        for row in _slot(valued, slot, (onsets or {}).get(slot), (stages or {}).get(slot, ()))
    ]
    return Chart(
        name="onset",
        rows=rows,
        titles={"title": f"Shapley value over the epochs ({unit})"},
        caption=(
            "Band: 95 % interval of each evaluation. Vertical line: the first of three evaluations in a row whose interval lies above "
            "the threshold. A gap is an epoch without an estimate, not zero. Above: the stage of the slot's seed module."
        ),
    )


def _slot(matrices: Sequence[CounterfactualMatrix], slot: str, began: int | None, stages: Stages) -> Iterator[Row]:
    series = [(matrix.epoch, (matrix.shapley_values or {}).get(slot)) for matrix in matrices]
    for place, (epoch, estimate) in enumerate(series):
        around = [found for _, found in series[max(place - 1, 0) : place + 2]]
        alone = estimate is not None and sum(found is not None for found in around) == 1
        yield {"kind": "value", "epoch": epoch, "alone": alone, **_ends(estimate)}
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
