"""Runs that are resumed, over the real wandb SDK, offline: a run goes on where its earlier process ended."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import wandb
from finished import read_finished

import karn_wandb
from karn_wandb import KarnConfig
from karn_wandb.errors import KarnWarning, UsageError
from karn_wandb.pipeline import read_log, write_log
from karn_wandb.records import EpisodeContext, EpisodeOutcome, EpochSnapshot, RunInfo, TelemetryEventType
from karn_wandb.schema import decode_rows, encode_row

pytestmark = pytest.mark.offline


@pytest.fixture
def start(offline_folder, tmp_path):
    """Starts processes of one run in a folder of the test's own; those left open are finished."""
    runs = []

    def started(resume="allow", **options):
        options = {"id": "resumed", "dir": tmp_path, "project": "tests"} | options
        runs.append(karn_wandb.init(resume=resume, **options))
        return runs[-1]

    yield started
    for run in runs:
        run.finish()


def accuracies(events) -> list[float]:
    return [event.data.host.val_accuracy for event in events if isinstance(event.data, EpochSnapshot)]


def log_epochs(run, *values):
    for value in values:
        run.log_batch(karn_wandb.BatchMetrics(run.current_epoch, 0, loss=1.0))
        run.log_epoch(val_accuracy=value)


class TestGoingOn:
    def test_two_folders_of_one_id_are_one_run_without_duplicates(self, start, tmp_path):
        with start() as run:
            log_epochs(run, 10.0, 20.0)
        with start() as run:
            assert run.current_epoch == 3
            assert run.analytics.accuracy_trajectory() == [(1, 10.0, None), (2, 20.0, None)]
            log_epochs(run, 30.0)
            assert run.analytics.best_accuracy == 30.0
        read_finished(run.records_path.parent / "run-resumed.wandb")
        experiment = karn_wandb.load_experiment(tmp_path)
        assert experiment.epochs["val_accuracy"].tolist() == [10.0, 20.0, 30.0]
        assert experiment.episodes[["run_id", "state", "epochs"]].to_numpy().tolist() == [["resumed", "finished", 3]]
        assert experiment.warnings == ()
        events = experiment.events("resumed")
        assert [event.sequence for event in events] == list(range(len(events)))
        assert experiment.events("resumed", via="wandb") == events

    def test_claims_brought_to_a_run_that_goes_on_were_not_declared_before_it(self, start, tmp_path):
        declared, late = tmp_path / "declared.yaml", tmp_path / "late.yaml"
        declared.write_text("claims: [{name: a, treatment: {arm: x}, control: {arm: y}}]")
        late.write_text("claims: [{name: b, treatment: {arm: x}, control: {arm: y}}]")
        for run_id, first, second in (("both", declared, late), ("second", None, late), ("first", declared, None)):
            for claims in (first, second):
                with start(id=run_id, claims=claims) as run:
                    log_epochs(run, 10.0)
            read_finished(run.records_path.parent / f"run-{run_id}.wandb")
        found = karn_wandb.load_experiment(tmp_path).episodes.set_index("run_id")["claims"]
        assert found["both"] == found["first"] == declared.read_text()
        assert found.isna()["second"]

    def test_the_newest_run_file_alone_has_every_row_once(self, start):
        """W&B may replace what it has of a run when an offline folder is synced, so the newest must hold everything."""
        with start() as run:
            log_epochs(run, 10.0)
        with start() as run:
            log_epochs(run, 20.0)
        rows = read_finished(run.records_path.parent / "run-resumed.wandb").rows
        assert tuple(decode_rows(rows)) == read_log(run.records_path).events

    def test_the_log_says_which_process_ran_and_that_it_is_the_same_episode(self, start):
        with start() as run:
            log_epochs(run, 10.0)
        with start() as run:
            log_epochs(run, 20.0)
        events = read_log(run.records_path).events
        assert len([event for event in events if isinstance(event.data, RunInfo)]) == 2
        assert len([event for event in events if isinstance(event.data, EpisodeContext)]) == 1
        assert [e.data.state for e in events if isinstance(e.data, EpisodeOutcome)] == ["finished", "finished"]

    def test_an_episode_context_that_is_given_again_keeps_its_id_and_beginning(self, start):
        contexts = [karn_wandb.capture_episode(base_seed=1, hyperparameters={"lr": lr}) for lr in (0.1, 0.2)]
        with start(episode=contexts[0]):
            pass
        with start(episode=contexts[1]) as run:
            context = run.collector.episode().store.context
            expected = replace(contexts[1], episode_id=contexts[0].episode_id, timestamp=contexts[0].timestamp)
            assert context == expected
            assert run.config["episode"]["episode_id"] == contexts[0].episode_id

    def test_a_run_that_raised_goes_on_and_ends_well(self, start, tmp_path):
        with pytest.raises(ZeroDivisionError), start() as run:
            log_epochs(run, 10.0)
            raise ZeroDivisionError("of the model")
        (failed,) = karn_wandb.load_experiment(tmp_path).runs
        assert (failed.state, failed.reason) == ("failed", "ZeroDivisionError: of the model")
        with start() as run:
            log_epochs(run, 20.0)
        read_finished(run.records_path.parent / "run-resumed.wandb")
        (run,) = karn_wandb.load_experiment(tmp_path).runs
        assert (run.state, run.reason) == ("finished", "")

    def test_the_reason_of_a_failure_is_in_the_summary_and_the_exit_code(self, start):
        with pytest.raises(ZeroDivisionError), start() as run:
            raise ZeroDivisionError("of the model")
        file = read_finished(run.records_path.parent / "run-resumed.wandb")
        assert file.exit_code == 1
        assert (file.summary["outcome"]["state"], file.summary["outcome"]["reason"]) == (
            "failed",
            "ZeroDivisionError: of the model",
        )

    def test_episodes_of_environments_go_on_and_those_that_finished_stay_so(self, start):
        run = start()
        for env_id in (0, 1):
            run.episode(env_id).log_epoch(val_accuracy=10.0)
        run.episode(0).conclude()
        run.episode(1).conclude(state="failed", reason="out of memory")
        run.finish()
        with start() as run:
            assert run.episode(1).current_epoch == 2
            with pytest.raises(UsageError, match=r"episode \(0, 0\) has ended"):
                run.episode(0)
            outcome = run.finish()
        assert outcome.epochs == 1

    def test_the_attached_model_is_the_user_s_to_restore_and_to_attach(self, start):
        from torch import nn

        for _ in range(2):
            with start() as run:
                run.attach(nn.Linear(3, 2))
                run.log_epoch(val_accuracy=10.0)
        assert [e.data.host.host_params for e in read_log(run.records_path).events if isinstance(e.data, EpochSnapshot)] == [8, 8]

    def test_alerts_are_not_sent_again(self, start, monkeypatch):
        from karn_wandb.records import Alert

        sent = []
        monkeypatch.setattr(wandb.Run, "alert", lambda self, **alert: sent.append(alert["text"]))
        for text in ("first", "second"):
            with start() as run:
                run.emit(karn_wandb.TelemetryEvent("ALERT_RAISED", data=Alert("kind", text, 1, "error")))
        assert sent == ["first", "second"]


class TestOnline:
    """What is the same with a server that has some of the rows: here the rows are given by hand."""

    @pytest.fixture
    def at_wandb(self, monkeypatch):
        rows = []
        monkeypatch.setattr("karn_wandb.resume.rows_at_wandb", lambda _run: iter(rows))
        return rows

    def test_events_that_w_and_b_has_are_not_sent_again(self, start, at_wandb):
        with start() as run:
            log_epochs(run, 10.0, 20.0)
        logged = read_log(run.records_path).events
        at_wandb.extend(map(encode_row, logged[:5]))
        with start() as run:
            log_epochs(run, 30.0)
        rows = read_finished(run.records_path.parent / "run-resumed.wandb").rows
        assert tuple(decode_rows(rows)) == read_log(run.records_path).events[5:]

    def test_without_any_folder_the_rows_on_the_server_give_everything_back(self, start, at_wandb, tmp_path):
        with start() as run:
            log_epochs(run, 10.0, 20.0)
        logged = read_log(run.records_path).events
        at_wandb.extend(map(encode_row, logged))
        with start(dir=tmp_path / "elsewhere") as run:
            assert run.analytics.accuracy_trajectory() == [(1, 10.0, None), (2, 20.0, None)]
            log_epochs(run, 30.0)
        assert read_log(run.records_path).events[: len(logged)] == logged


class TestAnOlderCheckpoint:
    def test_epochs_that_are_logged_again_replace_those_from_before(self, start, tmp_path):
        with start() as run:
            log_epochs(run, 10.0, 20.0, 30.0, 40.0)
        with start() as run:
            run.log_batch(karn_wandb.BatchMetrics(3, 0, loss=2.0))
            run.log_epoch(epoch=3, val_accuracy=33.0)
            assert run.analytics.accuracy_trajectory() == [(1, 10.0, None), (2, 20.0, None), (3, 33.0, None)]
            outcome = run.finish()
        assert (outcome.epochs, outcome.final_accuracy, outcome.best_accuracy) == (3, 33.0, 33.0)
        experiment = karn_wandb.load_experiment(tmp_path)
        assert experiment.epochs["val_accuracy"].tolist() == [10.0, 20.0, 33.0]
        assert experiment.episodes["best_accuracy"].tolist() == [33.0]
        assert accuracies(experiment.events("resumed")) == [10.0, 20.0, 30.0, 40.0, 33.0]  # nothing is lost

    def test_rewind_says_it_when_epochs_are_counted_for_the_user(self, start, tmp_path):
        with start() as run:
            log_epochs(run, 10.0, 20.0, 30.0)
        with start() as run:
            run.rewind(1)
            log_epochs(run, 22.0)
        assert karn_wandb.load_experiment(tmp_path).epochs["val_accuracy"].tolist() == [10.0, 22.0]
        events = read_log(run.records_path).events
        assert [e.data for e in events if e.event_type is TelemetryEventType.CHECKPOINT_LOADED] == [{"back_to_epoch": 1}]

    def test_tables_in_w_and_b_hold_what_stands(self, start):
        with start() as run:
            log_epochs(run, 10.0, 20.0)
        with start() as run:
            run.rewind(1)
            log_epochs(run, 22.0)
        (table,) = run.records_path.parent.glob("files/media/table/tables/batches_*.json")
        assert table.read_text().count("BatchMetrics") == 0
        import json

        content = json.loads(table.read_text())
        epoch = content["columns"].index("epoch")
        assert [row[epoch] for row in content["data"]] == [1, 2]


class TestWhatIsAtHand:
    def test_with_allow_and_nothing_there_it_is_a_fresh_run(self, start):
        run = start()
        assert run.current_epoch == 1
        assert run.collector.log.next_sequence == 2  # RunInfo and context

    def test_with_must_and_nothing_there_offline_it_begins_anew_and_says_so(self, start):
        """W&B itself says nothing offline, where it cannot know."""
        with pytest.warns(KarnWarning) as caught:
            start(resume="must")
        assert [str(warning.message) for warning in caught] == [
            "run resumed is resumed: nothing that an earlier process logged is at hand, so it begins anew"
        ]

    @pytest.mark.parametrize("resume", [None, "never"])
    def test_without_resume_the_same_id_begins_anew(self, start, resume):
        with start() as run:
            log_epochs(run, 10.0)
        assert start(resume=resume).current_epoch == 1

    def test_another_run_s_folder_is_left_alone(self, start):
        with start(id="other-resumed") as run:
            log_epochs(run, 10.0)
        assert start().current_epoch == 1

    def test_without_a_record_log_w_and_b_s_rows_give_everything_back(self, start):
        with start() as run:
            log_epochs(run, 10.0, 20.0)
        read_finished(run.records_path.parent / "run-resumed.wandb")
        logged = read_log(run.records_path).events
        run.records_path.unlink()
        with start() as run:
            assert run.current_epoch == 3
            log_epochs(run, 30.0)
        assert read_log(run.records_path).events[: len(logged)] == logged

    def test_a_damaged_log_is_completed_from_w_and_b_s_rows_and_said(self, start):
        with start() as run:
            log_epochs(run, 10.0, 20.0)
        read_finished(run.records_path.parent / "run-resumed.wandb")
        logged = read_log(run.records_path).events
        lines = run.records_path.read_bytes().splitlines(keepends=True)
        run.records_path.write_bytes(b"".join([*lines[:3], b"damaged\n", *lines[4:]]))
        with pytest.warns(KarnWarning, match="run resumed is resumed: line 4 of the record log is left out"):
            run = start()
        assert run.current_epoch == 3
        run.finish()
        assert read_log(run.records_path).events[: len(logged)] == logged

    def test_the_newest_of_several_logs_is_the_run(self, start):
        for value in (10.0, 20.0, 30.0):
            with start() as run:
                log_epochs(run, value)
        assert accuracies(read_log(run.records_path).events) == [10.0, 20.0, 30.0]

    def test_what_w_and_b_was_given_and_the_log_was_not_is_in_the_run(self, start):
        """A killed process may have delivered its last events without writing them: their places are taken."""
        with start() as run:
            log_epochs(run, 10.0)
        read_finished(run.records_path.parent / "run-resumed.wandb")
        logged = read_log(run.records_path).events
        write_log(run.records_path, logged[:4])
        with start() as run:
            log_epochs(run, 20.0)
        events = read_log(run.records_path).events
        assert events[: len(logged)] == logged
        assert [event.sequence for event in events] == list(range(len(events)))


class TestSettings:
    def test_the_upload_at_the_end_is_bounded(self, start):
        run = start(karn=KarnConfig(upload_timeout=123.0))
        assert (run.wandb.settings.finish_timeout, run.wandb.settings.finish_timeout_raises) == (123.0, True)

    @pytest.mark.parametrize("settings", [{"finish_timeout": 7.0}, wandb.Settings(finish_timeout=7.0)])
    def test_what_the_user_set_stays(self, start, settings):
        run = start(settings=settings)
        assert (run.wandb.settings.finish_timeout, run.wandb.settings.finish_timeout_raises) == (7.0, False)

    def test_other_settings_of_the_user_s_stay_beside_it(self, start):
        run = start(settings=wandb.Settings(run_notes="mine"))
        assert (run.wandb.settings.finish_timeout, run.wandb.notes) == (600.0, "mine")

    def test_what_was_not_sent_in_time_is_said_with_how_to_send_it(self, start, monkeypatch):
        run = start()
        folder = run.records_path.parent

        def too_slow(self, exit_code=None):
            raise TimeoutError("Timed out finishing run.")

        finish = wandb.Run.finish
        monkeypatch.setattr(wandb.Run, "finish", too_slow)
        with pytest.warns(KarnWarning) as caught:
            run.finish()
        said = (
            f"W&B had not taken everything after 600 seconds. All of it is kept in {folder}: `wandb sync {folder}` sends "
            f"everything, `karn-wandb import {run.records_path} --into {run.wandb.path}` sends the records."
        )
        assert [str(warning.message) for warning in caught] == [said]
        monkeypatch.setattr(wandb.Run, "finish", finish)
        run.wandb.finish()


UNREACHABLE = """
import sys, warnings
import wandb, karn_wandb

def start(run_id, resume):
    settings = wandb.Settings(base_url="http://127.0.0.1:9", init_timeout=2, api_key="x" * 40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = karn_wandb.init("tests", id=run_id, resume=resume, dir=sys.argv[1], mode="online", settings=settings)
    print(run.id == run_id, run.wandb.offline, run.current_epoch, *("under an id of its own" in str(w.message) for w in caught))
    run.log_epoch(val_accuracy=50.0)
    return run

start("gone", None).finish()
first = start("gone", "allow")
start("other", None).finish()
first.finish()
"""


@pytest.mark.slow
@pytest.mark.skipif(wandb.__version__ < "0.31", reason="older wandb waits in init for ever, whatever init_timeout says")
def test_a_run_with_an_id_goes_on_offline_under_it_when_w_and_b_cannot_be_reached(offline_folder, tmp_path):
    """Resumed too; where another run is open it gets an id of its own, for W&B's process is not let go of the first."""
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-c", UNREACHABLE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True True 1 False", "True True 2 False", "False True 1 True"]
