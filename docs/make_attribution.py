"""Draws docs/attribution.png, the charts of attribution of a made-up run: python -m docs.make_attribution."""

from __future__ import annotations

import re
from pathlib import Path

import vl_convert

from karn_wandb.analysis.attribution_charts import AttributionCharts
from karn_wandb.charts import to_svg
from karn_wandb.records import EpochSnapshot, HostSnapshot, SlotSnapshot, TelemetryEvent, TelemetryEventType
from tests.attribution_example import NAMES, series, stages

PAGE = Path(__file__).parent / "attribution.png"
SLOTS = NAMES[:4]
COLUMNS = (("slot_values", "coalitions"), ("waterfall", "interactions"), ("onset",))
GAP = 20


def sheet() -> str:
    """The charts in one SVG, laid out in `COLUMNS`."""
    drawn = AttributionCharts(events(SLOTS)).charts()
    pictures = {chart.name: to_svg(chart.spec(), theme="light", prefix=chart.name) for chart in drawn}
    placed, x, height = [], 0.0, 0.0
    for column in COLUMNS:
        y = 0.0
        for name in column:
            placed.append(pictures[name].replace("<svg ", f'<svg x="{x:g}" y="{y:g}" ', 1))
            y += _size(pictures[name])[1] + GAP
        x, height = x + max(_size(pictures[name])[0] for name in column) + GAP, max(height, y)
    frame = f'width="{x:g}" height="{height:g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {frame}><rect {frame} fill="#ffffff"/>{"".join(placed)}</svg>'


def events(slots: tuple[str, ...], epochs: int = 24) -> list[TelemetryEvent]:
    """The run: an epoch's snapshot and matrix for each epoch."""
    life = stages(slots, epochs)
    snapshots = [
        EpochSnapshot(epoch, HostSnapshot(epoch), {slot: SlotSnapshot(slot, life[slot][epoch - 1][1]) for slot in slots})
        for epoch in range(1, epochs + 1)
    ]
    return [
        *(TelemetryEvent(TelemetryEventType.EPOCH_COMPLETED, data=snapshot) for snapshot in snapshots),
        *(TelemetryEvent(TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, data=matrix) for matrix in series(slots, epochs)),
    ]


def _size(picture: str) -> tuple[float, float]:
    found = re.search(r'width="([\d.]+)" height="([\d.]+)"', picture) or re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture)
    if found is None:
        raise ValueError(picture[:200])
    return float(found[1]), float(found[2])


if __name__ == "__main__":
    PAGE.write_bytes(vl_convert.svg_to_png(sheet(), scale=1.4))
