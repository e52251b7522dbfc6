"""Runs read back over the public API, from the stand-in service: the same as from their folders, and each read once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import wandb
from click.testing import CliRunner
from finished import read_finished
from hypothesis import HealthCheck, Phase, given, settings
from logged import context, epoch, outcome, stamped
from strategies import event_sequences

import karn_wandb
from karn_wandb.cli import main
from karn_wandb.errors import KarnWarning, SourceError
from karn_wandb.experiment.cache import RunCache
from karn_wandb.experiment.remote import RemoteRuns
from karn_wandb.experiment.service import WandbService
from karn_wandb.records import RunInfo, TelemetryEvent
from karn_wandb.schema import encode_rows
from karn_wandb.sinks import LogGate, WandbSink

pytestmark = pytest.mark.online
PROJECT = "standin/p"


@pytest.fixture
def load(tmp_path):
    """Reads runs back, with a cache of the test's own."""
    return lambda *sources, **options: karn_wandb.load_experiment(*sources, cache=tmp_path / "kept", **options)


def logged(run_id: str, epochs: int = 2, **options: object) -> Path:
    """A finished run of the package; gives its folder."""
    with karn_wandb.init(project="p", id=run_id, **options) as run:
        for number in range(1, epochs + 1):
            run.log_epoch(epoch=number, val_loss=1 / number, val_accuracy=10 + number / 10)
        folder = run.records_path.parent
    read_finished(folder / f"run-{run_id}.wandb")
    return folder


def put(service, run_id: str, events: object, state: str = "finished", **config: object) -> None:
    """Put a run into the service as if the sink had logged these events."""
    run, _ = service.find_or_make_run(None, "p", run_id)
    rows = [row for event in events for row in encode_rows(event)]
    lines = [json.dumps({**row, "_step": step, "_timestamp": 0.0}) for step, row in enumerate(rows)]
    run.history.put("", 0, lines)
    run.wire_config = {name: {"value": value} for name, value in {"karn_schema": 1, **config}.items()}
    run.state = state


# What is read


def test_a_run_is_the_same_from_the_service_as_from_its_folder(wandb_service, load):
    folder = logged("r", config={"lr": 0.1, "opt": {"name": "sgd"}}, name="a name", group="g", job_type="train", tags=["b"])
    (here,), (there,) = load(folder).runs, load(PROJECT).runs
    assert there.telemetry == here.telemetry
    for field in ("run_id", "project", "name", "group", "job_type", "tags", "state", "reason", "warnings"):
        assert getattr(there, field) == getattr(here, field), field
    assert there.config == here.config
    assert (there.source, there.via) == (PROJECT, "log")
    assert abs((there.started - here.started).total_seconds()) < 60
    assert wandb_service.notes == []


def test_both_ways_to_read_a_run_give_the_same_events(wandb_service, load):
    logged("r")
    experiment = load(PROJECT)
    assert experiment.events("r", via="log") == experiment.events("r", via="wandb") == experiment.events("r")


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
@given(event_sequences(min_size=1, max_size=30))
def test_whatever_was_logged_is_the_same_from_the_service_as_from_the_run_file(wandb_service, events):
    """Its rows alone: listed page by page, and then exported to Parquet, where every row has every column."""
    run = wandb.init(project="p", reinit="create_new")
    path = Path(run.dir).parent / f"run-{run.id}.wandb"
    sink = WandbSink(run, LogGate(run), lambda: iter(()), None)
    for event in events:
        sink.write(event)
    sink.close()
    run.finish()
    read_finished(path)
    here = karn_wandb.load_experiment(path)
    read = lambda: karn_wandb.load_experiment(f"{PROJECT}/{run.id}", cache=False)  # noqa: E731
    assert read().events(run.id) == here.events(run.id) == events
    wandb_service.export(run.id)
    assert read().events(run.id) == events


def test_a_run_that_was_logged_offline_and_sent_later_is_the_same(wandb_service, load, monkeypatch):
    """Its record log too, though it says no entity: the service takes the account's."""
    monkeypatch.delenv("WANDB_ENTITY")
    folder = logged("r", mode="offline")
    sync = [sys.executable, "-m", "wandb", "sync", "--yes", str(folder)]
    subprocess.run(sync, check=True, capture_output=True, timeout=60)
    (there,) = load(PROJECT).runs
    assert (there.via, there.telemetry) == ("log", load(folder).runs[0].telemetry)


def test_a_run_of_500_epochs_is_one_small_file(wandb_service, load):
    folder = logged("r", epochs=500)
    wandb_service.requests.clear()
    there = load(PROJECT)
    assert there.runs[0].telemetry == load(folder).runs[0].telemetry
    assert there.episodes["epochs"].tolist() == [500]
    assert "HistoryPage" not in wandb_service.requests


def test_a_long_text_comes_back_from_several_rows(wandb_service, load):
    events = stamped(context(), epoch(1), outcome(reason="x" * 2_000_000, state="failed"))
    put(wandb_service, "r", events)
    assert load(PROJECT).events("r") == events


def test_reading_leaves_no_folder_that_looks_like_the_project(wandb_service, load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logged("r")
    load(PROJECT)
    assert not (tmp_path / "standin").exists()
    assert [run.run_id for run in load(PROJECT).runs] == ["r"]


def test_one_run_can_be_named(wandb_service, load):
    logged("r")
    logged("other")
    assert [run.run_id for run in load(f"{PROJECT}/r").runs] == ["r"]


def test_claims_a_run_was_started_with_come_back_from_the_service(wandb_service, load, tmp_path):
    """From its record log, and where that is not to be had from its config."""
    text = "claims: [{name: a, treatment: {arm: x}, control: {arm: y}}]\n"
    (tmp_path / "claims.yaml").write_text(text)
    logged("declared", claims=tmp_path / "claims.yaml")
    put(wandb_service, "bare", [], karn_claims={"sha256": "ab", "text": text})
    assert load(PROJECT).episodes.set_index("run_id")["claims"].to_dict() == {"declared": text, "bare": text}


def test_a_project_and_a_folder_are_one_experiment(wandb_service, load):
    folder = logged("here")
    logged("there")
    experiment = load(folder, PROJECT)
    assert [(run.run_id, run.source) for run in experiment.runs] == [("here", str(folder)), ("there", PROJECT)]
    assert experiment.warnings == (f"run here is in '{PROJECT}' too, with no more events: the one from {str(folder)!r} is used",)


def test_a_run_that_is_whole_in_a_folder_is_not_asked_for_in_whatever_order(wandb_service, load):
    folder = logged("here")
    wandb_service.requests.clear()
    experiment = load(PROJECT, folder)
    assert set(wandb_service.requests) == {"Viewer", "Runs"}
    assert [(run.run_id, run.source, run.via) for run in experiment.runs] == [("here", str(folder), "log")]
    assert len(experiment.warnings) == 1
    assert len(karn_wandb.build_report(experiment).content.runs) == 1


def test_of_a_run_that_the_service_has_more_of_all_is_read_and_that_is_said(wandb_service, load):
    """Such as one that went on elsewhere, or whose folder was copied before it ended."""
    folder = logged("r", mode="offline")
    here = load(folder).events("r")
    later = replace(here[-1], sequence=len(here), timestamp=here[-1].timestamp + timedelta(seconds=1))
    put(wandb_service, "r", [*here, later])
    for sources in ((folder, PROJECT), (PROJECT, folder)):
        experiment = load(*sources)
        assert experiment.events("r") == (*here, later)
        counts = {str(folder): len(here), PROJECT: len(here) + 1}
        said = " and ".join(f"{counts[str(source)]:,} events in {str(source)!r}" for source in sources)
        assert experiment.warnings == (f"run r has {said}: both together are used",)


def test_of_a_run_that_the_service_has_less_of_the_folder_is_enough(wandb_service, load):
    """What was not sent yet, or never will be."""
    folder = logged("r", mode="offline")
    put(wandb_service, "r", load(folder).events("r")[:-2])
    wandb_service.requests.clear()
    assert load(PROJECT, folder).events("r") == load(folder).events("r")
    assert wandb_service.requests["HistoryPage"] == 0


def test_a_run_of_another_project_with_the_same_id_is_not_taken_for_it(wandb_service, load):
    folder = logged("r", mode="offline")
    put(wandb_service, "r", stamped(context()))
    here = karn_wandb.load_experiment(folder, cache=False).runs[0]
    remote = RemoteRuns(RunCache(None))
    (run,) = remote.read(f"{PROJECT}/r", {}, {"r": replace(here, project="other")})
    assert (run.source, len(run.telemetry)) == (f"{PROJECT}/r", 1)


def test_a_run_that_somebody_else_logged_is_listed_without_events(wandb_service, load):
    with wandb.init(project="p", id="theirs", config={"lr": 1}, reinit="create_new") as run:
        run.log({"loss": 1.0})
    wandb_service.requests.clear()
    (run,) = load(PROJECT).runs
    assert (run.run_id, run.state, run.telemetry, run.config) == ("theirs", "finished", (), {"lr": 1})
    assert set(wandb_service.requests) == {"Viewer", "Runs"}


# The record log or the rows


def test_a_record_log_that_lacks_events_is_not_believed(wandb_service, load):
    """A run that was resumed has rows from before, which the log of its second process has not."""
    logged("r")
    earlier = stamped(*[epoch(number) for number in range(40)])
    put(wandb_service, "r", [*earlier])
    (run,) = load(PROJECT).runs
    assert run.via == "wandb"
    assert run.telemetry == earlier


def test_without_a_count_of_events_no_record_log_is_believed(wandb_service, load):
    folder = logged("r")
    history = wandb_service.run("r").history
    vars(history)["keys"] = {"keys": {}, "lastStep": len(history.rows) - 1}
    (run,) = load(PROJECT).runs
    assert (run.via, run.telemetry) == ("wandb", load(folder).runs[0].telemetry)


def test_a_record_log_that_is_damaged_is_not_believed(wandb_service, load):
    folder = logged("r")
    broken = wandb.Artifact("karn-records-r", type="karn-records")
    with broken.new_file("records.jsonl.gz", mode="wb") as file:
        file.write(b"\x1f\x8b?")
    with wandb.init(project="p", id="by-hand", reinit="create_new") as run:
        run.log_artifact(broken)
    experiment = load(f"{PROJECT}/r")
    assert experiment.runs[0].via == "wandb"
    assert experiment.events("r") == load(folder).events("r")


def test_rows_that_were_sent_twice_are_one_event_each(wandb_service, load):
    events = stamped(context(), *[epoch(number) for number in (1, 2, 3)], outcome(epochs=3))
    put(wandb_service, "r", [*events[:4], *events[2:]])
    assert load(PROJECT).events("r") == events


def test_events_that_are_missing_among_the_rows_are_said(wandb_service, load):
    events = stamped(context(), epoch(1), epoch(2), outcome(epochs=2))
    put(wandb_service, "r", [events[0], events[3]])
    assert load(PROJECT).warnings == ("run r: 2 of its 4 events are not among W&B's rows",)


def test_the_record_log_of_a_run_that_left_none_is_not_to_be_had(wandb_service, load):
    put(wandb_service, "r", stamped(context()))
    with pytest.raises(SourceError, match="run r has no record log"):
        load(PROJECT).events("r", via="log")


# States


@pytest.mark.parametrize(
    ("said", "events", "state", "reason"),
    [
        ("finished", stamped(context(), outcome()), "finished", ""),
        ("failed", stamped(context(), outcome(state="failed", reason="it broke")), "failed", "it broke"),
        ("failed", stamped(context()), "failed", "W&B says that it failed"),
        ("killed", stamped(context()), "crashed", "it was stopped by hand"),
        (
            "crashed",
            stamped(context()),
            "crashed",
            "W&B has not heard of it since its last row: the process was killed, or lost its connection",
        ),
        ("crashed", stamped(context(), outcome()), "finished", ""),
        ("running", stamped(context()), "running", "it has not ended: W&B calls it running"),
        ("preempting", stamped(context(), outcome()), "running", "it has not ended: W&B calls it preempting"),
    ],
)
def test_states(wandb_service, said, events, state, reason):
    put(wandb_service, "r", events, state=said)
    (run,) = karn_wandb.load_experiment(PROJECT, cache=False).runs
    assert (run.state, run.reason) == (state, reason)


def test_a_run_that_goes_on_is_not_analysed(wandb_service, load):
    for name, state in (("a", "finished"), ("b", "running")):
        end = [outcome(epochs=1)] if state == "finished" else []
        put(wandb_service, name, stamped(context(), epoch(1, val_accuracy=60.0), *end), state, arm="x")
    experiment = load(PROJECT)
    assert experiment.episodes.set_index("run_id")["state"].to_dict() == {"a": "finished", "b": "running"}
    report = karn_wandb.build_report(experiment).content
    assert {run.run_id: (run.state, run.reason) for run in report.runs} == {
        "a": ("finished", ""),
        "b": ("running", "it has not ended: W&B calls it running"),
    }


# Filters


def filled(service) -> None:
    for name, config in {
        "a": {"arm": "x", "opt": {"lr": 0.1}, "flag": True},
        "b": {"arm": "y", "opt": {"lr": 0.2}, "flag": 1},
        "c": {"arm": "x", "extra": 1.0},
    }.items():
        put(service, name, stamped(context(base_seed=ord(name)), epoch(1), outcome(epochs=1)), **config)
    service.run("b").group_name = "g"


FILTERS = [
    ({"arm": "x"}, "ac", "ac"),
    ({"arm": ("x", "z")}, "ac", "ac"),
    ({"arm": "x", "extra": None}, "a", "a"),
    ({"opt.lr": 0.2}, "b", "b"),
    ({"config.arm": "y"}, "b", "b"),
    ({"flag": True}, "a", "a"),
    ({"flag": 1}, "b", "b"),
    ({"extra": 1}, "c", "c"),
    ({"group": "g"}, "b", "b"),
    ({"run_id": ("a", "b")}, "ab", "ab"),
    ({"base_seed": ord("b")}, "b", "abc"),
    ({"arm": "x", "base_seed": ord("c")}, "c", "ac"),
    ({"state": "finished"}, "abc", "abc"),
]


@pytest.mark.parametrize(("filters", "found", "read"), FILTERS, ids=str)
def test_filters_choose_what_they_choose_from_files_and_the_rest_is_not_read(wandb_service, load, filters, found, read):
    filled(wandb_service)
    wandb_service.requests.clear()
    assert "".join(run.run_id for run in load(PROJECT, filters=filters).runs) == found
    assert wandb_service.requests["HistoryPage"] == len(read)
    everything = load(PROJECT)
    local = karn_wandb.Experiment(everything.runs, filters=filters)
    assert "".join(local.episodes["run_id"]) == found


def test_filters_that_w_and_b_can_apply_are_applied_there(wandb_service, load, monkeypatch):
    filled(wandb_service)
    asked = []
    monkeypatch.setattr(
        WandbService,
        "runs",
        lambda self, source, filters, runs=WandbService.runs: asked.append(dict(filters)) or runs(self, source, filters),
    )
    load(PROJECT, filters={"arm": ("x", "z"), "flag": True, "opt.lr": 0.1, "extra": None, "state": "finished", "run_id": "a"})
    assert asked == [{"config.arm.value": {"$in": ["x", "z"]}, "config.flag.value": True}, {}]


def test_a_filter_tells_whole_numbers_apart_that_w_and_b_does_not(wandb_service, load):
    """Its config holds both as the same float; the events hold them as they were."""
    for name, number in (("a", 2**60), ("b", 2**60 + 1)):
        info = TelemetryEvent("TRAINING_STARTED", data=RunInfo(name, config={"big": number}))
        put(wandb_service, name, stamped(info), big=float(number))
    assert [run.run_id for run in load(PROJECT, filters={"big": 2**60 + 1}).runs] == ["b"]


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"arm": "z"}, "no run matches the filters; got arm = z. 3 runs were read"),
        ({"amr": "x"}, "no run has a 'amr' to filter by. Did you mean 'arm'?"),
        ({"arm": "x", "typo": 1}, "no run has a 'typo' to filter by."),
    ],
)
def test_filters_that_match_nothing_are_the_same_errors_as_of_files(wandb_service, load, filters, said):
    filled(wandb_service)
    with pytest.raises(SourceError) as raised:
        load(PROJECT, filters=filters)
    assert str(raised.value).startswith(said)


# The cache


def test_a_finished_run_is_read_once(wandb_service, load):
    logged("r")
    first = load(PROJECT)
    wandb_service.requests.clear()
    second = load(PROJECT)
    assert dict(wandb_service.requests) == {"Viewer": 1, "Runs": 1}
    assert second.runs == first.runs


def test_without_a_cache_it_is_read_each_time(wandb_service, tmp_path, monkeypatch):
    monkeypatch.setenv("KARN_WANDB_CACHE_DIR", str(tmp_path / "named"))
    put(wandb_service, "r", stamped(context()))
    for _ in range(2):
        karn_wandb.load_experiment(PROJECT, cache=False)
    assert wandb_service.requests["HistoryPage"] == 2
    assert not (tmp_path / "named").exists()


def test_the_cache_is_where_the_environment_says(wandb_service, tmp_path, monkeypatch):
    monkeypatch.setenv("KARN_WANDB_CACHE_DIR", str(tmp_path / "named"))
    put(wandb_service, "r", stamped(context()))
    karn_wandb.load_experiment(PROJECT)
    assert [path.name for path in (tmp_path / "named").rglob("*") if path.is_file()] == ["r.parquet"]


def test_a_run_that_goes_on_is_read_again_when_it_has_gone_on(wandb_service, load):
    events = stamped(context(), epoch(1), epoch(2))
    put(wandb_service, "r", events[:2], state="running")
    for _ in range(2):
        assert load(PROJECT).events("r") == events[:2]
    assert wandb_service.requests["HistoryPage"] == 1
    put(wandb_service, "r", events, state="running")
    assert load(PROJECT).events("r") == events
    assert wandb_service.requests["HistoryPage"] == 2


def test_rows_that_w_and_b_does_not_give_yet_are_asked_for_again(wandb_service, load, monkeypatch):
    events = stamped(context(), epoch(1))
    put(wandb_service, "r", events)
    with monkeypatch.context() as patch:
        patch.setattr(WandbService, "history", lambda self, run, rows=WandbService.history: rows(self, run)[:1])
        assert load(PROJECT).events("r") == events[:1]
    assert load(PROJECT).events("r") == events


def only_file(folder: Path) -> Path:
    (path,) = folder.rglob("*.parquet")
    return path


@pytest.mark.parametrize("damaged", [lambda kept: kept[:-20], lambda _: b"", lambda _: b"PAR1?PAR1"])
def test_a_damaged_file_is_read_again_and_said(wandb_service, load, tmp_path, damaged):
    put(wandb_service, "r", stamped(context(), epoch(1)))
    first = load(PROJECT)
    path = only_file(tmp_path / "kept")
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.warns(KarnWarning, match=r"r.parquet is damaged or of another version, and its run is read again"):
        assert load(PROJECT).runs == first.runs
    wandb_service.requests.clear()
    load(PROJECT)
    assert wandb_service.requests["HistoryPage"] == 0


def test_a_folder_that_cannot_be_written_is_said_and_the_runs_are_read(wandb_service, tmp_path):
    put(wandb_service, "r", stamped(context()))
    (tmp_path / "kept").write_text("a file")
    with pytest.warns(KarnWarning, match="kept"):
        assert len(karn_wandb.load_experiment(PROJECT, cache=tmp_path / "kept").runs) == 1


def test_nasty_ids_keep_to_the_folder(wandb_service, load, tmp_path):
    for name in ("..", "a b", "%2e"):
        put(wandb_service, name, stamped(context()))
    assert load(PROJECT).runs == load(PROJECT).runs
    found = {path.name for path in (tmp_path / "kept").rglob("*.parquet")}
    assert found == {"...parquet", "a%20b.parquet", "%252e.parquet"}
    assert [path.name for path in tmp_path.glob("*.parquet")] == []


# Trouble


def impatient(load_cache: Path) -> RemoteRuns:
    said: list[str] = []
    remote = RemoteRuns(RunCache(load_cache), service=WandbService(said.append, timeout=2, pauses=(0.01, 0.01)))
    remote.said = said
    return remote


def test_a_storm_of_429_is_waited_out(wandb_service, load):
    events = stamped(context(), epoch(1))
    put(wandb_service, "r", events)
    wandb_service.faults.answer(429, where={"Runs", "HistoryPage"}, times=2, retry_after=0)
    assert load(PROJECT).events("r") == events


def test_an_answer_that_does_not_come_is_asked_for_again_and_the_wait_is_told(wandb_service, tmp_path):
    events = stamped(context(), epoch(1))
    put(wandb_service, "r", events)
    fault = wandb_service.faults.hang(where={"Runs"}, times=1)
    remote = impatient(tmp_path / "kept")
    (run,) = remote.read(PROJECT, {})
    assert run.telemetry == events
    assert fault.met == 1
    assert len(remote.said) == 1
    assert remote.said[0].startswith("W&B did not answer (")
    assert remote.said[0].endswith("asked again in 0.01 s")


@pytest.mark.slow
def test_a_service_that_never_answers_is_a_clear_error_after_a_bounded_time(wandb_service, tmp_path):
    put(wandb_service, "r", stamped(context()))
    wandb_service.faults.hang(where={"Runs"})
    remote = impatient(tmp_path / "kept")
    with pytest.raises(SourceError) as raised:
        remote.read(PROJECT, {})
    assert str(raised.value).startswith("'standin/p' is no path here, and W&B did not answer; got ")
    assert str(raised.value).endswith("Check the network, or try later: runs that were read are kept.")
    assert len(remote.said) == 2


def test_what_was_read_before_the_service_failed_is_kept(wandb_service, load):
    for name in "ab":
        put(wandb_service, name, stamped(context(), epoch(1)))
    fault = wandb_service.faults.answer(403, where={"HistoryPage"})
    fault.left = 0
    load(f"{PROJECT}/a")
    fault.left = None
    with pytest.raises(SourceError, match="'standin/p/b' is no path here, and W&B refuses it"):
        load(PROJECT)
    wandb_service.faults.clear()
    wandb_service.requests.clear()
    assert len(load(PROJECT).runs) == 2
    assert wandb_service.requests["HistoryPage"] == 1


def test_a_service_that_is_away_is_a_clear_error(wandb_service, tmp_path):
    with wandb_service.refusing(), pytest.raises(SourceError) as raised:
        impatient(tmp_path / "kept").read(PROJECT, {})
    assert str(raised.value).startswith("'standin/p' is no path here, and W&B cannot be asked; got Failed to verify")
    assert str(raised.value).endswith("Check WANDB_BASE_URL, WANDB_API_KEY and the network.")


@pytest.mark.parametrize("source", ["standin/nowhere", "standin/p/none"])
def test_what_is_not_there_is_a_clear_error(wandb_service, load, source):
    logged("r", epochs=0)
    with pytest.raises(SourceError) as raised:
        load(source)
    assert str(raised.value).startswith(f"{source!r} is no path here, and W&B has none of that name; got Could not find ")
    assert str(raised.value).endswith("Check the name, and whose account it is.")


def test_nobody_logged_in_is_a_clear_error(wandb_service, load, monkeypatch):
    wandb.teardown()
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", os.devnull)
    with pytest.raises(SourceError) as raised:
        load(PROJECT)
    assert str(raised.value) == (
        "'standin/p' is no path here, and W&B cannot be asked: nobody is logged in. Run `wandb login`, or set WANDB_API_KEY."
    )


def test_a_wrong_key_is_a_clear_error(wandb_service, load, monkeypatch):
    wandb.teardown()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    with pytest.raises(SourceError) as raised:
        load(PROJECT)
    assert str(raised.value).startswith("'standin/p' is no path here, and W&B cannot be asked; got Failed to verify")


def test_an_empty_project_holds_no_run(wandb_service, load):
    wandb_service.add_project(wandb_service.entity, "p")
    with pytest.raises(SourceError, match="W&B has no run in 'standin/p'"):
        load(PROJECT)


# Many runs


@pytest.mark.slow
def test_200_runs_of_500_epochs_are_listed_in_at_most_one_request_per_100_the_second_time(wandb_service, load):
    for number in range(200):
        events = stamped(context(), *[epoch(n, val_accuracy=50.0) for n in range(1, 501)], outcome(epochs=500))
        put(wandb_service, f"r{number:03}", events, arm="x")
    wandb_service.requests.clear()
    first = load(PROJECT)
    assert len(first.epochs) == 100_000
    wandb_service.requests.clear()
    second = load(PROJECT)
    assert wandb_service.requests.total() <= 2, wandb_service.requests
    assert second.runs == first.runs


def test_runs_that_ended_are_listed_and_no_more_the_second_time(wandb_service, load):
    """Two requests: the one that checks the login, and the list."""
    for number in range(20):
        put(wandb_service, f"r{number:03}", stamped(context(), epoch(1), outcome(epochs=1)))
    assert len(load(PROJECT).runs) == 20
    wandb_service.requests.clear()
    load(PROJECT)
    assert wandb_service.requests.total() == 2


# Progress and the command line


def test_progress_is_told_run_by_run(wandb_service, load):
    for name in "ab":
        put(wandb_service, name, stamped(context()))
    told = []
    load(PROJECT, progress=lambda *now: told.append(now))
    assert told == [(0, 0, "listing standin/p"), (0, 2, "reading a"), (1, 2, "reading b"), (2, 2, "standin/p is read")]


def test_the_command_line_reads_a_project(wandb_service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KARN_WANDB_CACHE_DIR", str(tmp_path / "kept"))
    logged("r", name="a name", config={"arm": "x"})
    listed = CliRunner().invoke(main, ["show", PROJECT])
    assert (listed.exit_code, listed.stderr) == (0, "")
    assert "a name" in listed.stdout
    assert "r: finished" in CliRunner().invoke(main, ["show", f"{PROJECT}/r", "r"]).stdout
    made = CliRunner().invoke(main, ["report", PROJECT, "--json", "r.json"])
    assert made.exit_code == 0, made.output
    assert [run["run_id"] for run in json.loads((tmp_path / "r.json").read_text())["runs"]] == ["r"]


def test_when_a_run_began_is_in_utc(wandb_service, load):
    put(wandb_service, "r", stamped(context()))
    wandb_service.run("r").created_at = "2026-11-25T12:00:00"
    assert load(PROJECT).runs[0].started == datetime(2026, 11, 25, 12, tzinfo=UTC)
