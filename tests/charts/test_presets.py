"""A chart file as a preset of W&B's custom charts: W&B's panel, as its published code fills it, draws the file's picture."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import pytest

from docs.make_charts import of_a_run, samples
from karn_wandb import charts
from karn_wandb.charts import Chart
from karn_wandb.charts.presets import _resolved, _without_null
from karn_wandb.charts.render import source

every_chart = pytest.mark.parametrize("name", charts.names())
ADDED = ("id", "name", "_defaultColorIndex")
"""Columns that W&B's panel adds to each row: of the run it is from."""


def panel(spec, fields, texts):
    """The specification as W&B's panel hands it to Vega-Lite (wandb/weave: injectFields, then patchScaleToNull)."""

    def injected(node):
        if isinstance(node, list):
            return [injected(item) for item in node]
        if node is None:
            return {}  # `typeof null` is "object", and mapping over it gives an empty one
        if isinstance(node, dict):
            return {key: injected(value) for key, value in node.items()}
        return re.sub(r"\$\{(field|string):([^}]*)\}", filled, node) if isinstance(node, str) else node

    def filled(found):
        kind, name = found.groups()
        return fields.get(name, "").replace(".", "\\.") if kind == "field" else texts.get(name, "")

    def patched(node):
        if isinstance(node, list):
            return [patched(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {key: None if key == "scale" and not value else patched(value) for key, value in node.items()}

    return patched(injected(spec))


def rows_of(plot, run="a"):
    return [{**dict(zip(plot.columns, row, strict=True)), "id": run, "name": f"run {run}"} for row in plot.rows]


def in_wandb(name, *runs):
    """What W&B draws of a sample chart, logged by each of these runs, and the same filled here."""
    sample, preset = samples()[name], charts.preset(name)
    titles = {text: sample.titles.get(text, f"the {text}") for text in preset.texts}
    plot = charts.plot(Chart(name, sample.rows, "", titles), "team")
    spec = panel(preset.spec, plot.fields, plot.texts)
    here = charts.fill(name, sample.rows, **titles)
    return {**spec, "datasets": {"wandb": [row for run in runs for row in rows_of(plot, run)]}}, here


@every_chart
def test_wandb_draws_the_picture_that_the_report_has(name):
    """All marks at their places in their colours; from the table's rows, which have every column."""
    wandb, here = in_wandb(name, "a")
    assert charts.to_svg({**wandb, "title": here["title"]}, theme="light") == charts.to_svg(here, theme="light")


@every_chart
def test_wandb_draws_all_of_it_in_a_panel_of_another_size(name):
    """The panel gives a width and a height, and fits the chart into them."""
    wandb, _ = in_wandb(name, "a")
    sized = {**wandb, "width": 520, "height": 340, "autosize": {"type": "fit", "contains": "padding"}}
    assert values(sized) == values(wandb) > 0


BARE = {"axis": None, "title": "t", "scale": {"zero": False}}
"""What layers inherit of a channel."""

LAYERS = {
    "a field takes over what it does not say": {"x": {"field": "b", "type": "quantitative"}},
    "a datum, too": {"x": {"datum": 1}},
    "a value does not": {"x": {"value": 3}, "color": {"value": "red"}},
    "a condition's field does": {
        "color": {"condition": {"test": "datum.a > 1", "field": "b", "type": "quantitative"}, "value": "red"}
    },
    "null is not inherited": {"x": None, "color": None},
    "what is not named is": {},
}


@pytest.mark.parametrize("channels", LAYERS.values(), ids=LAYERS.keys())
def test_layers_draw_what_they_would_inherit(channels):
    shared = {
        "x": {"field": "a", "type": "quantitative", **BARE},
        "y": {"field": "b", "type": "quantitative", "sort": None},
        "color": {"field": "c", "type": "nominal", "legend": None},
    }
    inner = {
        "layer": [{"mark": "point", "encoding": channels}, {"mark": "line"}],
        "encoding": {"x": {"field": "a", "type": "quantitative"}},
    }
    spec = {"data": {"values": [{"a": 1, "b": 5, "c": "u"}, {"a": 2, "b": 7, "c": "v"}]}, "encoding": shared, "layer": [inner]}
    resolved = _without_null(_resolved(spec, {}))
    assert "null" not in json.dumps(resolved)
    assert charts.to_svg(resolved) == charts.to_svg(spec)


def test_what_a_channel_is_sorted_by_stays():
    sort = {"encoding": "x", "order": "descending"}
    spec = {"layer": [{"mark": "bar"}], "encoding": {"y": {"field": "a", "sort": sort}}}
    assert _resolved(spec, {}) == {"layer": [{"mark": "bar", "encoding": {"y": {"field": "a", "sort": sort}}}]}


@every_chart
def test_the_panel_that_turns_null_around_finds_none(name):
    text = json.dumps(charts.preset(name).spec)
    assert "null" not in text
    assert '"scale": {}' not in text


@every_chart
def test_a_preset_fills_from_columns_that_wandb_does_not_add_itself(name):
    preset = charts.preset(name)
    assert set(preset.fields) == set(re.findall(r"\$\{field:([^}]*)\}", source(name)))
    assert set(preset.texts) == set(re.findall(r"\$\{string:([^}]*)\}", source(name)))
    assert not set(preset.fields) & set(ADDED)


@every_chart
def test_a_preset_is_named_by_what_is_in_it(name, monkeypatch):
    preset = charts.preset(name)
    assert re.fullmatch(rf"karn-{name.replace('_', '-')}-[0-9a-f]{{8}}", preset.name)
    assert charts.preset(name).name == preset.name
    monkeypatch.setattr("karn_wandb.charts.presets.source", lambda _: source(name).replace('"mark"', '"mark" '))
    assert charts.preset(name).name == preset.name
    monkeypatch.setattr(
        "karn_wandb.charts.presets.source", lambda _: source(name).replace('"description": "', '"description": "New: ')
    )
    assert charts.preset(name).name != preset.name


ONE_RUN = [name for name in charts.names() if '"rows": "one run"' in source(name)]


def test_charts_that_a_run_logs_are_those_of_one_run():
    assert sorted({sample.chart for sample in of_a_run()}) == ONE_RUN


@pytest.mark.parametrize("name", ONE_RUN)
def test_of_several_runs_it_draws_nothing_rather_than_a_mixture(name):
    alone, _ = in_wandb(name, "a")
    both, _ = in_wandb(name, "a", "b")
    assert values(alone) > 0
    assert values(both) == 0
    assert "empty while several are selected" in charts.to_svg(both)


def values(spec) -> int:
    """Texts, paths and lines that are drawn of rows."""
    root = ET.fromstring(charts.to_svg(spec))  # noqa: S314 -- drawn a line above
    groups = [g for g in root.iter("{http://www.w3.org/2000/svg}g") if "role-mark" in g.get("class", "").split()]
    return sum(len(g) for g in groups)


def test_a_plot_has_each_row_with_every_column_and_each_text():
    chart = Chart("slot_values", [{"slot": "a\u202e", "mean": 1.0, "more": 2}], "", {"title": "t\0"})
    plot = charts.plot(chart, "team")
    assert plot.preset == f"team/{charts.preset('slot_values').name}"
    assert plot.columns == ("high", "label", "low", "mean", "sign", "slot", "sure")
    assert plot.rows == [(None, None, None, 1.0, None, "a\\u202e", None)]
    assert plot.fields == {column: column for column in plot.columns}
    assert plot.texts == {"title": "t\\x00", "x": ""}


def test_a_chart_that_another_file_draws_takes_its_preset():
    chart = Chart("coalitions", [{"slots_on": 1, "value": 2.0}], "", {}, file="coalition_strip")
    assert charts.plot(chart, "team").preset == f"team/{charts.preset('coalition_strip').name}"
