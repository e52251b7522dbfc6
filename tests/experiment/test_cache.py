"""Runs kept on disk: whole or not at all, whoever writes, whatever happens to the file."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from logged import context, epoch, outcome, stamped

from karn_wandb.errors import KarnWarning, SourceError
from karn_wandb.experiment.cache import Origin, RunCache, default_folder
from karn_wandb.experiment.packed import Packed
from karn_wandb.experiment.telemetry import Held

ORIGIN = Origin("r1", Path("a", "r1"), "as it was")
EVENTS = stamped(context(), epoch(1), epoch(2), outcome())


def keep(folder: Path, origin: Origin = ORIGIN, events: object = EVENTS) -> Packed:
    return RunCache(folder).keep(origin, Held(events), {"via": "log"})


def test_what_was_kept_comes_back_with_its_notes(tmp_path):
    for found in (keep(tmp_path), RunCache(tmp_path).read(ORIGIN)):
        assert found == EVENTS
        assert found.about.notes["via"] == "log"


def test_nothing_is_there_before_it_was_kept(tmp_path):
    assert RunCache(tmp_path / "none").read(ORIGIN) is None


def test_a_run_that_changed_is_not_taken_from_it(tmp_path):
    keep(tmp_path)
    assert RunCache(tmp_path).read(replace(ORIGIN, stamp="as it is")) is None
    assert RunCache(tmp_path).read(ORIGIN) == EVENTS


def test_runs_are_kept_apart_by_their_places(tmp_path):
    keep(tmp_path)
    assert RunCache(tmp_path).read(replace(ORIGIN, place=Path("b", "r1"))) is None


def test_without_a_folder_what_was_read_stays_in_memory():
    cache = RunCache(None)
    assert cache.keep(ORIGIN, Held(EVENTS), {}) == EVENTS
    assert cache.read(ORIGIN) is None


def test_the_folder_is_the_one_the_environment_names_or_the_platforms():
    assert default_folder({"KARN_WANDB_CACHE_DIR": "/somewhere"}) == Path("/somewhere")
    assert default_folder({}).parts[-2:] == ("karn-wandb", "runs")


def test_a_file_of_another_version_is_not_used(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("karn_wandb.experiment.packed.SCHEMA_VERSION", 99)
        keep(tmp_path)
    with pytest.warns(KarnWarning, match=r"r1.parquet is damaged or of another version, .* \(it is of version 99, this package"):
        assert RunCache(tmp_path).read(ORIGIN) is None


@pytest.mark.parametrize(
    "damaged", [lambda kept: kept[:-20], lambda _: b"", lambda _: b"PAR1?PAR1", lambda kept: kept + b"x", lambda _: b"\x80\x04."]
)
def test_a_file_that_is_torn_or_foreign_is_not_used(tmp_path, damaged):
    keep(tmp_path)
    path = tmp_path / "a" / "r1.parquet"
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.warns(KarnWarning, match=r"r1.parquet is damaged or of another version, and its run is read again"):
        assert RunCache(tmp_path).read(ORIGIN) is None
    assert keep(tmp_path) == RunCache(tmp_path).read(ORIGIN) == EVENTS


def test_many_damaged_files_are_one_warning(tmp_path):
    for name in "abc":
        keep(tmp_path, replace(ORIGIN, place=Path(name)))
        (tmp_path / f"{name}.parquet").write_bytes(b"?")
    cache = RunCache(tmp_path)
    with pytest.warns(KarnWarning) as said:
        assert [cache.read(replace(ORIGIN, place=Path(name))) for name in "abc"] == [None] * 3
    assert len(said) == 1


@pytest.mark.filterwarnings("ignore:.*is damaged or of another version:karn_wandb.errors.KarnWarning")
def test_no_flipped_byte_changes_what_is_read(tmp_path):
    """Wherever it is, in the lines, the columns or the metadata: the file is not believed."""
    keep(tmp_path, events=stamped(context(), *[epoch(number) for number in range(20)]))
    path = tmp_path / "a" / "r1.parquet"
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        assert RunCache(tmp_path).read(ORIGIN) is None, at


@pytest.mark.parametrize(
    "happens", [Path.unlink, lambda path: path.write_bytes(b"?"), lambda path: keep(path.parents[1], events=())]
)
def test_a_file_that_is_gone_or_another_while_it_is_used_is_a_clear_error(tmp_path, happens):
    found = keep(tmp_path)
    happens(tmp_path / "a" / "r1.parquet")
    with pytest.raises(SourceError, match=r"(what was kept of a run is gone|has changed).* Load the runs again\."):
        tuple(found)


def test_several_processes_may_use_one_folder(tmp_path):
    """Readers find a whole file or none while it is written again and again; nothing is left beside it."""
    events = stamped(context(), *[epoch(number) for number in range(50)])

    def use(_: int) -> list[object]:
        found = []
        for _ in range(10):
            keep(tmp_path, events=events)
            found.append(RunCache(tmp_path).read(ORIGIN))
        return found

    with ThreadPoolExecutor(4) as pool:
        assert [found for each in pool.map(use, range(4)) for found in each] == [events] * 40
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["r1.parquet"]


def test_a_disk_that_refuses_is_warned_of_and_the_run_is_there(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.warns(KarnWarning, match="run r1 is not kept in"):
        found = keep(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found == EVENTS
