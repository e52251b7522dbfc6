"""Events kept on disk: whole or not at all, whoever writes, whatever happens to the file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from logged import context, epoch, stamped
from strategies import event_sequences

from karn_wandb.errors import KarnWarning
from karn_wandb.experiment.cache import EventCache, ReadEvents, default_folder
from karn_wandb.experiment.service import RemoteRun

RUN = RemoteRun("https://wandb.example:8080/", "team", "growing-cnn", "r1", state="running", heartbeat_at="1", rows=3)
READ = ReadEvents(stamped(context(), epoch(1), epoch(2)), "log", ("a line",))


def only_file(folder: Path) -> Path:
    (path,) = folder.rglob("*.parquet")
    return path


@settings(max_examples=30)
@given(events=event_sequences())
def test_any_events_come_back_equal(tmp_path_factory, events):
    cache = EventCache(tmp_path_factory.mktemp("cache"))
    cache.write(RUN, ReadEvents(events, "wandb"))
    assert cache.read(RUN) == ReadEvents(events, "wandb")


def test_what_was_read_comes_back_with_how_it_was_read(tmp_path):
    EventCache(tmp_path).write(RUN, READ)
    assert EventCache(tmp_path).read(RUN) == READ


def test_the_file_is_where_one_would_look_for_it_and_can_be_looked_at(tmp_path):
    EventCache(tmp_path).write(RUN, READ)
    path = tmp_path / "wandb.example%3A8080" / "team" / "growing-cnn" / "r1.parquet"
    assert pq.read_table(path)["event_type"].to_pylist() == ["EPISODE_STARTED", "EPOCH_COMPLETED", "EPOCH_COMPLETED"]


@pytest.mark.parametrize("change", [{"state": "finished"}, {"heartbeat_at": "2"}, {"rows": 4}, {"created_at": "later"}])
def test_a_run_that_changed_is_not_taken_from_it(tmp_path, change):
    cache = EventCache(tmp_path)
    cache.write(RUN, READ)
    assert cache.read(replace(RUN, **change)) is None
    assert cache.read(RUN) == READ


@pytest.mark.parametrize("change", [{"host": "https://other"}, {"entity": "other"}, {"project": "other"}, {"run_id": "r2"}])
def test_runs_of_equal_names_are_kept_apart(tmp_path, change):
    cache = EventCache(tmp_path)
    cache.write(RUN, READ)
    assert cache.read(replace(RUN, **change)) is None


def test_without_a_folder_nothing_is_kept():
    EventCache(None).write(RUN, READ)
    assert EventCache(None).read(RUN) is None


def test_the_folder_is_the_one_the_environment_names_or_the_platforms():
    assert default_folder({"KARN_WANDB_CACHE_DIR": "/somewhere"}) == Path("/somewhere")
    assert default_folder({}).parts[-2:] == ("karn-wandb", "runs")


def test_a_file_of_a_newer_version_is_read_from_the_service_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("karn_wandb.experiment.cache.SCHEMA_VERSION", 99)
        EventCache(tmp_path).write(RUN, READ)
    with pytest.warns(KarnWarning, match=r"r1.parquet is damaged or newer, and read from W&B again: .* version 99"):
        assert EventCache(tmp_path).read(RUN) is None


@pytest.mark.filterwarnings("ignore:.*is damaged or newer:karn_wandb.errors.KarnWarning")
def test_no_flipped_byte_changes_what_is_read(tmp_path):
    """Wherever it is: the events are the same, or the file is not believed."""
    read = ReadEvents(stamped(context(), *[epoch(number) for number in range(20)]))
    cache = EventCache(tmp_path)
    cache.write(RUN, read)
    path = only_file(tmp_path)
    content = path.read_bytes()
    for at in range(0, len(content), 11):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        found = cache.read(RUN)
        assert found is None or found.events == read.events, at


def test_several_processes_may_use_one_folder(tmp_path):
    """Readers find a whole file or none while it is written again and again; nothing is left beside it."""
    read = ReadEvents(stamped(context(), *[epoch(number) for number in range(50)]))

    def use(_: int) -> list[ReadEvents | None]:
        cache = EventCache(tmp_path)
        found = []
        for _ in range(10):
            cache.write(RUN, read)
            found.append(cache.read(RUN))
        return found

    with ThreadPoolExecutor(4) as pool:
        assert [found for each in pool.map(use, range(4)) for found in each] == [read] * 40
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["r1.parquet"]
