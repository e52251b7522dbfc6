"""Draws docs/charts/*.png, every chart file with rows of made-up runs, light and dark: python -m docs.make_charts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from docs.make_attribution import SLOTS, events
from karn_wandb import Experiment, build_report
from karn_wandb.analysis.attribution_charts import AttributionCharts
from karn_wandb.charts import fill, to_png
from karn_wandb.charts.render import Row
from karn_wandb.experiment.report.blocks import Figures
from karn_wandb.experiment.report.document import document
from karn_wandb.experiment.runs import RunData
from karn_wandb.records import EpochSnapshot, TelemetryEvent, TelemetryEventType
from tests.attribution_example import NAMES, matrix
from tests.report_runs import Made, controls, of_sizes, run

FOLDER = Path(__file__).parent / "charts"
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LARGEST = 60_000
"""Bytes a picture may take."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A chart file and what to draw with it."""

    chart: str
    rows: Sequence[Row]
    titles: Mapping[str, str]
    domains: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def spec(self) -> dict[str, Any]:
        """The filled specification."""
        return fill(self.chart, self.rows, domains=self.domains, **self.titles)


@cache
def samples() -> Mapping[str, Sample]:
    """A sample of each chart that a run or a report draws, by its file."""
    found: dict[str, Sample] = {}
    for sample in (*of_a_run(), *_of_reports()):
        found.setdefault(sample.chart, sample)
    return found


def picture(chart: str, theme: str) -> Path:
    """Where a chart's picture is."""
    return FOLDER / f"{chart}-{theme}.png"


def of_a_run() -> Iterator[Sample]:
    """Those that a run logs: of four slots, and of too many for a grid."""
    many = TelemetryEvent(
        TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, data=matrix((*NAMES, "neck"), examples=500, full_factorial_max_seeds=7)
    )
    for of in (events(SLOTS), [many]):
        for chart in AttributionCharts(of).charts():
            yield Sample(chart.drawn_by, chart.rows, chart.titles)


def _of_reports() -> Iterator[Sample]:
    for runs in (_grown(), _with_controls(), _of_sizes()):
        content = build_report(Experiment(runs)).content
        for section in document(content).sections:
            for block in section.blocks:
                if isinstance(block, Figures):
                    yield from (Sample(f.chart, f.rows, f.titles, f.domains) for f in block.figures)


def _grown() -> tuple[RunData, ...]:
    """Eight pairs of runs, grown and host only, and one that crashed."""
    rng = np.random.default_rng(8)
    host = 61 + rng.normal(scale=1.2, size=8)
    grown = host + 2.4 + rng.normal(scale=1.1, size=8)
    slots = {"early": 1.9, "mid": 0.8, "late": -0.3}
    made: list[Made] = []
    for seed in range(8):
        values = {slot: round(mean + rng.normal(scale=0.5), 2) for slot, mean in slots.items()}
        made.append(Made(f"grown-{seed}", "heuristic", seed, (round(grown[seed], 2),), epochs=20, shapley=values))
        made.append(Made(f"host-{seed}", "none", seed, (round(host[seed], 2),), epochs=20))
    made.append(Made("grown-8", "heuristic", 8, (48.2,), state="crashed", epochs=7))
    return tuple(learning(run(each), rng) for each in made)


def learning(data: RunData, rng: np.random.Generator) -> RunData:
    """The run with a noisy learning curve that ends where it ends."""
    last = max(event.data.epoch for event in data.telemetry if isinstance(event.data, EpochSnapshot))
    final, bend = _final(data), rng.uniform(4, 5)

    def reached(epoch: int) -> float:
        share = (1 - math.exp(-epoch / bend)) / (1 - math.exp(-last / bend))
        return float(10 + share * (final - 10 + rng.normal(scale=0.6)))

    def moved(event: TelemetryEvent) -> TelemetryEvent:
        if not isinstance(event.data, EpochSnapshot) or event.data.epoch == last:
            return event
        host = replace(event.data.host, val_accuracy=reached(event.data.epoch))
        return replace(event, data=replace(event.data, host=host))

    return replace(data, telemetry=tuple(map(moved, data.telemetry)))


def _final(data: RunData) -> float:
    reached = [event.data.host.val_accuracy for event in data.telemetry if isinstance(event.data, EpochSnapshot)]
    return reached[-1] or 0.0


def _with_controls() -> tuple[RunData, ...]:
    """Six random seeds with every slot, and without each."""
    rng = np.random.default_rng(9)
    full = 64 + rng.normal(scale=0.6, size=6)
    causal = {"early": 2.1, "mid": 0.9, "late": 0.1}
    without = {slot: (full - mean + rng.normal(scale=0.5, size=6)).round(2).tolist() for slot, mean in causal.items()}
    removal = {slot: (1.8 * mean + 0.6 + rng.normal(scale=0.4, size=6)).round(2).tolist() for slot, mean in causal.items()}
    return tuple(map(run, controls(full.round(2).tolist(), without, **removal)))


def _of_sizes() -> tuple[RunData, ...]:
    """The host alone at four sizes, four random seeds each, and grown to what is more than its largest."""
    rng = np.random.default_rng(10)

    def reached(params: float) -> list[float]:
        return (88 - 2600 * params**-0.42 + rng.normal(scale=0.8, size=4)).round(2).tolist()

    sizes = {params: reached(params) for params in (6_300, 25_000, 100_000, 250_000)}
    return tuple(map(run, of_sizes(sizes, reached(400_000))))


def small(png: bytes) -> bytes:
    """The picture with at most 256 colours, a fifth of the bytes."""
    from PIL import Image  # noqa: PLC0415 -- comes with scikit-image, and only who draws the pictures needs it

    target = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, "PNG", optimize=True)
    return target.getvalue()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, sample in samples().items():
        for theme in THEMES:
            picture(name, theme).write_bytes(small(to_png(sample.spec(), theme=theme)))
