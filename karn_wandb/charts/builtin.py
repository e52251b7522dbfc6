"""W&B's own presets of custom charts, with the fields that `wandb.plot` gives them.

They draw no interval. So an estimate is three series: itself, and both ends of its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from karn_wandb.charts.chart import Plot
from karn_wandb.records import ShapleyEstimate


def bars(title: str, values: Iterable[tuple[str, float]]) -> Plot | None:
    """A bar for each (label, value), as `wandb.plot.bar` draws them; None without any."""
    rows = list(values)
    columns = ("label", "value")
    return Plot("wandb/bar/v0", columns, rows, _same(columns), {"title": title}) if rows else None


def lines(title: str, x: str, values: Iterable[tuple[float, str, float]]) -> Plot | None:
    """A line for each name in (x, name, value), as `wandb.plot.line_series` draws them; None without any."""
    rows = list(values)
    columns = ("step", "lineKey", "lineVal")
    return Plot("wandb/lineseries/v0", columns, rows, _same(columns), {"title": title, "xname": x}) if rows else None


def points(title: str, x: str, y: str, values: Iterable[tuple[float, float]]) -> Plot | None:
    """A point for each (x, y), as `wandb.plot.scatter` draws them; columns are called what the axes are; None without any."""
    rows = list(values)
    return Plot("wandb/scatter/v0", (x, y), rows, {"x": x, "y": y}, {"title": title}) if rows else None


def with_ends(name: str, estimate: ShapleyEstimate) -> Iterator[tuple[str, float]]:
    """An estimate and both ends of its interval, where these are known, under names that sort together."""
    yield name, estimate.mean
    for end, value in (("low", estimate.ci_low), ("high", estimate.ci_high)):
        if value is not None:
            yield f"{name}, 95 % {end}", value


def _same(columns: tuple[str, ...]) -> dict[str, str]:
    return {column: column for column in columns}
