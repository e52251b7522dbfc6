"""Runs that are resumed, imported, sent later, asked to end or cut off: the service has each event of the log once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb
from click.testing import CliRunner
from finished import read_finished
from trainings import end, epochs_of, epochs_said, training

import karn_wandb
from karn_wandb import KarnConfig
from karn_wandb.cli import main
from karn_wandb.errors import KarnWarning
from karn_wandb.experiment.runs import events_of_rows
from karn_wandb.pipeline import LOG_NAME, read_log, write_log
from karn_wandb.records import RunInfo
from karn_wandb.schema import REST

pytestmark = [pytest.mark.online, pytest.mark.usefixtures("newest_wandb")]


def log_epochs(run, *values):
    for value in values:
        run.log_batch(karn_wandb.BatchMetrics(run.current_epoch, 0, loss=1.0))
        run.log_epoch(val_accuracy=value)


def events_at(service, run_id):
    """The events the service has, each of which must be there once."""
    rows = [row for row in service.run(run_id).rows if REST in row]
    events, damage = events_of_rows(rows)
    assert damage == ()
    assert len(rows) == len(events)
    return events


def imported(*arguments: object) -> str:
    done = CliRunner().invoke(main, ["import", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def offline_log(wandb_service, tmp_path) -> Path:
    """The record log of a run that was logged offline."""
    with karn_wandb.init("p", id="r", mode="offline", dir=tmp_path, name="a name", tags=["x"], config={"lr": 0.1}) as run:
        log_epochs(run, 10.0, 20.0)
    read_finished(run.records_path.parent / "run-r.wandb")
    return run.records_path


class TestImport:
    def test_a_log_becomes_a_run_at_the_service_and_doing_it_again_changes_nothing(self, wandb_service, offline_log):
        events = read_log(offline_log).events
        for _ in range(2):
            imported(offline_log)
            assert events_at(wandb_service, "r") == events
        kept = wandb_service.run("r")
        assert (kept.state, kept.display_name, kept.tags, kept.config["lr"]) == ("finished", "a name", ["x"], 0.1)
        assert kept.summary["outcome"]["state"] == "finished"
        api_run = wandb.Api().run(f"{wandb_service.entity}/p/r")
        assert "karn-records" in {artifact.type for artifact in api_run.logged_artifacts()}

    def test_a_run_at_the_service_gets_what_it_lacks(self, wandb_service, offline_log, tmp_path):
        events = read_log(offline_log).events
        part = tmp_path / "part.jsonl"
        write_log(part, events[:5])
        imported(part)
        assert events_at(wandb_service, "r") == events[:5]
        assert wandb_service.run("r").state == "failed"  # its log has no end
        said = imported(offline_log, "--into", f"{wandb_service.entity}/p/r")
        assert f"Run r has {len(events)} records; {len(events) - 5} of them it lacked.\n" in said
        assert events_at(wandb_service, "r") == events
        assert wandb_service.run("r").state == "finished"

    def test_into_a_run_that_the_service_does_not_have(self, wandb_service, offline_log):
        done = CliRunner().invoke(main, ["import", str(offline_log), "--into", f"{wandb_service.entity}/p/r"])
        assert done.exit_code == 1
        assert wandb_service.runs == {}


class TestResume:
    def test_with_its_log_at_hand_a_run_goes_on_without_gap_or_duplicate(self, wandb_service):
        for value in (10.0, 20.0):
            with karn_wandb.init("p", id="r", resume="allow") as run:
                log_epochs(run, value)
        events = read_log(run.records_path).events
        assert events_at(wandb_service, "r") == events
        assert epochs_of(events) == [1, 2]
        assert len([event for event in events if isinstance(event.data, RunInfo)]) == 2

    def test_elsewhere_the_service_s_rows_bring_everything_back(self, wandb_service, tmp_path):
        with karn_wandb.init("p", id="r", dir=tmp_path / "here") as run:
            log_epochs(run, 10.0)
        before = read_log(run.records_path).events
        with karn_wandb.init("p", id="r", dir=tmp_path / "elsewhere", resume="must") as run:
            assert run.current_epoch == 2
            assert run.analytics.accuracy_trajectory() == [(1, 10.0, None)]
            log_epochs(run, 20.0)
        events = read_log(run.records_path).events
        assert events[: len(before)] == before
        assert events_at(wandb_service, "r") == events

    def test_what_the_service_lacks_is_sent_when_the_run_goes_on(self, wandb_service, offline_log, tmp_path):
        part = tmp_path / "part.jsonl"
        write_log(part, read_log(offline_log).events[:5])
        imported(part)
        with karn_wandb.init("p", id="r", dir=tmp_path, resume="must") as run:
            assert run.wandb.resumed
            log_epochs(run, 30.0)
        assert events_at(wandb_service, "r") == read_log(run.records_path).events

    def test_a_run_that_must_be_there_and_is_not_is_refused(self, wandb_service):
        with pytest.raises(wandb.errors.UsageError):
            karn_wandb.init("p", id="nowhere", resume="must")
        assert wandb_service.runs == {}

    def test_when_the_service_does_not_say_what_it_has_it_is_asked_again(self, wandb_service, tmp_path):
        with karn_wandb.init("p", id="r", dir=tmp_path / "here") as run:
            log_epochs(run, 10.0)
        fault = wandb_service.faults.answer(429, where={"HistoryPage"}, times=1, retry_after=0)
        with karn_wandb.init("p", id="r", dir=tmp_path / "elsewhere", resume="must") as run:
            log_epochs(run, 20.0)
        assert fault.met == 1
        assert events_at(wandb_service, "r") == read_log(run.records_path).events


def test_two_offline_folders_of_one_id_that_are_both_sent_read_as_the_newest(wandb_service, tmp_path):
    """Wandb 0.31 sends the second behind the first, so what is in both comes twice; an import online sends what is missing."""
    for value in (10.0, 20.0):
        with karn_wandb.init("p", id="r", mode="offline", dir=tmp_path, resume="allow") as run:
            log_epochs(run, value)
        read_finished(run.records_path.parent / "run-r.wandb")
    older, newer = sorted(run.records_path.parent.parent.glob("offline-run-*-r*"))
    synced(older)
    first = events_at(wandb_service, "r")
    assert first == read_log(older / LOG_NAME).events
    synced(newer)
    rows = [row for row in wandb_service.run("r").rows if REST in row]
    everything = read_log(newer / LOG_NAME).events
    assert events_of_rows(rows)[0] == everything
    assert len(rows) == len(first) + len(everything)
    (read,) = karn_wandb.load_experiment(f"{wandb_service.entity}/p", cache=False).runs
    assert read.events() == everything


def synced(folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-m", "wandb", "sync", "--yes", str(folder), "--project", "p"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


class TestSigterm:
    def test_the_service_has_everything_and_the_run_as_failed(self, wandb_service, tmp_path):
        with training(tmp_path / "run", "r", "1000000", "0.02") as process:
            lines = [process.stdout.readline() for _ in range(10)]
            said = epochs_said([*lines, *end(process, signal.SIGTERM, group=False)])
            assert process.returncode == -signal.SIGTERM
        (path,) = (tmp_path / "run").glob(f"wandb/run-*/{LOG_NAME}")
        events = read_log(path).events
        assert epochs_of(events)[: len(said)] == said
        assert events_at(wandb_service, "r") == events
        assert (wandb_service.run("r").state, wandb_service.run("r").exit_code) == ("failed", 143)

    def test_where_the_user_handles_it_the_run_goes_on_as_preempting(self, wandb_service):
        called = []
        before = signal.signal(signal.SIGTERM, lambda number, _: called.append(number))
        try:
            with karn_wandb.init("p", id="r") as run:
                log_epochs(run, 10.0)
                os.kill(os.getpid(), signal.SIGTERM)
                assert called == [signal.SIGTERM]
                wait_for(lambda: wandb_service.run("r").state == "preempting")
                log_epochs(run, 20.0)
        finally:
            signal.signal(signal.SIGTERM, before)
        assert wandb_service.run("r").state == "finished"
        assert epochs_of(events_at(wandb_service, "r")) == [1, 2]


def wait_for(true) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_finish_while_the_service_is_away_says_once_what_is_kept_and_where(wandb_service):
    run = karn_wandb.init("p", id="r", karn=KarnConfig(finish_timeout=1, upload_timeout=1))
    log_epochs(run, 10.0)
    with wandb_service.refusing(), pytest.warns(KarnWarning) as caught:
        run.finish()
    folder, log = run.records_path.parent, run.records_path
    said = (
        f"the wandb sink failed: TimeoutError('it did not get on for 1 seconds'). What it missed is kept in {log}. W&B had not "
        f"taken everything after 1 seconds. All of it is kept in {folder}: `wandb sync {folder}` sends everything, "
        f"`karn-wandb import {log} --into {wandb_service.entity}/p/r` sends the records."
    )
    assert [str(warning.message) for warning in caught] == [said]
    wandb.teardown()
    imported(log)
    assert events_at(wandb_service, "r") == read_log(log).events
