"""Sources: what a user may name, what is found in it, and clear errors for all else."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from run_files import exit_record, history_record, record_log, run_file, run_record, write_run

from karn_wandb.errors import SourceError
from karn_wandb.experiment.sources import find_runs
from karn_wandb.records import RunInfo, TelemetryEvent
from karn_wandb.schema import encode_row

HINT = "It must hold run-ID.wandb files of W&B or records.jsonl files of this package, at any depth."


def log(run_id: str) -> bytes:
    return record_log([TelemetryEvent("TRAINING_STARTED", data=RunInfo(run_id), sequence=0)])


def failure(*sources: object) -> str:
    with pytest.raises(SourceError) as raised:
        find_runs(sources)
    return str(raised.value)


def test_a_folder_is_searched_at_any_depth_and_each_run_found_once(tmp_path):
    """Offline, synced and bare ones, in the order of their paths; W&B's link to the latest run is not followed."""
    write_run(tmp_path / "wandb", "a", [run_record("a"), exit_record()], log("a"))
    write_run(tmp_path / "deep" / "er", "b", [run_record("b")])
    write_run(tmp_path / "logs", "c", log=log("c"))
    (tmp_path / "wandb" / "latest-run").symlink_to("offline-run-20261122_120000-a")
    (tmp_path / "run-unrelated.txt").write_text("x")
    runs, notes = find_runs([tmp_path])
    assert [(run.run_id, run.log_path is not None, run.wandb_path is not None) for run in runs] == [
        ("b", False, True),
        ("c", True, False),
        ("a", True, True),
    ]
    assert {run.source for run in runs} == {str(tmp_path)}
    assert notes == []


def test_files_are_read_as_what_they_are(tmp_path):
    """A run file under another name, and a record log under any name; the run file brings the log beside it."""
    folder = write_run(tmp_path, "a", [run_record("a")], log("a"))
    renamed = tmp_path / "copy.bin"
    renamed.write_bytes(run_file([run_record("b")]))
    bare = tmp_path / "bare.txt"
    bare.write_bytes(log("c"))
    runs, _ = find_runs([folder / "run-a.wandb", renamed, bare])
    assert [(run.run_id, run.log_path is not None) for run in runs] == [("a", True), ("b", False), ("c", True)]


def test_a_packed_record_log_is_read_as_artifacts_hold_it(tmp_path):
    packed = tmp_path / "karn-records.jsonl.gz"
    packed.write_bytes(gzip.compress(log("a")))
    runs, notes = find_runs([packed])
    assert [(run.run_id, run.log_path) for run in runs] == [("a", packed)]
    assert notes == []


def test_a_packed_file_of_something_else_is_no_source(tmp_path):
    packed = tmp_path / "other.gz"
    packed.write_bytes(gzip.compress(b"something else"))
    assert f"the record log {str(packed)!r} cannot be read: the file is no record log" in failure(packed)
    packed.write_bytes(gzip.compress(log("a"))[:-9])
    assert "the packed record log is damaged" in failure(packed)


def test_the_link_to_the_latest_run_can_be_named(tmp_path):
    write_run(tmp_path, "a", [run_record("a")])
    (tmp_path / "latest-run").symlink_to("offline-run-20261122_120000-a")
    runs, _ = find_runs([tmp_path / "latest-run"])
    assert [run.run_id for run in runs] == ["a"]


def test_an_existing_path_wins_over_entity_and_project(tmp_path, monkeypatch):
    write_run(tmp_path / "entity" / "project", "a", [run_record("a")])
    monkeypatch.chdir(tmp_path)
    runs, _ = find_runs(["entity/project"])
    assert [(run.run_id, run.source) for run in runs] == [("a", "entity/project")]


def test_a_run_found_twice_is_read_from_the_first_source_and_said(tmp_path):
    content = log("a")
    first, second = write_run(tmp_path / "1", "a", [run_record("a", project="first")], content), tmp_path / "copy.jsonl"
    second.write_bytes(content)
    (run,), notes = find_runs([first, second])
    assert run.project == "first"
    assert notes == [f"run a was found again in {str(second)!r}: the first, from {str(first)!r}, is used"]


def test_the_folders_of_a_resumed_run_are_one_run_and_the_newest_event_says_which_holds_it(tmp_path):
    """Whatever the order of their names; with no word about it, for nothing is wrong."""
    events = [
        TelemetryEvent("TRAINING_STARTED", data=RunInfo("a"), sequence=place, timestamp=datetime(2026, 1, place + 1, tzinfo=UTC))
        for place in range(3)
    ]
    newest = write_run(tmp_path / "1", "a", [run_record("a"), exit_record()], record_log(events))
    earlier = write_run(tmp_path / "2", "a", [run_record("a")], record_log(events[:2]))
    begun = write_run(tmp_path / "3", "a", [run_record("a")])
    (run,), notes = find_runs([tmp_path])
    assert (run.events(), run.state, notes) == (tuple(events), "finished", [])
    assert (run.wandb_path.parent, [path.parent for path in run.earlier_paths]) == (newest, [earlier, begun])


def test_without_record_logs_a_resumed_run_is_the_rows_of_all_its_files(tmp_path):
    events = [TelemetryEvent("MEMORY_WARNING", sequence=place) for place in range(4)]
    for number, part in enumerate((events[:3], events[2:])):
        write_run(tmp_path / str(number), "a", [run_record("a"), *(history_record(encode_row(event)) for event in part)])
    (run,), _ = find_runs([tmp_path])
    assert run.events() == run.events("wandb") == tuple(events)


def test_a_run_that_cannot_be_read_is_listed_among_the_others(tmp_path):
    write_run(tmp_path, "a", [run_record("a")])
    bad = write_run(tmp_path, "b", []) / "run-b.wandb"
    bad.write_bytes(b"?")
    gone = tmp_path / "run-c.wandb"
    gone.symlink_to("nowhere")
    runs, notes = find_runs([tmp_path])
    broken = {run.run_id: run for run in runs if run.warnings}
    assert sorted(run.run_id for run in runs) == ["a", "b", "c"]
    assert {run.state for run in broken.values()} == {"crashed"}
    assert broken["c"].reason.startswith(f"the W&B run file {str(gone)!r} cannot be read; got No such file or directory.")
    assert broken["b"].reason.startswith(f"{str(bad)!r} is no W&B run file; got b'?' at its beginning.")
    assert sorted(notes) == sorted(f"run {name}: {run.reason}" for name, run in broken.items())


def test_no_source_is_a_clear_error():
    assert failure() == (
        "no source of runs was named. Name a folder of offline runs, a run-ID.wandb file, a record log, or entity/project."
    )


@pytest.mark.parametrize("name", ["nowhere", "./no/where", "a/b/c.wandb", "a/records.jsonl", "a/b/c/d", Path("a/b")], ids=str)
def test_a_path_that_is_not_there_is_a_clear_error(name):
    assert failure(name) == f"the source {str(name)!r} cannot be read; got No such file or directory. Check the path."


def test_a_dangling_link_is_a_clear_error(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("gone")
    assert failure(link) == f"the source {str(link)!r} cannot be read; got No such file or directory. Check the path."


def test_a_link_to_itself_is_a_clear_error(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("link")
    assert failure(link) == f"the source {str(link)!r} cannot be read; got Too many levels of symbolic links. Check the path."


def test_an_empty_folder_is_a_clear_error(tmp_path):
    assert failure(tmp_path) == f"no runs were found in the folder {str(tmp_path)!r}. {HINT}"


def test_a_folder_named_like_a_run_file_is_a_folder(tmp_path):
    folder = tmp_path / "run-x.wandb"
    folder.mkdir()
    assert failure(tmp_path) == f"no runs were found in the folder {str(tmp_path)!r}. {HINT}"
    assert failure(folder) == f"no runs were found in the folder {str(folder)!r}. {HINT}"


@pytest.mark.parametrize(("content", "got"), [(b"epoch,loss\n1,2\n", r"b'epoch,loss\n1,2\n'"), (b"", "b''")])
def test_a_file_of_another_kind_is_a_clear_error(tmp_path, content, got):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    assert failure(path) == (
        f"the file {str(path)!r} is neither a W&B run file nor a record log; got {got} at its beginning. "
        r"""A run file begins with b':W&B\xe1\xbe\x00', a record log with b'{"karn_records"'."""
    )


def test_a_record_log_of_a_newer_version_is_a_clear_error(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"karn_records":99}\n')
    assert failure(path) == (
        f"the record log {str(path)!r} cannot be read: the record log is of version 99. "
        "This karn_wandb reads versions 1 to 1: install a newer one."
    )


def refuse(mocker, folder):
    """Refuse one folder to everybody: tests may run as root, whom permissions do not stop."""
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path) == str(folder):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(path)

    mocker.patch("os.scandir", refusing)


def test_a_folder_that_may_not_be_read_is_a_clear_error(tmp_path, mocker):
    refuse(mocker, tmp_path)
    assert failure(tmp_path) == f"the source {str(tmp_path)!r} cannot be read; got Permission denied. Check the path."


def test_a_folder_below_that_may_not_be_read_is_said(tmp_path, mocker):
    write_run(tmp_path, "a", [run_record("a")])
    secret = tmp_path / "secret"
    secret.mkdir()
    refuse(mocker, secret)
    runs, notes = find_runs([tmp_path])
    assert [run.run_id for run in runs] == ["a"]
    assert notes == [f"the folder {str(secret)!r} cannot be read and is left out: Permission denied"]
