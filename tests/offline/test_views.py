"""Tables, summary and artifacts: what people see in W&B, made from the events."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest
import wandb
from finished import read_finished
from logged import event

import karn_wandb
from karn_wandb import BatchMetrics, CounterfactualEngine, EpisodeContext, HostBaseline, charts
from karn_wandb.experiment.tables import artifact_bytes, logged_table
from karn_wandb.pipeline import parse_log
from karn_wandb.sinks.presets import default_folder, note
from karn_wandb.sinks.views import Views, to_table

pytestmark = pytest.mark.offline


def value(config):
    return 50.0 + sum(config)


@pytest.fixture(scope="module")
def ended(offline_folder, tmp_path_factory):
    """A run with a matrix, a checkpoint to be deleted and one to be kept: its file, its record log, the checkpoints."""
    folder = tmp_path_factory.mktemp("views")
    deleted, kept = folder / "initial.pt", folder / "other.pt"
    deleted.write_bytes(b"weights")
    kept.write_bytes(b"others")
    with karn_wandb.init("views", dir=folder) as run:
        policy = {"checkpoint_retention_policy": "delete_after_run"}
        run.log_baseline(HostBaseline(2.3, 10.0, initial_checkpoint=deleted, **policy))
        run.log_baseline(HostBaseline(2.3, 10.0, initial_checkpoint=kept))
        run.log_counterfactual(CounterfactualEngine().evaluate(("a", "b"), lambda c: 50.0 + sum(c), epoch=1))
        run.log_epoch(val_accuracy=50.0)
    file = read_finished(run.records_path.parent / f"run-{run.id}.wandb")
    return file, run.records_path, deleted, kept


def bytes_of(file, artifact_type):
    return [artifact_bytes(entry) for a in file.artifacts if a.type == artifact_type for entry in a.entries]


def table(file, name):
    row = next(r for r in file.rows if f"{name}._type" in r)
    return logged_table(file, row, name)


def test_the_matrix_is_a_table_of_coalitions(ended):
    found = table(ended[0], "tables/counterfactual")
    config, value = found.columns.index("config"), found.columns.index("val_accuracy")
    assert [(row[config], row[value]) for row in found.data] == [("00", 50), ("01", 51), ("10", 51), ("11", 52)]


def test_shapley_values_carry_the_validity_note(ended):
    found = table(ended[0], "tables/shapley")
    notes = {row[found.columns.index("validity")] for row in found.data}
    assert len(notes) == 1
    assert "Not measured: Causal contribution" in notes.pop()


def test_the_record_log_is_an_artifact_byte_for_byte(ended):
    (packed,) = bytes_of(ended[0], "karn-records")
    assert gzip.decompress(packed) == Path(ended[1]).read_bytes()


def test_the_episode_artifact_holds_context_and_baselines(ended):
    (content,) = bytes_of(ended[0], "karn-episode")
    held = [type(event.data) for event in parse_log(content).events]
    assert held == [EpisodeContext, HostBaseline, HostBaseline]


def test_the_run_s_attribution_is_there_as_pictures_that_need_nothing_else(ended):
    """Offline and after a sync alike: media of the run, not a preset that a server must know."""
    file = ended[0]
    row = next(r for r in file.rows if "charts/waterfall._type" in r)
    names = sorted(key.removesuffix("._type") for key in row if key.endswith("._type"))
    assert names == [f"charts/{name}" for name in ("coalitions", "interactions", "onset", "slot_values", "waterfall")]
    for name in names:
        assert row[f"{name}._type"] == "html-file"
        page = (file.path.parent / "files" / row[f"{name}.path"]).read_text()
        assert "<svg" in page
        assert "<script" not in page
        assert "http-equiv" in page


def test_without_vl_convert_the_tables_are_there_and_no_pictures(offline_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with karn_wandb.init("views", dir=tmp_path) as run:
        run.log_counterfactual(CounterfactualEngine().evaluate(("a", "b"), lambda c: 50.0 + sum(c), epoch=1))
    file = read_finished(run.records_path.parent / f"run-{run.id}.wandb")
    keys = {key for row in file.rows for key in row}
    assert "tables/shapley._type" in keys
    assert not any(key.startswith("charts/") for key in keys)
    assert "custom_charts/coalitions_table._type" in keys


@pytest.fixture
def custom_charts(offline_folder, tmp_path, monkeypatch):
    """The custom charts that a run of `team` logs when it ends, by the presets that draw them."""
    monkeypatch.setenv("KARN_WANDB_DATA_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "vl_convert", None)  # no pictures beside them

    options = {"entity": "team", "project": "p", "mode": "offline", "dir": tmp_path, "reinit": "create_new"}

    def logged(chart_presets=None, evaluated=True):
        rows = []
        with wandb.init(**options, settings={"base_url": "https://wandb.example"}) as run:
            views = Views(run, rows.append, chart_presets)
            if evaluated:
                views.add(event("COUNTERFACTUAL_MATRIX_COMPUTED", CounterfactualEngine().evaluate(("a", "b"), value, epoch=1)))
            for _ in views.finish(None):
                pass
        found = {key: value for row in rows for key, value in row.items() if key.startswith("custom_charts/")}
        return {key.removeprefix("custom_charts/"): value.spec.spec_name for key, value in found.items()}

    return logged


BUILT_IN = {"coalitions": "wandb/scatter/v0", "onset": "wandb/lineseries/v0"}
"""No bars of Shapley values: none of them has an interval here."""


def ours(entity):
    return {
        name: f"{entity}/{charts.preset(name).name}"
        for name in ("slot_values", "waterfall", "coalitions", "interactions", "onset")
    }


def test_custom_charts_are_drawn_by_wandbs_own_presets_when_nobody_registered_ours(custom_charts):
    assert custom_charts() == BUILT_IN


def test_custom_charts_are_drawn_by_our_presets_when_they_are_noted_for_the_run_s_entity_and_service(custom_charts):
    note("https://wandb.example", "another-team", ours("").values(), default_folder())
    note("https://api.wandb.example", "team", ours("").values(), default_folder())
    assert custom_charts() == BUILT_IN
    note("https://wandb.example", "team", [charts.preset(name).name for name in charts.names()], default_folder())
    assert custom_charts() == ours("team")
    assert custom_charts(chart_presets="") == BUILT_IN


def test_custom_charts_are_drawn_by_the_presets_of_an_entity_that_is_named(custom_charts):
    assert custom_charts(chart_presets="a-team") == ours("a-team")


def test_a_chart_file_that_changed_since_is_not_drawn_by_the_preset_it_had(custom_charts, monkeypatch):
    note("https://wandb.example", "team", [charts.preset(name).name for name in charts.names()], default_folder())
    source, before = charts.presets.source, ours("team")
    monkeypatch.setattr(
        charts.presets, "source", lambda name: source(name).replace('"description": "Every', '"description": "All')
    )
    assert custom_charts() == {**before, "coalitions": BUILT_IN["coalitions"]}


def test_a_custom_chart_that_would_lack_rows_is_not_made(custom_charts, monkeypatch):
    monkeypatch.setattr("karn_wandb.sinks.views.MAX_PLOT_ROWS", 3)  # of the four coalitions
    assert custom_charts(chart_presets="a-team").keys() == ours("").keys() - {"coalitions", "waterfall"}


def test_a_run_that_evaluated_nothing_has_no_custom_charts(custom_charts):
    assert custom_charts(evaluated=False) == {}


def test_checkpoints_are_kept_or_deleted_as_their_policy_says(ended):
    file, _, deleted, kept = ended
    assert sorted(bytes_of(file, "model")) == [b"others", b"weights"]
    assert not deleted.exists()
    assert kept.exists()


def test_the_outcome_is_in_the_summary(ended):
    outcome = ended[0].summary["outcome"]
    assert (outcome["state"], outcome["final_accuracy"]) == ("finished", 50.0)


def test_a_table_longer_than_w_and_b_keeps_is_logged_in_parts(offline_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("karn_wandb.sinks.views.MAX_ROWS", 3)
    with karn_wandb.init("views", dir=tmp_path) as run:
        for batch in range(7):
            run.log_batch(BatchMetrics(1, batch, loss=float(batch)))
        run.log_epoch(val_accuracy=50.0)
    file = read_finished(run.records_path.parent / f"run-{run.id}.wandb")
    parts = [table(file, name) for name in ("tables/batches", "tables/batches_2", "tables/batches_3")]
    assert [len(part.data) for part in parts] == [3, 3, 1]
    loss = parts[0].columns.index("loss")
    assert [row[loss] for part in parts for row in part.data] == list(range(7))
    assert not any("tables/batches_4._type" in row for row in file.rows)


def test_a_table_of_just_as_many_rows_has_one_part(offline_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("karn_wandb.sinks.views.MAX_ROWS", 3)
    with karn_wandb.init("views", dir=tmp_path) as run:
        for batch in range(3):
            run.log_batch(BatchMetrics(1, batch, loss=float(batch)))
        run.log_epoch(val_accuracy=50.0)
    file = read_finished(run.records_path.parent / f"run-{run.id}.wandb")
    assert len(table(file, "tables/batches").data) == 3
    assert not any("tables/batches_2._type" in row for row in file.rows)


def test_a_table_is_the_one_w_and_b_makes_row_by_row(offline_folder, tmp_path):
    """Data and inferred types alike, wherever a cell is empty or of another kind of number for the first time."""
    rows = [[1, 0.5, None, "a"], [2, 1.5, None, "b"], [3, None, True, "c"], [4, 2, True, None], [5, 0.5, False, "a"], [None] * 4]
    made, expected = to_table([*"abcd"], rows), wandb.Table(columns=[*"abcd"], data=rows)
    artifacts = [wandb.Artifact(name, "dataset") for name in ("made", "expected")]
    assert made.data == expected.data
    assert made.to_json(artifacts[0]) == expected.to_json(artifacts[1])
