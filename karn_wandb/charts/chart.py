"""One chart: which file draws it, its rows, what it shows in words, and what of it W&B's own presets can draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from karn_wandb.charts.render import Cell, Row, fill
from karn_wandb.records import Metric

_DECIMALS = {"accuracy": 2, "loss": 4}


@dataclass(frozen=True, slots=True)
class Plot:
    """A table and the preset of W&B's custom charts that draws it.

    Attributes:
        preset: The preset, "entity/name".
        columns: Columns of the table.
        rows: Its rows.
        fields: For each field of the preset, the column that fills it.
        texts: For each text of the preset, what it says.
    """

    preset: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    fields: Mapping[str, str]
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that needs nothing but drawing.

    Attributes:
        name: What it is called, in W&B behind `charts/`.
        rows: What to draw.
        caption: How to read it, in a sentence or two.
        titles: Its texts.
        file: The Vega-Lite file, "" for that of its name.
        plain: What W&B's own presets can draw of it without misleading; None for nothing.
    """

    name: str
    rows: Sequence[Row]
    caption: str
    titles: Mapping[str, str]
    file: str = ""
    plain: Plot | None = None

    @property
    def drawn_by(self) -> str:
        """Name of the Vega-Lite file."""
        return self.file or self.name

    def spec(self) -> dict[str, Any]:
        """The filled Vega-Lite specification."""
        return fill(self.drawn_by, self.rows, domains=None, **self.titles)


def signed(value: float, metric: Metric) -> str:
    """A difference with its sign, to the decimals of its metric."""
    text = f"{value:+.{_DECIMALS[metric]}f}"
    return text.replace("-", "−")


def unsigned(value: float, metric: Metric) -> str:
    """A value, to one decimal for percent and as many digits as fit a cell for a loss."""
    text = f"{value:.1f}" if metric == "accuracy" else f"{value:.3g}"
    return text.replace("-", "−")
