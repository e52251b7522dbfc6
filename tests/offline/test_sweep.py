"""Local sweeps of trainings that use the real SDK, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from finished import read_finished
from sweep_files import alive, sweep_file
from trainings import PATH

import karn_wandb
from karn_wandb.sweeps import LocalSweep

pytestmark = pytest.mark.offline

REPOSITORY = Path(karn_wandb.__file__).parent.parent
TRAINING = """
import os, sys, time
from dataclasses import replace
import karn_wandb
from logged import CONTEXT

own = {"lr": 0.1, "note": "the program's own"}
episode = replace(CONTEXT, hyperparameters={"lr": 0.1}) if "--episode" in sys.argv else None
with karn_wandb.init("tests", config=own, episode=episode, mode="online", dir="elsewhere") as run:
    with open("pids", "a") as log:
        log.write(f"{os.getpid()}\\n")
    for epoch in range(3):
        time.sleep(run.config.get("seconds", 0.0))
        run.log_epoch(val_accuracy=50.0 + run.config["lr"] + run.config["optimizer"]["beta"])
    run.wandb.log({"mine": run.config["lr"]})
"""
PARAMETERS = {"lr": {"values": [0.25, 1.0e-5]}, "optimizer": {"parameters": {"beta": {"value": 0.5}}}}


@pytest.fixture
def training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAINING)

    def made(*arguments, **config):
        command = [sys.executable, "train.py", *arguments]
        return sweep_file(tmp_path, **{"name": "small", "command": command, "parameters": PARAMETERS, **config})

    return made


def environ():
    return {**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"}


def journal_of(folder):
    """The runs of a sweep's journal that have ended: index to id, parameters and how."""
    entries = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    runs = {entry["index"]: dict(entry) for entry in entries if entry["event"] == "proposed"}
    for entry in entries[1:]:
        runs[entry["index"]].update(entry)
    return [runs[index] for index in sorted(runs)]


def test_values_reach_config_context_and_report_unchanged_and_what_nothing_reads_is_an_error(training, tmp_path):
    """The program has a learning rate, a folder and a mode of its own, and an episode that names the first only."""
    file = training("--episode", metric={"name": "mine"}, parameters={**PARAMETERS, "typo": {"value": 3}})
    done = subprocess.run(
        [sys.executable, "-m", "karn_wandb", "sweep", str(file.path), "--local", "--jobs", "2", "--out", "out"],
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: nothing reads the parameter 'typo'. Read it from run.config, or give it to karn_wandb.init in config or in the "
        "episode, under the sweep's name.\n"
    )
    assert done.stdout.startswith("2 runs in out: 2 finished.\n\nNext:\n  karn-wandb report out/runs --claims CLAIMS.yaml\n")
    runs = journal_of(tmp_path / "out")
    assert [run["parameters"] for run in runs] == [{"lr": lr, "optimizer": {"beta": 0.5}, "typo": 3} for lr in (0.25, 1e-5)]
    assert [run["value"] for run in runs] == [0.25, 1e-5]
    assert not (tmp_path / "elsewhere").exists()
    experiment = karn_wandb.load_experiment(tmp_path / "out" / "runs")
    for run in runs:
        (path,) = (tmp_path / "out" / "runs" / run["run_id"]).glob("wandb/offline-run-*/*.wandb")
        config = read_finished(path).config
        assert {name: config[name] for name in run["parameters"]} == run["parameters"]
        assert config["episode"]["hyperparameters"] == run["parameters"]
        assert config["note"] == "the program's own"
        records = experiment.records(run["run_id"])
        contexts = [record for record in records if isinstance(record, karn_wandb.EpisodeContext)]
        assert [context.hyperparameters for context in contexts] == [run["parameters"]]
        row = experiment.episodes.set_index("run_id").loc[run["run_id"]]
        assert (row["config.lr"], row["config.optimizer.beta"]) == (run["parameters"]["lr"], 0.5)
    claims = tmp_path / "claims.yaml"
    arms = "treatment: {lr: 0.25}, control: {lr: 1.0e-5}"
    claims.write_text(f"claims:\n- {{name: the larger rate, metric: final_accuracy, {arms}, pair_by: null}}\n")
    reported = karn_wandb.build_report(experiment, claims=claims).content.runs
    assert {run.run_id: (run.arm, run.final_accuracy) for run in reported} == {
        runs[0]["run_id"]: ("0.25", 50.75),
        runs[1]["run_id"]: ("1e-05", 50.50001),
    }


@pytest.mark.slow
def test_the_examples_training_takes_every_parameter_from_its_arguments(tmp_path):
    """Its random seed is the episode's `base_seed`; it makes nothing of the folder it would take by itself."""
    command = ["${env}", "${interpreter}", "-m", "examples.train", "${args}"]
    claims = str(REPOSITORY / "sweeps" / "slot_controls.claims.yaml")
    values = {"seed": 3, "controller": "heuristic", "disabled_slot": "mid", "epochs": 1, "claims": claims}
    parameters = {name: {"value": value} for name, value in values.items()}
    file = sweep_file(tmp_path, program="examples/train.py", command=command, parameters=parameters)
    result = LocalSweep(file, tmp_path / "out", jobs=1, environ=environ()).run()
    assert (result.problems, [run.why for run in result.runs]) == ((), [""])
    episodes = karn_wandb.load_experiment(tmp_path / "out" / "runs").episodes
    assert [(row["base_seed"], row["config.disabled_slot"]) for _, row in episodes.iterrows()] == [(3, "mid")]


@pytest.mark.slow
def test_24_runs_killed_twice_are_24_finished_runs_none_twice_and_no_process_is_left(training, tmp_path):
    parameters = {
        "lr": {"values": [round(0.01 * n, 2) for n in range(1, 13)]},
        "optimizer": {"parameters": {"beta": {"values": [0.5, 0.9]}}},
        "seconds": {"value": 0.2},
    }
    file, out = training(parameters=parameters), tmp_path / "out"
    command = [sys.executable, "-m", "karn_wandb", "sweep", str(file.path), "--local", "--jobs", "2", "--out", str(out)]

    def ended():
        path = out / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines() if '"ended"' in line] if path.exists() else []

    for kill_after in (6, 14):
        process = subprocess.Popen(command, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len([entry for entry in ended() if entry["state"] == "finished"]) < kill_after:
            time.sleep(0.1)
            assert process.poll() is None
        time.sleep(1.5)  # into the middle of the next runs
        process.kill()
        process.wait()
    done = subprocess.run(command, env=environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"24 runs in {out}: 24 finished.")
    finished = [entry["index"] for entry in ended() if entry["state"] == "finished"]
    interrupted = [entry["index"] for entry in ended() if entry["state"] == "waiting"]
    assert sorted(finished) == list(range(24))
    assert interrupted
    episodes = karn_wandb.load_experiment(out / "runs").episodes
    assert list(episodes["state"]) == ["finished"] * 24
    assert len({(row["config.lr"], row["config.optimizer.beta"]) for _, row in episodes.iterrows()}) == 24
    assert len(list((out / "superseded").iterdir())) == len(interrupted)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) >= 24
    assert not [pid for pid in pids if alive(pid)]
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [each for each in processes if str(out).encode() in each]
