"""Charts as presets in W&B: registered in the stand-in by the real SDK, drawn by runs, read back by the real API and rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wandb
from attribution_example import series, stages

import karn_wandb
from karn_wandb import charts
from karn_wandb.analysis.attribution_charts import AttributionCharts
from karn_wandb.errors import KarnError, KarnWarning
from karn_wandb.experiment.tables import read_table
from karn_wandb.records import SlotSnapshot
from karn_wandb.sinks.presets import default_folder, noted
from karn_wandb.workspace import register_charts

pytestmark = pytest.mark.online
EPOCHS = 6
DRAWN = ["coalitions", "interactions", "onset", "slot_values", "waterfall"]


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KARN_WANDB_DATA_DIR", str(tmp_path / "data"))
    return default_folder()


def trained():
    """A run of two slots whose seed modules went through all stages, with matrices, as it is when it has ended."""
    slots = ("early", "mid")
    life = stages(slots, EPOCHS)
    with karn_wandb.init("p") as run:
        for found in series(slots, EPOCHS):
            snapshots = {slot: SlotSnapshot(slot, life[slot][found.epoch - 1][1]) for slot in slots}
            run.log_epoch(val_accuracy=60.0, slots=snapshots)
            run.log_counterfactual(found)
    return run


def drawn(service, run) -> dict[str, dict]:
    """The panels of a run's custom charts, by the charts' names."""
    visualize = wandb.Api().run(f"{service.entity}/p/{run.id}").rawconfig.get("_wandb", {}).get("visualize", {})
    return {key.removeprefix("custom_charts/"): panel["panel_config"] for key, panel in visualize.items()}


def tables(service, run, folder: Path):
    """The tables behind a run's custom charts, read back by the public API."""
    read = wandb.Api().run(f"{service.entity}/p/{run.id}")
    names = [f"custom_charts/{name}_table" for name in drawn(service, run)]
    row = next(row for row in read.scan_history() if row.get(names[0]))
    for name in names:
        read.file(row[name]["path"]).download(str(folder), replace=True).close()
    return {name[14:-6]: read_table(folder / row[name]["path"]) for name in names}


def test_every_chart_is_registered_once_as_the_specification_it_is(wandb_service, data_folder):
    names = register_charts(wandb_service.entity)
    assert names == [charts.preset(name).name for name in charts.names()]
    kept = {name.partition("/")[2]: chart for name, chart in wandb_service.charts.items()}
    for name in charts.names():
        preset = charts.preset(name)
        assert kept[preset.name]["spec"] == json.loads(json.dumps(preset.spec))
        assert (kept[preset.name]["type"], kept[preset.name]["access"]) == ("vega2", "PRIVATE")
        assert kept[preset.name]["display_name"] == f"karn: {name.replace('_', ' ')}"
    assert register_charts(wandb_service.entity) == names
    assert len(wandb_service.charts) == len(names)
    assert noted(wandb_service.url, wandb_service.entity, data_folder) == frozenset(names)
    assert wandb_service.notes == []


def test_a_run_that_ends_on_this_machine_draws_with_the_presets_and_its_tables_have_their_columns(
    wandb_service, data_folder, tmp_path
):
    register_charts(wandb_service.entity)
    run = trained()
    panels, read = drawn(wandb_service, run), tables(wandb_service, run, tmp_path)
    assert sorted(panels) == DRAWN
    expected = {chart.name: chart for chart in AttributionCharts(run.collector.log.events()).charts()}
    for name, panel in panels.items():
        spec = wandb_service.charts[panel["panelDefId"]]["spec"]
        asked = panel["fieldSettings"]
        assert all(f"${{field:{placeholder}}}" in json.dumps(spec) for placeholder in asked)
        assert set(asked.values()) == set(read[name].columns)
        assert panel["stringSettings"]["title"] == expected[name].titles["title"]
        (query,) = panel["userQuery"]["queryFields"]
        assert query["fields"][-1]["args"] == [{"name": "tableKey", "value": f"custom_charts/{name}_table"}]
        text = json.dumps(spec)
        for placeholder, column in panel["fieldSettings"].items():
            text = text.replace(f"${{field:{placeholder}}}", column)
        for placeholder, said in panel["stringSettings"].items():
            text = text.replace(f"${{string:{placeholder}}}", json.dumps(said)[1:-1])
        rows = [dict(zip(read[name].columns, row, strict=True)) for row in read[name].data]
        filled = {**json.loads(text), "title": expected[name].titles["title"], "datasets": {"wandb": rows}}
        assert charts.to_svg(filled, theme="light") == charts.to_svg(expected[name].spec(), theme="light")
        assert charts.to_png(filled).startswith(b"\x89PNG")


def test_what_is_not_registered_is_drawn_by_wandbs_own_presets_where_one_fits(wandb_service, data_folder, tmp_path):
    run = trained()
    panels = drawn(wandb_service, run)
    assert {name: panel["panelDefId"] for name, panel in panels.items()} == {
        "slot_values": "wandb/bar/v0",
        "coalitions": "wandb/scatter/v0",
        "onset": "wandb/lineseries/v0",
    }
    for name, table in tables(wandb_service, run, tmp_path).items():
        assert set(panels[name]["fieldSettings"].values()) == set(table.columns)
    assert wandb_service.requests["CreateCustomChart"] == 0


def test_what_w_and_b_refuses_is_a_clear_error_and_nothing_is_noted(wandb_service, data_folder):
    wandb_service.faults.answer(403, where={"CreateCustomChart"})
    with pytest.raises(KarnError, match="W&B does not take the charts as presets of standin; got "):
        register_charts(wandb_service.entity)
    assert noted(wandb_service.url, wandb_service.entity, data_folder) == frozenset()


def test_where_it_cannot_be_noted_a_warning_says_what_to_do(wandb_service, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(KarnWarning, match=r"say KarnConfig\(chart_presets='standin'\)"):
        register_charts(wandb_service.entity, tmp_path / "file" / "folder")
