"""Runs in files are read once, alone or by several processes: the same runs, in the same order, with the same words."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from logged import context, epoch, event, outcome, stamped
from report_runs import pairs, write_logs
from run_files import exit_record, history_record, record_log, run_record, write_run

import karn_wandb
from karn_wandb.errors import KarnWarning
from karn_wandb.experiment import local, processes
from karn_wandb.experiment.runs import RunPaths
from karn_wandb.records import RunInfo
from karn_wandb.schema import encode_row

STARTED = event("TRAINING_STARTED", RunInfo("r1", config={"lr": 0.1, "nan": float("nan")}, tags=("t",)))
EVENTS = stamped(STARTED, context(), epoch(1, val_accuracy=50.0), outcome(epochs=1))
FRAMES = ("episodes", "epochs", "counterfactuals", "shapley", "interactions")


@pytest.fixture
def load(tmp_path):
    return lambda *sources, **options: karn_wandb.load_experiment(*sources, cache=tmp_path / "kept", **options)


@pytest.fixture
def not_read(monkeypatch):
    """From here on, reading a run's files is an error."""

    def forbid():
        monkeypatch.setattr(local, "read_run", lambda *_: pytest.fail("the run's files were read"))

    return forbid


def same(one, other) -> None:
    assert one.runs == other.runs
    assert one.warnings == other.warnings
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))


def rows(events) -> list[bytes]:
    return [history_record({(key,): value for key, value in encode_row(event).items()}) for event in events]


@pytest.mark.parametrize(
    ("records", "log"),
    [
        (None, record_log(EVENTS)),
        ([run_record("r1", tags=["a"], config={"lr": 1}), *rows(EVENTS), exit_record()], None),
        ([run_record("r1"), *rows(EVENTS)], record_log(EVENTS[:-1])),
        ([run_record("r1"), *rows(EVENTS)], record_log(EVENTS) + b'{"torn'),
    ],
)
def test_a_run_is_read_once_and_the_same_the_second_time(tmp_path, load, not_read, records, log):
    folder = write_run(tmp_path / "runs", "r1", records, log)
    fresh, first = karn_wandb.load_experiment(folder, cache=False), load(folder)
    not_read()
    second = load(folder)
    assert repr(second.runs[0].config) == repr(fresh.runs[0].config)  # NaN is NaN there
    for one in (first, second):
        for name in ("state", "reason", "tags", "started", "via", "wandb_path", "log_path", "warnings", "telemetry"):
            assert getattr(one.runs[0], name) == getattr(fresh.runs[0], name), name
        for name in FRAMES:
            pd.testing.assert_frame_equal(getattr(one, name), getattr(fresh, name))
    assert second.events("r1") == fresh.events("r1")


def test_a_run_whose_file_has_changed_is_read_again(tmp_path, load):
    folder = write_run(tmp_path / "runs", "r1", log=record_log(EVENTS[:-1]))
    assert load(folder).runs[0].state == "crashed"
    (folder / "records.jsonl").write_bytes(record_log(EVENTS))
    assert load(folder).runs[0].state == "finished"


def test_a_file_changed_to_the_same_length_and_time_is_read_again(tmp_path, load):
    folder = write_run(tmp_path / "runs", "r1", log=record_log(EVENTS))
    load(folder)
    path = folder / "records.jsonl"
    was = path.stat()
    path.write_bytes(path.read_bytes().replace(b"50.0", b"51.0"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert load(folder).episodes["final_accuracy"].tolist() == [51.0]


def test_it_is_the_same_run_by_whatever_name_its_folder_is_called(tmp_path, load, not_read, monkeypatch):
    folder = write_run(tmp_path / "runs", "r1", log=record_log(EVENTS))
    load(folder)
    not_read()
    monkeypatch.chdir(tmp_path)
    assert load("runs").runs[0].source == "runs"


def test_what_is_read_only_in_part_is_read_again_each_time(tmp_path, load):
    """Its words name the file as it was called."""
    folder = write_run(tmp_path / "runs", "r1", [run_record("r1"), *rows(EVENTS)], b"no log\n")
    assert load(folder).warnings == load(folder).warnings
    assert "is no record log" in load(folder).warnings[0]
    assert not list((tmp_path / "kept").rglob("*.parquet"))


def test_progress_is_told_run_by_run(tmp_path, load):
    write_logs(tmp_path / "runs", pairs([60.0], [50.0]))
    told = []
    load(tmp_path / "runs", progress=lambda *now: told.append(now))
    assert told == [(0, 2, "reading grown-0"), (1, 2, "reading host-0")]
    load(tmp_path / "runs", progress=lambda *now: told.append(now))
    assert len(told) == 2


class TestSeveralProcesses:
    @pytest.fixture
    def many(self, tmp_path, monkeypatch):
        """A folder of six runs and one that cannot be read, for which processes are started."""
        monkeypatch.setattr(local, "read_in_processes", lambda folder, runs: processes.read_in_processes(folder, runs, worth=1))
        folder = write_logs(tmp_path / "runs", pairs([60.0, 61.0, 62.0], [50.0, 51.0, 52.0], early=1.0))
        write_run(folder, "broken", log=b"no log\n")
        return folder

    def test_give_the_same_as_one_in_the_same_order(self, many, load):
        """With what cannot be read said with its name."""
        told = []
        together = load(many, progress=lambda *now: told.append(now))
        same(together, karn_wandb.load_experiment(many, cache=False))
        assert [(done, total) for done, total, _ in told[:7]] == [(done, 7) for done in range(7)]
        assert together.warnings[0].startswith("run offline-run-20261122_120000-broken: the record log ")

    def test_leave_nothing_to_be_read(self, many, tmp_path, monkeypatch):
        paths = [RunPaths(None, path) for path in sorted(many.glob("*-*/records.jsonl")) if "broken" not in str(path)]
        names = list(processes.read_in_processes(tmp_path / "kept", paths, worth=1))
        assert sorted(names) == sorted(path.name for path in paths)
        monkeypatch.setattr(local, "read_run", lambda *_: pytest.fail("the run's files were read"))
        assert len(local.LocalRuns(local.RunCache(tmp_path / "kept")).read([local.Found("", path) for path in paths])) == 6

    @pytest.mark.parametrize("program", ["/bin/false", "/nowhere/python"])
    def test_are_not_needed(self, many, load, monkeypatch, program):
        """An interpreter that cannot be started again: this process reads."""
        monkeypatch.setattr(sys, "executable", program)
        same(load(many), karn_wandb.load_experiment(many, cache=False))

    def test_are_not_started_for_little(self, many, tmp_path, monkeypatch):
        monkeypatch.setattr(processes.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
        paths = [RunPaths(None, path) for path in many.glob("*/records.jsonl")]
        assert list(processes.read_in_processes(tmp_path / "kept", paths)) == []
        assert list(processes.read_in_processes(tmp_path / "kept", paths[:1], worth=1)) == []


def test_a_damaged_file_is_one_warning_and_the_run_is_read_again(tmp_path, load):
    folder = write_logs(tmp_path / "runs", pairs([60.0], [50.0]))
    first = load(folder)
    for path in Path(tmp_path / "kept").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(KarnWarning, match="is damaged or of another version") as said:
        again = load(folder)
    assert len(said) == 1
    same(again, first)
    same(load(folder), first)


def test_epochs_run_by_run_are_the_epochs(tmp_path, load):
    experiment = load(write_logs(tmp_path / "runs", pairs([60.0, 61.0], [50.0, 51.0], early=1.0)))
    parts = list(experiment.epochs_by_run("val_accuracy", "slot.early.stage"))
    columns = ["run_id", "env_id", "episode_idx", "epoch", "val_accuracy"]
    pd.testing.assert_frame_equal(pd.concat([part[columns] for part in parts], ignore_index=True), experiment.epochs[columns])
    assert ["slot.early.stage" in part for part in parts] == [True, True, False, False]
    chosen = replace(experiment, filters={"controller": "none"})
    assert [len(part) for part in chosen.epochs_by_run("val_loss")] == [0, 0, 5, 5]
