"""The public test double: the real pipeline, in memory."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import torch
import wandb
from finished import read_finished
from torch import nn

import karn_wandb
from karn_wandb import EpochSnapshot, KarnConfig, SlotSnapshot, active
from karn_wandb.errors import KarnWarning, RecordError, TransitionError, UsageError
from karn_wandb.records import Alert, BatchMetrics, ClaimReading, DenseTrace, Record, StageTransition
from karn_wandb.run import Run
from karn_wandb.sinks import ConsoleOutput
from karn_wandb.testing import RecordedRun, recorded, recorded_inits
from karn_wandb.testing.fixtures import karn_runs  # noqa: F401 -- a fixture

pytestmark = pytest.mark.offline


def train(run: Run, epochs: int = 3) -> None:
    """A training loop as users have it."""
    for epoch in range(1, epochs + 1):
        for batch in range(2):
            run.log_batch(loss=torch.tensor(1.0 / (epoch + batch)), accuracy=50.0)
        run.log_epoch(val_loss=1.0 / epoch, val_accuracy=50.0 + epoch)


def program() -> str:
    """A program that starts its run itself."""
    with karn_wandb.init(project="mine", config={"lr": 0.1}, mode="offline") as run:
        train(run)
        return run.id


class TestWhatWasLogged:
    def test_metrics_are_the_values_of_a_w_and_b_key_with_its_clock(self):
        with recorded() as run:
            train(run)
        assert run.metrics("host/val_accuracy") == ((1, 51.0), (2, 52.0), (3, 53.0))
        assert [point.clock for point in run.metrics("batch/loss")] == list(range(6))
        assert run.metrics("host/val_loss")[0].value == 1.0
        assert run.metrics("host/train_loss")[0] == (1, 0.75)

    def test_records_come_by_class_and_in_order(self):
        with recorded() as run:
            train(run)
            run.log_stage("early", "DORMANT", "GERMINATED", blueprint_id="norm")
        (change,) = run.records(StageTransition)
        assert (change.slot_id, change.blueprint_id, change.epoch) == ("early", "norm", 3)
        assert [epoch.epoch for epoch in run.epochs] == [1, 2, 3]
        assert [batch.batch_idx for batch in run.records(BatchMetrics)] == [0, 1] * 3
        assert [event.sequence for event in run.events] == list(range(len(run.events)))
        assert len(run.records(Record)) == len(run.events)

    def test_it_can_be_asked_while_it_is_open(self):
        with recorded() as run:
            run.log_epoch(val_accuracy=50.0)
            assert run.metrics("host/val_accuracy") == ((1, 50.0),)
            assert (run.outcome, run.finished) == (None, False)
        assert (run.outcome.final_accuracy, run.finished) == (50.0, True)

    def test_episodes_have_keys_and_clocks_of_their_own(self):
        with recorded() as run:
            for episode_idx in range(2):
                log = run.episode(1, episode_idx)
                log.log_epoch(val_accuracy=60.0 + episode_idx)
        assert run.metrics("env/1/host/val_accuracy") == ((1, 60.0), (2, 61.0))
        assert [epoch.host.val_accuracy for epoch in run.records(EpochSnapshot, env_id=1, episode_idx=1)] == [61.0]

    def test_config_and_context_are_what_w_and_b_would_have_got(self):
        episode = karn_wandb.capture_episode(base_seed=7, hyperparameters={"momentum": 0.9})
        with recorded(config={"lr": 0.1}, episode=episode) as run:
            pass
        assert (run.config["lr"], run.config["karn"]["mode"], run.config["karn_schema"]) == (0.1, "standard", 1)
        assert run.config["episode"]["hyperparameters"] == {"momentum": 0.9}
        assert run.context.base_seed == 7

    def test_live_analysis_runs_and_its_readings_are_there(self):
        with recorded(karn=KarnConfig(trace_batches=2)) as run:
            run.log_baseline(initial_loss=1.0, final_host_only_accuracy=50.0, final_host_only_loss=1.0)
            for epoch, loss in enumerate([1.0] * 6 + [100.0] + [1.0] * 3, start=1):
                for _ in range(8):
                    run.log_batch(loss=loss)
                run.log_epoch(val_accuracy=55.0 if epoch != 7 else 20.0)
        assert run.records(ClaimReading)[-1].accuracy_delta == 5.0
        assert run.metrics("claim/accuracy_delta")[-1] == (10, 5.0)
        assert "accuracy_drop" in {alert.kind for alert in run.alerts} | {t.trigger_reason for t in run.records(DenseTrace)}

    def test_tables_are_as_at_the_end_of_a_run(self):
        with recorded() as run:
            run.log_gate(slot_id="early", gate="G0", passed=True, checks_passed=("slot_free",))
        (row,) = run.table("tables/gates")
        assert (row["slot"], row["gate"], row["passed"], row["env_id"]) == ("early", "G0", True, 0)

    def test_the_code_s_own_w_and_b_rows_are_kept_apart(self):
        with recorded() as run:
            run.wandb.log({"mine/a": 1}, commit=False)
            run.wandb.log({"mine/b": 2})
            wandb.log({"mine/c": 3}, step=40)
            run.log_epoch(val_accuracy=50.0)
        assert run.user_rows == ({"mine/a": 1, "mine/b": 2}, {"user_step": 40, "mine/c": 3})
        assert (run.metrics("mine/a"), run.metrics("mine/c")) == (((None, 1),), ((40, 3),))
        assert run.summary["mine/b"] == 2
        assert {"mine/a", "host/val_accuracy", "epoch"} <= set(run.keys)

    def test_more_events_are_kept_than_the_pipeline_itself_remembers(self):
        with recorded() as run:
            for _ in range(5000):
                run.log_batch(loss=1.0)
        assert len(run.records(BatchMetrics)) == 5000


class TestItIsTheRealPipeline:
    def test_bad_values_raise_as_ever(self):
        with recorded() as run:
            with pytest.raises(RecordError, match="Accuracies are percentages"):
                run.log_epoch(val_accuracy=101.0)
            run.log_stage("early", "DORMANT", "GERMINATED")
            with pytest.raises(TransitionError, match="cannot go from GERMINATED to HOLDING"):
                run.log_stage("early", "GERMINATED", "HOLDING")
            with pytest.raises(RecordError, match="epochs must go up"):
                run.log_epoch(epoch=1), run.log_epoch(epoch=1)

    def test_an_attached_model_is_measured(self):
        model = nn.Linear(3, 2)
        with recorded() as run:
            run.attach(model)
            model(torch.ones(1, 3)).sum().backward()
            run.log_batch(loss=1.0)
            run.log_epoch(val_accuracy=50.0)
        assert run.metrics("params/host") == ((1, 8),)
        assert run.metrics("grad/host_norm")[0].value == pytest.approx(8**0.5)
        assert run.context.host_architecture == "Linear"

    def test_it_gives_the_rows_that_a_real_run_gives(self, offline_folder, tmp_path):
        """But for what differs between any two runs: identity, time, and how far the sink had come."""

        def logged(run):
            train(run)
            run.log_epoch(slots={"early": SlotSnapshot("early", "GERMINATED", alpha=0.0)}, val_accuracy=60.0)

        with recorded() as double:
            logged(double)
        with karn_wandb.init(project="tests", dir=tmp_path, mode="offline") as real:
            logged(real)
        read_finished(real.records_path.parent / f"run-{real.id}.wandb")
        rows = list(karn_wandb.load_experiment(tmp_path).records(real.id, via="wandb"))
        told = [e.data for e in double.events]
        kinds = [type(record).__name__ for record in told]
        assert [type(record).__name__ for record in rows] == kinds
        for mine, theirs in zip(told, rows, strict=True):
            if type(mine).__name__ not in ("RunInfo", "EpisodeContext", "HealthReport"):
                assert mine == theirs

    def test_an_exception_marks_it_as_failed_and_goes_on(self):
        with pytest.raises(ZeroDivisionError), recorded() as run:
            1 / 0  # noqa: B018
        assert (run.outcome.state, run.outcome.reason) == ("failed", "ZeroDivisionError: division by zero")

    def test_nothing_is_written_and_nobody_is_called(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
        threads = threading.active_count()
        with recorded(config={"lr": 0.1}, sinks=[ConsoleOutput()]) as run:
            train(run)
            assert threading.active_count() == threads
        assert run.records_path is None
        assert list(tmp_path.iterdir()) == []


class TestCodeThatCallsInit:
    def test_gets_recorded_runs(self):
        with recorded_inits() as runs:
            run_id = program()
            program()
        assert [run.metrics("host/val_accuracy")[-1].value for run in runs] == [53.0, 53.0]
        assert (runs[0].id, runs[0].config["lr"]) == (run_id, 0.1)
        assert all(isinstance(run, RecordedRun) and run.finished for run in runs)

    def test_the_fixture_gives_the_runs(self, karn_runs):  # noqa: F811 -- a fixture
        program()
        (run,) = karn_runs
        assert run.outcome.epochs == 3

    def test_on_other_threads_too(self):
        with recorded_inits() as runs:
            thread = threading.Thread(target=program)
            thread.start()
            thread.join()
        assert len(runs) == 1

    def test_a_run_that_was_not_finished_is_told_apart(self):
        with recorded_inits() as runs:
            run = karn_wandb.init(project="forgotten")
            run.log_batch(loss=1.0)
        assert (runs[0].finished, runs[0].outcome) == (False, None)
        assert [batch.loss for batch in runs[0].records(BatchMetrics)] == [1.0]
        with pytest.raises(UsageError, match="nothing can be logged after finish"):
            run.log_epoch(val_accuracy=1.0)

    def test_afterwards_everything_is_as_before(self, monkeypatch):
        monkeypatch.setattr(active, "_active", [])
        before = karn_wandb.configure()
        with recorded_inits() as runs:
            karn_wandb.init(project="p")
            assert karn_wandb.get_collector() is runs[0].collector
            with recorded() as inner:
                assert karn_wandb.get_collector() is inner.collector
            assert karn_wandb.get_collector() is runs[0].collector
        assert karn_wandb.get_collector() is before
        assert karn_wandb.start.run_kinds == [Run]
        assert wandb.run is None

    def test_code_that_emits_from_elsewhere_is_recorded(self):
        with recorded() as run:
            karn_wandb.emit(karn_wandb.TelemetryEvent("MEMORY_WARNING", data={"free": 3}))
        assert [e.data for e in run.events if e.event_type.name == "MEMORY_WARNING"] == [{"free": 3}]


class TestErrorsTeach:
    def test_a_key_that_nothing_logs(self):
        with recorded() as run:
            train(run)
        with pytest.raises(UsageError) as caught:
            run.metrics("host/val_acuracy")
        assert str(caught.value) == (
            "nothing was logged under the key; got 'host/val_acuracy'. "
            "There is host/val_accuracy, host/train_accuracy, host/val_loss."
        )

    def test_a_key_of_ours_that_was_not_logged_is_empty(self):
        with recorded() as run:
            train(run)
        for key in ("claim/accuracy_delta", "slot/early/alpha", "env/3/host/val_loss", "ppo_update", "interaction/a__b"):
            assert run.metrics(key) == ()

    def test_a_table_that_is_none(self):
        with recorded() as run, pytest.raises(UsageError) as caught:
            run.table("gates")
        assert str(caught.value).startswith(
            "there is no such table; got 'gates'. There is tables/counterfactual, tables/shapley, "
        )

    def test_records_of_what_is_no_record(self):
        with recorded() as run, pytest.raises(UsageError) as caught:
            run.records("EpochSnapshot")
        assert str(caught.value) == "records() takes a class of records; got 'EpochSnapshot'. Pass EpochSnapshot, for example."


def test_keys_in_the_configuration_are_not_recorded_either():
    with (
        pytest.warns(KarnWarning, match=r"values that look like keys .*: api_key\."),
        recorded(config={"api_key": "tr0ub4dor"}) as run,
    ):
        run.log_epoch(val_accuracy=50.0)
    assert run.config["api_key"] == "[removed: looks like a key]"
    assert "tr0ub4dor" not in str([event.to_plain() for event in run.events])


def test_alerts_are_records(tmp_path: Path):
    with recorded() as run:
        run.emit(karn_wandb.TelemetryEvent("ALERT_RAISED", data=Alert("mine", "look", 1, "info")))
    assert [alert.kind for alert in run.alerts] == ["mine"]


def test_keys_in_a_context_that_is_emitted_from_elsewhere_are_not_recorded_either():
    context = karn_wandb.capture_episode(hyperparameters={"password": "tr0ub4dor"})
    with recorded() as run:
        with pytest.warns(KarnWarning, match=r"removed from the configuration: password\."):
            karn_wandb.emit(karn_wandb.TelemetryEvent("EPISODE_STARTED", data=context))
        run.log_context(context)  # said once
    assert [kept.hyperparameters for kept in run.records(karn_wandb.EpisodeContext)[1:]] == [
        {"password": "[removed: looks like a key]"},
        {"password": "[removed: looks like a key]"},
    ]
