"""One run: its two files serve for each other, its end is told right, and what is lost is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from logged import context, epoch, event, outcome, stamped
from run_files import exit_record, history_record, record_log, run_file, run_record, write_run
from strategies import event_sequences

from karn_wandb.errors import KarnWarning, SourceError
from karn_wandb.experiment.runs import NO_END, RunPaths, events_of_rows, read_run
from karn_wandb.experiment.sources import find_runs
from karn_wandb.records import EpochSnapshot, RunInfo, TelemetryEvent
from karn_wandb.schema import encode_row

INFO = RunInfo("r1", project="p", name="n", group="g", job_type="j", tags=("t",), config={"lr": 0.1})
STARTED = event("TRAINING_STARTED", INFO)
EVENTS = stamped(STARTED, context(), epoch(1), outcome())


def rows(events: tuple[TelemetryEvent, ...]) -> list[bytes]:
    return [history_record({(key,): value for key, value in encode_row(event).items()}) for event in events]


def read(folder: Path, records: list[bytes] | None = None, log: bytes | None = None):
    """The one run in a folder that was just written."""
    write_run(folder, "r1", records, log)
    (run,), _ = find_runs([folder])
    return run


def test_events_are_the_same_from_the_log_and_from_the_rows(tmp_path):
    run = read(tmp_path, [run_record("r1"), *rows(EVENTS), exit_record()], record_log(EVENTS))
    assert run.events() == run.events("log") == run.events("wandb") == EVENTS
    assert run.warnings == ()


@settings(max_examples=50)
@given(event_sequences())
def test_any_events_are_the_same_from_the_log_and_from_the_rows(tmp_path_factory, events):
    run = read(tmp_path_factory.mktemp("run"), [run_record("r1"), *rows(events), exit_record()], record_log(events))
    assert run.events("log") == run.events("wandb") == events


def test_what_wandb_says_of_a_run_comes_first(tmp_path):
    """Its file holds the values at the end of the run, the first event those at its beginning."""
    record = run_record("r1", project="p2", display_name="n2", run_group="g2", job_type="j2", tags=["t2"], config={"lr": 0.2})
    run = read(tmp_path, [record], record_log(EVENTS))
    assert (run.project, run.name, run.group, run.job_type, run.tags, run.config) == (
        "p2",
        "n2",
        "g2",
        "j2",
        ("t2",),
        {"lr": 0.2},
    )


def test_a_record_log_alone_says_all(tmp_path):
    run = read(tmp_path, log=record_log(EVENTS))
    assert (run.run_id, run.project, run.name, run.group, run.job_type, run.tags) == ("r1", "p", "n", "g", "j", ("t",))
    assert (run.config, run.state, run.reason) == ({"lr": 0.1}, "finished", "")


def test_a_record_log_that_does_not_say_its_run_is_named_after_its_folder_or_file(tmp_path):
    folder = write_run(tmp_path, "x", log=record_log(EVENTS[1:]))
    other = tmp_path / "other.jsonl"
    other.write_bytes(record_log(EVENTS[1:]))
    runs, _ = find_runs([folder, other])
    assert [run.run_id for run in runs] == [folder.name, "other"]


@pytest.mark.parametrize(
    ("events", "exit_code", "ending"),
    [
        ((context(), epoch(1), outcome()), 0, ("finished", "")),
        ((context(), epoch(1)), 0, ("finished", "")),
        ((context(), epoch(1)), 3, ("failed", "exit code 3")),
        ((context(), outcome(state="failed", reason="ValueError: x")), 1, ("failed", "ValueError: x")),
        ((context(), epoch(1)), None, ("crashed", NO_END)),
        ((), None, ("crashed", NO_END)),
        ((context(), epoch(1), outcome()), None, ("finished", "")),
        ((context(), outcome(state="failed", reason="x")), None, ("failed", "x")),
        ((context(), context((1, 0)), outcome()), None, ("crashed", NO_END)),
        ((context(), context((1, 0)), outcome(), outcome((1, 0), state="failed", reason="y")), None, ("failed", "y")),
    ],
)
@pytest.mark.parametrize("log", [True, False])
def test_how_a_run_ended(tmp_path, events, exit_code, ending, log):
    """W&B's exit code decides; without one the outcomes of all started episodes do; else nothing says so."""
    all_events = stamped(STARTED, *events)
    end = [] if exit_code is None else [exit_record(exit_code)]
    run = read(tmp_path, [run_record("r1"), *rows(all_events), *end], record_log(all_events) if log else None)
    assert (run.state, run.reason) == ending


def test_a_run_without_a_log_reads_from_wandb_and_says_so_when_the_log_is_asked_for(tmp_path):
    run = read(tmp_path, [run_record("r1"), *rows(EVENTS)])
    assert run.events() == run.events("wandb") == EVENTS
    with pytest.raises(SourceError) as raised:
        run.events("log")
    assert str(raised.value) == 'run r1 has no record log. Pass via="wandb" for what W&B itself holds.'


def test_a_run_without_wandbs_file_says_so_when_that_is_asked_for(tmp_path):
    run = read(tmp_path, log=record_log(EVENTS))
    with pytest.raises(SourceError) as raised:
        run.events("wandb")
    assert str(raised.value) == 'run r1 has no W&B run file. Pass via="log" for what its record log holds.'


def test_an_unknown_way_to_read_is_a_clear_error(tmp_path):
    with pytest.raises(SourceError) as raised:
        read(tmp_path, log=record_log(EVENTS)).events("server")
    assert str(raised.value) == 'events come via "log" or via "wandb"; got \'server\'.'


def test_a_log_serves_when_wandbs_file_cannot_be_read(tmp_path):
    folder = write_run(tmp_path, "r1", [run_record("r1")], record_log(EVENTS))
    path = folder / "run-r1.wandb"
    path.write_bytes(b"")
    (run,), notes = find_runs([tmp_path])
    assert run.events() == EVENTS
    assert run.wandb_path is None
    (note,) = notes
    assert note.startswith(f"run r1: {str(path)!r} is no W&B run file; got an empty file. ")


def test_wandbs_rows_serve_when_the_log_cannot_be_read(tmp_path):
    run = read(tmp_path, [run_record("r1"), *rows(EVENTS)], b"no log\n")
    path = run.wandb_path.parent / "records.jsonl"
    assert run.events() == EVENTS
    assert run.log_path is None
    (warning,) = run.warnings
    assert warning == (
        f"the record log {str(path)!r} cannot be read: the file is no record log; got b'no log'. "
        'Its first line must be {"karn_records": VERSION}.'
    )


def test_a_log_of_another_run_is_not_taken_for_this_ones(tmp_path):
    other = stamped(event("TRAINING_STARTED", RunInfo("r2")), epoch(1), epoch(2))
    run = read(tmp_path, [run_record("r1"), *rows(EVENTS)], record_log(other))
    assert run.events() == EVENTS
    assert run.warnings == ("the record log beside it is of another run; got run r2.",)


def test_a_torn_and_a_damaged_line_are_left_out_and_counted(tmp_path):
    lines = record_log(EVENTS).splitlines(keepends=True)
    lines[2] = b'{"event_type":\n'
    run = read(tmp_path, log=b"".join(lines)[:-5])
    assert run.events() == (EVENTS[0], EVENTS[2])
    assert len(run.warnings) == 2
    assert run.warnings[0].startswith("line 3 of the record log is left out: a line of the record log is not JSON; got ")
    assert run.warnings[1] == f"the last line of the record log is torn ({len(lines[-1]) - 5} bytes) and left out"


def test_rows_that_are_not_ours_are_passed_over_and_a_damaged_one_is_said(tmp_path):
    ours = rows(EVENTS)
    broken = history_record({("karn/rest",): '{"karn_schema": 1, "scoped": '})
    run = read(tmp_path, [run_record("r1"), ours[0], history_record({("loss",): 1.0}), broken, *ours[1:]])
    assert run.events() == EVENTS
    (warning,) = run.warnings
    assert warning.startswith("history row 2 is left out: a W&B row holds no readable event; got ")


def test_an_event_delivered_twice_counts_once_and_order_is_that_of_logging(tmp_path):
    """A resumed run's sink delivers what it is not sure of again; an import appends what was missing."""
    run = read(tmp_path, [run_record("r1"), *rows((EVENTS[0], EVENTS[2], EVENTS[3], EVENTS[2], EVENTS[1]))])
    assert run.events() == EVENTS


def test_damage_is_a_warning_when_rows_are_read_although_there_is_a_log(tmp_path):
    run = read(tmp_path, [run_record("r1"), *rows(EVENTS)], record_log(EVENTS))
    content = bytearray(run.wandb_path.read_bytes())
    content[-1] ^= 1
    run.wandb_path.write_bytes(content)
    with pytest.warns(KarnWarning, match=r"^run r1: bytes \d+ to \d+ are damaged and left out$"):
        assert run.events("wandb") == EVENTS[:-1]
    assert run.events() == EVENTS


def test_dropped_records_are_said(tmp_path):
    run = read(tmp_path, log=record_log(stamped(STARTED, outcome(dropped_records=3))))
    assert run.warnings == ("3 records were dropped while it was logged",)


def test_events_without_a_sequence_number_come_last_in_their_order():
    unstamped = tuple(replace(each, sequence=None) for each in EVENTS[:2])
    read_back, damage = events_of_rows([encode_row(each) for each in (*unstamped, EVENTS[2])])
    assert read_back == (EVENTS[2], *unstamped)
    assert damage == ()


def test_a_run_of_which_nothing_can_be_read_is_an_error(tmp_path):
    path = tmp_path / "run-x.wandb"
    path.write_bytes(run_file([])[:3])
    with pytest.raises(SourceError, match=r"is no W&B run file; got b':W&' at its beginning\."):
        read_run("here", RunPaths(path, None))


KILLED = """
import os, signal, sys, karn_wandb
from datetime import UTC, datetime
context = karn_wandb.EpisodeContext("e", datetime.now(UTC), "", 3, 3, 3, "cnn", 100, {}, 9, "classification", {})
run = karn_wandb.init("killed", episode=context, dir=sys.argv[1], mode="offline", config={"base_seed": 3})
for epoch in range(1, 4):
    run.log_epoch(val_loss=1.0, val_accuracy=10.0 * epoch)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.offline
def test_a_killed_run_keeps_every_epoch_that_was_logged(offline_folder):
    """Real SIGKILL: the record log has all, W&B's file at best the beginning; the run is listed as crashed."""
    folder = offline_folder / "killed"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, folder], check=False, timeout=120, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    (run,), notes = find_runs([folder])
    assert (run.state, run.reason, run.config["base_seed"]) == ("crashed", NO_END, 3)
    assert [event.data.epoch for event in run.events() if isinstance(event.data, EpochSnapshot)] == [1, 2, 3]
    assert all(note.startswith(f"run {run.run_id}: the file ") for note in notes)
