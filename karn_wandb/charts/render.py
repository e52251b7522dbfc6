"""Chart files filled with rows, and drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Literal

from karn_wandb.errors import KarnError, UsageError
from karn_wandb.printable import printable

Theme = Literal["inline", "light", "dark"]
Cell = str | float | bool | None
Row = Mapping[str, Cell]

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Colours that people with any form of colour blindness can tell apart (Okabe and Ito 2008), without its black.

The first four have a contrast of at least 2.9 : 1 on white and on the dark theme.
"""

_RANGES = {
    "color": OKABE_ITO,
    "shape": ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left"),
}
_SMALLEST = 1e-290
"""Magnitudes below this are drawn as zero: Vega finds no ticks for an axis of subnormal numbers."""
_VEGA_LITE = "5.20"
_SUFFIX = ".vl.json"
PLACEHOLDER = re.compile(r"\$\{(field|string):([a-z_]+)\}")
"""W&B's placeholders: for the name of a column, and for a text."""
_ID = re.compile(r'\bid="([^"]+)"|url\(#([^)]+)\)')
_INK: dict[Theme, tuple[str, str | None]] = {
    "inline": ("currentColor", None),
    "light": ("#1b1f24", "#ffffff"),
    "dark": ("#e4e7eb", "#14171b"),
}


def names() -> list[str]:
    """The charts there are."""
    return sorted(f.name.removesuffix(_SUFFIX) for f in files(__package__).iterdir() if f.name.endswith(_SUFFIX))


def source(name: str) -> str:
    """A chart's file, which is Vega-Lite with W&B's placeholders.

    Raises:
        UsageError: There is no such chart.
    """
    if name not in names():
        raise UsageError(f"there is no chart {name!r}", do=f"The charts are {', '.join(names())}.")
    return files(__package__).joinpath(name + _SUFFIX).read_text(encoding="utf-8")


def fill(name: str, rows: Sequence[Row], *, domains: Mapping[str, Sequence[str]] | None = None, **titles: str) -> dict[str, Any]:
    """A chart's Vega-Lite specification with its data and titles in place.

    Args:
        name: One of `names()`.
        rows: What to draw; the columns are the names in the file's `${field:...}`.
        domains: For a field, all its values in the order of their colours: the same value then has the same colour in
            every chart.
        titles: Text for each `${string:...}` of the file; those left out are not shown.

    Names come from runs: characters that would reorder what stands around them, or that no SVG may hold, are spelled out.

    Raises:
        UsageError: There is no such chart, or it has no such title.
    """
    text = source(name)
    unknown = sorted(titles.keys() - {label for kind, label in PLACEHOLDER.findall(text) if kind == "string"})
    if unknown:
        raise UsageError(f"the chart {name!r} has no title {unknown[0]!r}")
    spec: dict[str, Any] = _placed(json.loads(text), {name: printable(title) for name, title in titles.items()})
    drawable = [{name: shown(value) for name, value in row.items()} for row in rows]
    for kind, channel in _channels(spec):
        looks = _looks(kind, channel, domains or {})
        present = {row.get(channel["field"]) for row in drawable}
        if looks is not None:
            drawn = [(value, look) for value, look in looks if value in present]
            channel["scale"] = {"domain": [value for value, _ in drawn], "range": [look for _, look in drawn]}
            if not drawn:
                channel["legend"] = None  # Vega gives an empty one no size, and then the picture none
    return {**spec, "datasets": {"wandb": drawable}}


def shown(value: Cell) -> Cell:
    """A value as it is drawn."""
    if isinstance(value, float) and abs(value) < _SMALLEST:
        return 0.0
    return printable(value) if isinstance(value, str) else value


def to_svg(spec: Mapping[str, Any], *, theme: Theme = "inline", prefix: str = "chart") -> str:
    """The chart as an SVG element.

    Args:
        spec: What `fill` returned.
        theme: "inline" takes the colour of the text around it and has no background, so that one picture serves a
            light and a dark page; "light" and "dark" stand alone.
        prefix: Begins every id in the picture: give each picture of a page its own.

    Raises:
        KarnError: vl-convert is not installed.
    """
    drawn: str = _vl_convert().vegalite_to_svg(dict(spec), vl_version=_VEGA_LITE, config=look(theme))
    order = {old: f"{prefix}-{i}" for i, old in enumerate(dict.fromkeys(a for a, _ in _ID.findall(drawn) if a))}

    def renamed(match: re.Match[str]) -> str:
        new = order[match[1] or match[2]]
        return f'id="{new}"' if match[1] else f"url(#{new})"

    return _ID.sub(renamed, drawn)


def to_png(spec: Mapping[str, Any], *, theme: Literal["light", "dark"] = "light", scale: float = 2.0) -> bytes:
    """The chart as a PNG file, `scale` pixels for one of its own.

    Raises:
        KarnError: vl-convert is not installed.
    """
    png: bytes = _vl_convert().vegalite_to_png(dict(spec), vl_version=_VEGA_LITE, config=look(theme), scale=scale)
    return png


def can_draw() -> bool:
    """Whether vl-convert, which draws, is installed; it is not loaded."""
    return find_spec("vl_convert") is not None


def _vl_convert() -> Any:
    try:
        import vl_convert  # noqa: PLC0415 -- an extra, and 80 MB: loaded by those who draw
    except ImportError as error:
        raise KarnError("charts cannot be drawn without vl-convert", do='Run: pip install "karn-wandb[report]"') from error
    return vl_convert


def _placed(node: Any, titles: Mapping[str, str]) -> Any:
    """The specification with its placeholders replaced; a text that is nothing but a missing title becomes None."""
    if isinstance(node, dict):
        return {key: _placed(value, titles) for key, value in node.items()}
    if isinstance(node, list):
        return [_placed(value, titles) for value in node]
    if not isinstance(node, str):
        return node
    whole = PLACEHOLDER.fullmatch(node)
    if whole and whole[1] == "string":
        return titles.get(whole[2])
    return PLACEHOLDER.sub(lambda found: found[2], node)


def _channels(node: Any, kind: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Kind and definition of every encoding channel that shows a field."""
    if isinstance(node, list):
        return [channel for item in node for channel in _channels(item)]
    if not isinstance(node, dict):
        return []
    found = [(kind, node)] if isinstance(node.get("field"), str) else []
    return found + [channel for key, item in node.items() for channel in _channels(item, key)]


def _looks(kind: str, channel: Mapping[str, Any], domains: Mapping[str, Sequence[str]]) -> list[tuple[str, str]] | None:
    """Values of a channel that has a legend, each with its look: that of its place in the whole domain, or as the file says.

    So a value has the same look in every chart, and a legend shows those that are there. None for other channels.
    """
    if kind in _RANGES and channel["field"] in domains:
        looks = _RANGES[kind]
        return [(printable(value), looks[place % len(looks)]) for place, value in enumerate(domains[channel["field"]])]
    scale = channel.get("scale") or {}
    return list(zip(scale["domain"], scale["range"], strict=True)) if channel.get("legend") and "range" in scale else None


def look(theme: Theme) -> dict[str, Any]:
    """Vega-Lite's `config`: fonts, and the colours of a theme."""
    ink, background = _INK[theme]
    text = {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12}
    lines = {"domainColor": ink, "domainOpacity": 0.45, "tickColor": ink, "tickOpacity": 0.45}
    return {
        "aria": False,
        "background": background,
        "font": "Arial, Helvetica, sans-serif",
        "padding": 6,
        "title": {"color": ink, "fontSize": 13, "anchor": "start", "offset": 10},
        "axis": {**text, **lines, "titleFontWeight": "normal", "titlePadding": 8, "gridColor": ink, "gridOpacity": 0.12},
        "axisX": {"labelFlush": False},
        "header": text,
        "legend": text,
        "range": {"category": list(_RANGES["color"]), "symbol": list(_RANGES["shape"])},
        "view": {"stroke": "transparent"},
        "style": {
            "ink": {"color": ink, "fill": ink, "stroke": ink},
            "quiet": {"color": ink, "stroke": ink, "opacity": 0.55},
            "band": {"color": ink, "fill": ink, "opacity": 0.09},
            "label": {"color": ink},
            "outline": {"color": ink, "strokeWidth": 1.2, "opacity": 0.7},
        },
    }
