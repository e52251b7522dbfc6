"""An offline run whose folder is moved: everything it logged is in it, and `karn-wandb relocate` makes W&B find it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import wandb
from click.testing import CliRunner
from finished import read_finished

import karn_wandb
from karn_wandb.cli import main
from karn_wandb.errors import SourceError
from karn_wandb.experiment.relocate import relocate
from karn_wandb.experiment.tables import artifact_bytes, logged_table
from karn_wandb.schema.artifacts import KEPT

pytestmark = pytest.mark.offline

BATCHES = 40
COPIED = 10
"""Rows that W&B's copy of a table in the run's folder holds here, fewer than are logged; else it is 10,000."""


@pytest.fixture(scope="module")
def logged(offline_folder, tmp_path_factory) -> Path:
    """The folder of a finished run with a table and an artifact of the user's own; what W&B put elsewhere is gone."""
    folder = tmp_path_factory.mktemp("before")
    own = folder / "own.txt"
    own.write_text("as logged")
    with pytest.MonkeyPatch.context() as patch, karn_wandb.init("moved", id="moved", dir=folder, mode="offline") as run:
        patch.setattr(wandb.Table, "MAX_ROWS", COPIED)
        artifact = wandb.Artifact("own", "dataset")
        artifact.add_file(str(own), name="sub/own.txt", policy="immutable")
        artifact.add_reference("https://example.org/data", checksum=False)
        run.log_artifact(artifact)
        for batch in range(BATCHES):
            run.log_batch(karn_wandb.BatchMetrics(1, batch, loss=float(batch)))
        run.log_epoch(val_accuracy=50.0)
    file = read_finished(run.records_path.parent / "run-moved.wandb")
    for entry in (entry for artifact in file.artifacts for entry in artifact.entries if entry.local_path):
        os.unlink(entry.local_path)  # noqa: PTH108 -- as on another machine
    return run.records_path.parent


@pytest.fixture
def moved(logged, tmp_path) -> Path:
    """A copy of that folder in another place."""
    return Path(shutil.copytree(logged, tmp_path / "elsewhere" / logged.name))


def entries(folder: Path):
    file = read_finished(folder / "run-moved.wandb")
    return [entry for artifact in file.artifacts for entry in artifact.entries if entry.local_path]


def test_a_table_reads_back_whole_without_relocating(moved):
    file = read_finished(moved / "run-moved.wandb")
    row = next(row for row in file.rows if "tables/batches._type" in row)
    table = logged_table(file, row, "tables/batches")
    assert [line[table.columns.index("loss")] for line in table.data] == list(range(BATCHES))
    assert table.missing_rows == 0


def test_afterwards_the_run_file_finds_every_file_in_the_folder_and_says_the_same_otherwise(moved, logged):
    before = read_finished(logged / "run-moved.wandb")
    assert not any(Path(entry.local_path).exists() for entry in entries(moved))
    done = relocate(moved)
    assert (done.moved, done.missing) == (len(entries(moved)), ())
    assert {Path(entry.local_path).parent for entry in entries(moved)} == {moved / KEPT}
    assert all(artifact_bytes(entry) for entry in entries(moved))
    after = read_finished(moved / "run-moved.wandb")
    for name in ("rows", "config", "summary", "metrics", "exit_code", "display_name"):
        assert getattr(after, name) == getattr(before, name), name
    said = [[(e.path, e.digest, e.size) for e in artifact.entries] for artifact in after.artifacts]
    assert said == [[(e.path, e.digest, e.size) for e in artifact.entries] for artifact in before.artifacts]


def test_a_second_time_nothing_is_changed(moved):
    relocate(moved)
    content = (moved / "run-moved.wandb").read_bytes()
    assert relocate(moved).moved == 0
    assert (moved / "run-moved.wandb").read_bytes() == content


def test_what_did_not_come_along_is_named(moved):
    kept = next(e for e in entries(moved) if e.path == "sub/own.txt")
    for path in (moved / KEPT).iterdir():
        if path.stat().st_size == kept.size and path.read_text() == "as logged":
            path.unlink()
    result = CliRunner().invoke(main, ["relocate", str(moved)])
    assert result.exit_code == 0, result.output
    assert "Warning: own/sub/own.txt is gone: it was not moved with the folder.\n" in result.output
    assert f"Send with: wandb sync {moved}\n" in result.output


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(SourceError) as raised:
        relocate(tmp_path)
    assert str(raised.value) == f"the folder {str(tmp_path)!r} is not one run's; got 0 run files. Name a run's own folder."


def test_a_damaged_run_file_is_left_as_it_is(moved):
    path = moved / "run-moved.wandb"
    content = path.read_bytes()[:-10]
    path.write_bytes(content)
    with pytest.raises(SourceError, match="is damaged; got the file ends inside a record"):
        relocate(moved)
    assert path.read_bytes() == content
