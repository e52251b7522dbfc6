"""W&B's own inspector of offline runs is the second opinion: clocks defined, nothing refused."""

from __future__ import annotations

import json
import subprocess

import pytest
import wandb
from finished import read_finished

import karn_wandb
from karn_wandb.schema import CLOCKS, FAMILIES

pytestmark = [
    pytest.mark.offline,
    pytest.mark.skipif(wandb.__version__ < "0.31", reason="wandb leet inspect came with 0.31"),
]


@pytest.fixture(scope="module")
def folder(offline_folder, tmp_path_factory):
    """The folder of a run with interleaved clocks and two environments."""
    with karn_wandb.init(project="leet", dir=tmp_path_factory.mktemp("leet")) as run:
        for epoch in range(3):
            for batch in range(5):
                run.log_batch(loss=1.0 / (batch + 1))
                run.episode(0, 0).log_batch(loss=1.0)
            run.log_ppo_update(kl_divergence=0.01)
            run.log_epoch(val_accuracy=10.0 * epoch)
            run.episode(0, 0).log_epoch(val_accuracy=5.0 * epoch)
    read_finished(run.records_path.parent / f"run-{run.id}.wandb")
    return run.records_path.parent


def inspect(folder):
    file = next(folder.glob("run-*.wandb"))
    command = [wandb.util.get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", file, folder]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_every_family_goes_by_its_clock(folder):
    metrics = [record["metric"] for record in inspect(folder) if record["type"] == "metric"]
    clocks = {metric["glob_name"]: metric["step_metric"] for metric in metrics if "glob_name" in metric}
    for prefix in ("", "env/0/"):
        assert {f"{prefix}{family}/*": prefix + clock for family, clock in FAMILIES.items()}.items() <= clocks.items()
    hidden = {metric["name"] for metric in metrics if metric["options"].get("hidden")}
    assert {prefix + clock for prefix in ("", "env/0/") for clock in CLOCKS} <= hidden


def test_every_clock_and_value_arrives_in_order(folder):
    rows = [record["history"]["item"] for record in inspect(folder) if record["type"] == "history"]
    assert [row["batch_step"] for row in rows if "batch/loss" in row] == list(range(15))
    assert [row["env/0/batch_step"] for row in rows if "env/0/batch/loss" in row] == list(range(15))
    assert [(row["epoch"], row["host/val_accuracy"]) for row in rows if "host/val_accuracy" in row] == [(1, 0), (2, 10), (3, 20)]
    assert [row["ppo_update"] for row in rows if "ppo/kl_divergence" in row] == [0, 1, 2]


def test_no_row_was_refused_for_its_step(folder):
    logs = "".join(path.read_text() for path in (folder / "logs").glob("*.log"))
    assert "less than the current step" not in logs
