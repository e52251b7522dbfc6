"""`karn-wandb import`: a record log becomes a W&B run, or restores what a W&B run lacks."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from finished import read_finished
from run_files import exit_record, history_record, record_log, run_file, run_record

import karn_wandb
from karn_wandb.cli import main
from karn_wandb.pipeline import LOG_NAME, read_log
from karn_wandb.records import EpochSnapshot
from karn_wandb.schema import decode_rows, encode_row

pytestmark = pytest.mark.offline


@pytest.fixture(scope="module")
def logged(offline_folder, tmp_path_factory) -> Path:
    """The folder of a finished run."""
    options = {"dir": tmp_path_factory.mktemp("logged"), "config": {"lr": 0.1}, "name": "a name", "group": "g", "tags": ["x"]}
    with karn_wandb.init("the-project", id="logged", **options) as run:
        run.log_batch(karn_wandb.BatchMetrics(1, 0, loss=1.0))
        for accuracy in (10.0, 20.0):
            run.log_epoch(val_accuracy=accuracy)
    read_finished(run.records_path.parent / "run-logged.wandb")
    return run.records_path.parent


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Runs the command in a folder of the test's own; gives its result and the new run file."""
    monkeypatch.chdir(tmp_path)

    def done(*arguments):
        result = CliRunner().invoke(main, ["import", *map(str, arguments)])
        written = re.search("^Written: (.*)$", result.output, re.MULTILINE)
        return result, written and read_finished(next(Path(written[1]).glob("run-*.wandb")))

    return done


def test_every_event_is_in_the_new_run_once_and_the_run_is_the_same(imported, logged):
    result, file = imported(logged / LOG_NAME)
    assert result.exit_code == 0, result.output
    events = read_log(logged / LOG_NAME).events
    assert tuple(decode_rows(file.rows)) == events
    original = read_finished(logged / "run-logged.wandb")
    named = ("run_id", "project", "display_name", "group", "tags", "exit_code", "config", "metrics")
    assert [getattr(file, name) for name in named] == [getattr(original, name) for name in named]
    assert {artifact.name for artifact in file.artifacts} == {artifact.name for artifact in original.artifacts}
    assert file.summary["outcome"]["state"] == "finished"
    folder = file.path.parent
    assert result.output == (
        f"Run logged has {len(events)} records.\nWritten: {folder}\nSend it with: wandb sync {folder}\n"
        "Where W&B has rows of this run, import it online instead: only what it lacks is sent.\n"
    )


def test_what_was_imported_reads_back_as_the_original(imported, logged):
    _, file = imported(logged / LOG_NAME)
    read, original = (karn_wandb.load_experiment(folder) for folder in (file.path.parent, logged))
    assert read.records("logged", via="wandb") == original.records("logged", via="log")
    assert read.episodes.drop(columns="source").equals(original.episodes.drop(columns="source"))


def test_a_packed_log_is_taken_too(imported, logged, tmp_path):
    packed = tmp_path / "karn-records.jsonl.gz"
    packed.write_bytes(gzip.compress((logged / LOG_NAME).read_bytes()))
    result, file = imported(packed)
    assert result.exit_code == 0, result.output
    assert tuple(decode_rows(file.rows)) == read_log(logged / LOG_NAME).events
    assert file.config["lr"] == 0.1


def test_of_a_damaged_log_what_can_be_read_is_imported_and_said(imported, logged, tmp_path):
    lines = (logged / LOG_NAME).read_bytes().splitlines(keepends=True)
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(b"".join([*lines[:3], b"damaged\n", *lines[4:-1], lines[-1][:20]]))
    result, file = imported(damaged)
    assert result.exit_code == 0, result.output
    events = read_log(logged / LOG_NAME).events
    assert tuple(decode_rows(file.rows)) == (*events[:2], *events[3:-1])
    assert file.exit_code == 1  # its end is lost
    assert "Warning: line 4 of the record log is left out" in result.stderr
    assert "Warning: the last line of the record log is torn (20 bytes) and left out" in result.stderr


class TestInto:
    @pytest.fixture
    def lacking(self, logged, tmp_path) -> Path:
        """A run file as SIGKILL leaves it: some of the rows, one of them the user's own, and no end."""
        events = read_log(logged / LOG_NAME).events
        folder = tmp_path / "wandb" / "offline-run-20260101_000000-logged"
        folder.mkdir(parents=True)
        rows = [history_record(encode_row(event)) for event in events[:4]]
        own = history_record({"mine": 1.0, "_step": 7})
        config = {"lr": 0.1, "karn": {"mode": "research"}}
        content = run_file([run_record("logged", project="the-project", config=config), *rows, own])
        (folder / "run-logged.wandb").write_bytes(content)
        return folder

    def test_an_offline_run_gets_what_it_lacks_in_a_new_folder_beside_it(self, imported, logged, lacking):
        result, file = imported(logged / LOG_NAME, "--into", lacking)
        assert result.exit_code == 0, result.output
        events = read_log(logged / LOG_NAME).events
        assert tuple(decode_rows(file.rows)) == events
        assert file.path.parent.parent == lacking.parent
        assert (file.run_id, file.project, file.config["karn"]) == ("logged", "the-project", {"mode": "research"})
        assert f"Run logged has {len(events)} records; {len(events) - 4} of them it lacked.\n" in result.output
        assert result.stderr == (
            f"Warning: 1 rows in {lacking} were not logged by this package and are not in the new run folder. To keep both, "
            "sync that one, then import online with --into entity/project/id.\n"
        )

    def test_the_folder_as_a_whole_is_then_one_run(self, imported, logged, lacking, tmp_path):
        imported(logged / LOG_NAME, "--into", lacking / "run-logged.wandb")
        (run,) = karn_wandb.load_experiment(tmp_path).runs
        assert run.state == "finished"
        assert run.events() == read_log(logged / LOG_NAME).events

    def test_w_and_b_s_rows_complete_a_damaged_log(self, imported, logged, lacking, tmp_path):
        lines = (logged / LOG_NAME).read_bytes().splitlines(keepends=True)
        damaged = tmp_path / "damaged.jsonl"
        damaged.write_bytes(b"".join([*lines[:3], b"damaged\n", *lines[4:]]))
        result, file = imported(damaged, "--into", lacking)
        assert result.exit_code == 0, result.output
        assert tuple(decode_rows(file.rows)) == read_log(logged / LOG_NAME).events

    @pytest.mark.parametrize(
        ("into", "said"),
        [
            (
                "nowhere",
                (
                    "the run 'nowhere' is not there. Name the folder or the run-ID.wandb file of an offline run, "
                    "or entity/project/id."
                ),
            ),
            (
                "entity/project/other",
                ("the record log is of another run than entity/project/other; got logged, not other. Name the run it is of."),
            ),
            (
                "entity/project/logged",
                "a run on the W&B server can be restored online only; got WANDB_MODE=offline. Set WANDB_MODE=online.",
            ),
            (".", "the folder '.' is not one run's; got 0 run files. Name a run's own folder, or its file."),
        ],
    )
    def test_what_cannot_be_a_target_is_refused_in_words(self, imported, logged, into, said):
        result, file = imported(logged / LOG_NAME, "--into", into)
        assert (result.exit_code, result.stderr) == (1, f"Error: {said}\n")
        assert file is None

    def test_another_run_s_folder_is_refused(self, imported, logged, tmp_path):
        other = tmp_path / "run-other.wandb"
        other.write_bytes(run_file([run_record("other"), exit_record()]))
        result, _ = imported(logged / LOG_NAME, "--into", other)
        assert result.exit_code == 1
        assert result.stderr == (
            f"Error: the record log is of another run than {other}; got logged, not other. Name the run it is of.\n"
        )


class TestRefusals:
    def test_what_is_no_record_log(self, imported, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("hello\n")
        result, _ = imported(path)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {str(path)!r} cannot be imported: the file is no record log")

    def test_a_log_without_an_event(self, imported, tmp_path):
        path = tmp_path / LOG_NAME
        path.write_bytes(record_log([]))
        result, _ = imported(path)
        assert result.exit_code == 1
        assert result.stderr == (
            f"Error: {str(path)!r} holds no event. Nothing had been logged when it was written, or all is damaged.\n"
        )

    def test_a_file_that_is_not_there_is_wrong_usage(self, imported):
        assert imported("nowhere.jsonl")[0].exit_code == 2

    def test_w_and_b_switched_off(self, logged):
        """In a process of its own: W&B reads its settings once."""
        command = [sys.executable, "-m", "karn_wandb", "import", str(logged / LOG_NAME)]
        environment = {**os.environ, "WANDB_MODE": "disabled"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        said = "Error: W&B is switched off; got WANDB_MODE=disabled. Set WANDB_MODE to online or offline.\n"
        assert (done.returncode, done.stderr) == (1, said)


def test_a_log_without_a_run_becomes_a_new_run(imported, tmp_path):
    from karn_wandb.records import HostSnapshot, TelemetryEvent, TelemetryEventType

    snapshots = [EpochSnapshot(epoch, HostSnapshot(epoch, val_accuracy=50.0)) for epoch in (1, 2)]
    events = [
        replace(TelemetryEvent(TelemetryEventType.EPOCH_COMPLETED, data=data), sequence=place, tick=data.epoch)
        for place, data in enumerate(snapshots)
    ]
    path = tmp_path / "other.jsonl"
    path.write_bytes(record_log(events))
    result, file = imported(path)
    assert result.exit_code == 0, result.output
    assert list(decode_rows(file.rows)) == events
    assert file.exit_code == 1
