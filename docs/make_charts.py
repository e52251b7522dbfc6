"""Draws docs/charts/*.png, every chart file with rows of made-up runs, light and dark: python -m docs.make_charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from docs.make_attribution import SLOTS, events
from karn_wandb import build_report
from karn_wandb.analysis.attribution_charts import AttributionCharts
from karn_wandb.charts import fill, to_png
from karn_wandb.charts.render import Row
from karn_wandb.experiment.report.blocks import Figures
from karn_wandb.experiment.report.document import document
from karn_wandb.records import TelemetryEvent, TelemetryEventType
from tests.attribution_example import NAMES, matrix
from tests.report_runs import Made, controls, experiment, pairs

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
    for sample in (*_of_a_run(), *_of_reports()):
        found.setdefault(sample.chart, sample)
    return found


def picture(chart: str, theme: str) -> Path:
    """Where a chart's picture is."""
    return FOLDER / f"{chart}-{theme}.png"


def _of_a_run() -> Iterator[Sample]:
    many = TelemetryEvent(
        TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, data=matrix((*NAMES, "neck"), examples=500, full_factorial_max_seeds=7)
    )
    for of in (events(SLOTS), [many]):
        for chart in AttributionCharts(of).charts():
            yield Sample(chart.drawn_by, chart.rows, chart.titles)


def _of_reports() -> Iterator[Sample]:
    for made in (_grown(), _with_controls()):
        content = build_report(experiment(made)).content
        for section in document(content).sections:
            for block in section.blocks:
                if isinstance(block, Figures):
                    yield from (Sample(f.chart, f.rows, f.titles, f.domains) for f in block.figures)


def _grown() -> list[Made]:
    """Eight pairs of runs, grown and host only, and one that crashed."""
    rng = np.random.default_rng(8)
    host = 61 + rng.normal(scale=1.2, size=8)
    grown = host + 2.4 + rng.normal(scale=1.1, size=8)
    runs = pairs(grown.round(2).tolist(), host.round(2).tolist(), early=1.9, mid=0.8, late=-0.3)
    return [*runs, Made("grown-8", "heuristic", 8, (55.2,), state="crashed", epochs=3)]


def _with_controls() -> list[Made]:
    """Six random seeds with every slot, and without each."""
    rng = np.random.default_rng(9)
    full = 64 + rng.normal(scale=0.6, size=6)
    causal = {"early": 2.1, "mid": 0.9, "late": 0.1}
    without = {slot: (full - mean + rng.normal(scale=0.5, size=6)).round(2).tolist() for slot, mean in causal.items()}
    removal = {slot: (1.8 * mean + 0.6 + rng.normal(scale=0.4, size=6)).round(2).tolist() for slot, mean in causal.items()}
    return controls(full.round(2).tolist(), without, **removal)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, sample in samples().items():
        for theme in THEMES:
            picture(name, theme).write_bytes(to_png(sample.spec(), theme=theme))
