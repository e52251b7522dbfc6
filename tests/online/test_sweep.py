"""A sweep handed to W&B: made by the real SDK, run by its real agents, against the stand-in for the service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from service import variables
from sweep_files import sweep_file

import karn_wandb

pytestmark = [pytest.mark.online, pytest.mark.slow]  # W&B's agents ask for work every five seconds

TRAINING = """
import karn_wandb
with karn_wandb.init() as run:
    run.log_epoch(val_loss=run.config["lr"] * run.config["width"])
"""


def test_wandbs_agents_run_it_with_the_sweeps_values_and_what_nothing_reads_is_an_error(wandb_service, tmp_path):
    (tmp_path / "train.py").write_text(TRAINING)
    parameters = {"lr": {"values": [0.1, 0.01]}, "width": {"value": 8}, "typo": {"value": 1}}
    file = sweep_file(tmp_path, project="growing", parameters=parameters)
    root = str(Path(karn_wandb.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "karn_wandb", "sweep", str(file.path)],
        env={**os.environ, **variables(wandb_service, tmp_path), "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    (sweep,) = wandb_service.sweeps.all.values()
    path = f"{sweep.entity}/growing/{sweep.name}"
    assert f"Sweep {path}. Agents elsewhere join it with: wandb agent {path}\n" in done.stdout, done.stdout + done.stderr
    assert f"karn-wandb report {sweep.entity}/growing" in done.stdout
    runs = [wandb_service.run(run_id) for run_id in sweep.handed_out]
    assert sorted((run.state, run.config["lr"], run.summary["host/val_loss"]) for run in runs) == [
        ("finished", 0.01, 0.08),
        ("finished", 0.1, 0.8),
    ]
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: nothing reads the parameter 'typo'.")
