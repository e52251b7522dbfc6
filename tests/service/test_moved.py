"""A moved offline run, sent by `wandb sync`, has its tables and artifacts, each of its rows."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
from finished import read_finished

import karn_wandb
from karn_wandb.experiment.relocate import relocate
from karn_wandb.experiment.tables import read_table

pytestmark = pytest.mark.online


BATCHES = 40


def test_moved_and_synced_nothing_is_lost(wandb_service, tmp_path, monkeypatch):
    monkeypatch.setattr(wandb.Table, "MAX_ROWS", 10)  # of W&B's copy in the run's folder, which stops at 10,000 else
    with karn_wandb.init("moved", id="moved", mode="offline", dir=tmp_path / "before") as run:
        run.log_epoch(val_accuracy=50.0)
        for batch in range(BATCHES):
            run.log_batch(karn_wandb.BatchMetrics(2, batch, loss=float(batch)))
    before = run.records_path.parent
    file = read_finished(before / "run-moved.wandb")
    places = [Path(entry.local_path) for artifact in file.artifacts for entry in artifact.entries]
    moved = Path(shutil.copytree(before, tmp_path / "after" / before.name))
    shutil.rmtree(before)
    for place in places:
        place.unlink()
    relocate(moved)
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-m", "wandb", "sync", "--yes", str(moved)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    logged = list(wandb.Api().run(f"{wandb_service.entity}/moved/moved").logged_artifacts())
    assert sorted(artifact.type for artifact in logged) == sorted(artifact.type for artifact in file.artifacts)
    files = [path for number, a in enumerate(logged) for path in Path(a.download(str(tmp_path / str(number)))).rglob("*")]
    (records,) = (path for path in files if path.name == "records.jsonl.gz")
    assert gzip.decompress(records.read_bytes()) == (moved / "records.jsonl").read_bytes()
    (table,) = (read_table(path) for path in files if path.name == "batches.table.json")
    assert [row[table.columns.index("batch")] for row in table.data] == list(range(BATCHES))
