"""Chart files as presets of W&B's custom charts, and the tables that these draw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from karn_wandb.charts.chart import Chart, Plot
from karn_wandb.charts.render import PLACEHOLDER, look, shown, source
from karn_wandb.printable import printable

ONE_RUN = "one run"
"""What a chart file says under `usermeta.rows` when its rows are those of one run, and would be mixed up with another's."""

_RUNS = "karn_runs"
_ALONE = ({"joinaggregate": [{"op": "distinct", "field": "id", "as": _RUNS}]}, {"filter": f"datum.{_RUNS} < 2"})
"""Draws nothing when there are rows of several runs: W&B adds the column `id`, a run's id, to those of the table."""
_HINT = "one run: empty while several are selected"


@dataclass(frozen=True, slots=True)
class Preset:
    """A chart file as W&B keeps it.

    Attributes:
        name: Its name in W&B. It ends in a digest of the specification, so another specification is another preset.
        title: What it is called where people choose it.
        spec: The Vega-Lite specification with W&B's placeholders.
        fields: The columns it draws.
        texts: The texts it takes.
    """

    name: str
    title: str
    spec: Mapping[str, Any]
    fields: tuple[str, ...]
    texts: tuple[str, ...]


def preset(chart: str) -> Preset:
    """A chart file as a preset, for its table of the same column names.

    The specification draws in W&B's panel what the file draws here. While it fills placeholders, that panel turns each null
    into {} and then each empty scale into null (wandb/weave, common/util/vega3.ts, common/util/obj.ts and
    common/components/Vega3/vegaSpecPatches.ts). So what the file says by null is said without: a channel that a layer does
    not inherit is left out of what it gets, everything else is false. Colours are those on white, with the background.

    Args:
        chart: One of `names()`.

    Raises:
        UsageError: There is no such chart.
    """
    text = source(chart)
    spec = _without_null({**_resolved(json.loads(text), {}), "config": look("light")})
    if spec.get("usermeta", {}).get("rows") == ONE_RUN:
        spec["transform"] = [*_ALONE, *spec.get("transform", ())]
        spec["title"] = {"text": spec["title"], "subtitle": _HINT, "subtitleColor": spec["config"]["title"]["color"]}
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:8]
    words = chart.replace("_", "-")
    fields, texts = (tuple(sorted({n for k, n in PLACEHOLDER.findall(text) if k == kind})) for kind in ("field", "string"))
    return Preset(f"karn-{words}-{digest}", f"karn: {chart.replace('_', ' ')}", spec, fields, texts)


def plot(chart: Chart, entity: str) -> Plot:
    """The chart for its preset: each of its rows with every column, the empty ones too.

    Args:
        chart: The chart.
        entity: Who has the preset in W&B.
    """
    by = preset(chart.drawn_by)
    return Plot(
        preset=f"{entity}/{by.name}",
        columns=by.fields,
        rows=[tuple(shown(row.get(field)) for field in by.fields) for row in chart.rows],
        fields={field: field for field in by.fields},
        texts={text: printable(chart.titles.get(text, "")) for text in by.texts},
    )


def _resolved(node: Any, inherited: Mapping[str, Any]) -> Any:
    """The specification with the channels that layers inherit written into them, but for those they do away with."""
    if isinstance(node, list):
        return [_resolved(item, {}) for item in node]
    if not isinstance(node, dict):
        return node
    own = node.get("encoding", {})
    if not isinstance(own, dict):  # the channel that another is sorted by
        return node
    channels = {**inherited, **{name: _channel(inherited.get(name) or {}, channel) for name, channel in own.items()}}
    found = {key: _resolved(value, {}) for key, value in node.items() if key not in ("encoding", "layer")}
    if "layer" in node:
        found["layer"] = [_resolved(layer, channels) for layer in node["layer"]]
    elif channels:
        found["encoding"] = {name: _resolved(channel, {}) for name, channel in channels.items() if channel is not None}
    return found


def _channel(inherited: Mapping[str, Any], own: Any) -> Any:
    """A layer's channel with what it inherits: one that shows data takes over what it does not say itself (Vega-Lite 5)."""
    if not isinstance(own, dict):
        return own
    if _shows_data(own):
        return {**inherited, **own}
    condition = own.get("condition")
    if isinstance(condition, dict) and _shows_data(condition):
        return {**own, "condition": {**inherited, **condition}}
    return own


def _shows_data(channel: Mapping[str, Any]) -> bool:
    return "field" in channel or "datum" in channel or channel.get("aggregate") == "count"


def _without_null(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_null(value) for key, value in node.items() if not (key == "scale" and not value)}
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    return False if node is None else node
