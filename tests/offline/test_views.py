"""Tables, summary and artifacts: what people see in W&B, made from the events."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest
import wandb
from finished import read_finished

import karn_wandb
from karn_wandb import BatchMetrics, CounterfactualEngine, EpisodeContext, HostBaseline
from karn_wandb.experiment.tables import artifact_bytes, logged_table
from karn_wandb.pipeline import parse_log
from karn_wandb.sinks.views import to_table

pytestmark = pytest.mark.offline


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


def test_without_vl_convert_the_tables_are_there_and_no_charts(offline_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with karn_wandb.init("views", dir=tmp_path) as run:
        run.log_counterfactual(CounterfactualEngine().evaluate(("a", "b"), lambda c: 50.0 + sum(c), epoch=1))
    file = read_finished(run.records_path.parent / f"run-{run.id}.wandb")
    keys = {key for row in file.rows for key in row}
    assert "tables/shapley._type" in keys
    assert not any(key.startswith("charts/") for key in keys)


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
