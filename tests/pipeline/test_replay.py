"""A log that is continued: clocks, stores, analytics and triggers are where they were."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder import Recorder

from karn_wandb.episode import EpisodeLog
from karn_wandb.errors import RecordError, UsageError
from karn_wandb.pipeline import KarnCollector, RecordLog, read_log, standing
from karn_wandb.records import (
    BatchMetrics,
    CounterfactualConfig,
    EpisodeOutcome,
    EpochSnapshot,
    FactoredAction,
    HealthReport,
    HostBaseline,
    KarnConfig,
    PolicySnapshot,
    PPOUpdate,
    SeedStage,
    SlotSnapshot,
    TelemetryEventType,
)

CONFIG = KarnConfig(mode="adaptive", escalation_epochs=2, trace_batches=4, counterfactual=CounterfactualConfig())
STAGES = ("DORMANT", "GERMINATED", "TRAINING", "BLENDING", "HOLDING", "FOSSILIZED")
EPOCH_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

losses = st.sampled_from([1.0, 1.1, 0.9, 50.0, math.nan])
epoch_plans = st.fixed_dictionaries(
    {
        "losses": st.lists(losses, min_size=1, max_size=12),
        "accuracy": st.sampled_from([50.0, 55.0, 30.0]),
        "stage": st.integers(0, 5),
        "gate": st.booleans(),
        "decides": st.booleans(),
        "updates": st.booleans(),
    }
)


def train(log, first, plans):
    """Log the epochs that plans say, as a loop would that was resumed from a checkpoint: all from the plan, none from before."""
    for epoch, plan in enumerate(plans, start=first):
        for index, loss in enumerate(plan["losses"]):
            log.log_batch(BatchMetrics(epoch, index, loss=loss, host_grad_norm=abs(loss)))
        if plan["decides"]:
            log.log_decision(PolicySnapshot((), FactoredAction("WAIT"), entropy=1.0, reward_total=0.5))
        if plan["updates"]:
            log.log_ppo_update(PPOUpdate(kl_divergence=0.01, entropy=1.0))
        stage = SeedStage[STAGES[plan["stage"]]]
        log.log_epoch(
            epoch=epoch, val_accuracy=plan["accuracy"], val_loss=1.0, slots={"early": SlotSnapshot("early", stage, alpha=0.5)}
        )
        if plan["gate"]:
            log.log_gate(slot_id="early", gate="G2", passed=False, message="not yet")


def started(path):
    return EpisodeLog(KarnCollector(CONFIG, RecordLog(path)), 3, 1, scoped=True)


def kept(path):
    """The log's events without the moments they were logged at."""
    return [replace(event, timestamp=EPOCH_MOMENT) for event in read_log(path).events]


def picture(log):
    """All that is known of an episode, as values."""
    state, analytics = log._state, log._state.analytics
    store = state.store
    return {
        "clocks": (vars(log.collector._clocks), state.tick_offset, log.current_epoch),
        "store": [list(getattr(store, name)) for name in ("epochs", "decisions", "stages", "gates", "dense_traces")],
        "analytics": (
            analytics.latest,
            analytics.best_accuracy,
            analytics.reward_total,
            analytics.accuracy_trajectory(),
            analytics.action_distribution(),
            analytics.claim_reading(),
        ),
        "health": repr(state.desk.report()),
        "dense": (state.desk.dense, state.desk.research),
        "lifecycle": vars(state.desk.lifecycle),
        "slots": repr(vars(state.desk.slots)),
    }


def abandon(log):
    """What SIGKILL leaves of a collector: all that was flushed, and no thread of it."""
    log.collector.catch_up()
    log.collector.log.flush()
    log.collector._analysis.close(10)


@settings(max_examples=40)
@given(st.lists(epoch_plans, min_size=2, max_size=8), st.data())
def test_a_run_that_was_split_is_as_one_that_was_not(tmp_path_factory, plans, data):
    """Split at any epoch, also when the last readings had not reached the disk: log and all that is known are equal."""
    folder, split = tmp_path_factory.mktemp("split"), data.draw(st.integers(1, len(plans) - 1))
    whole = started(folder / "whole")
    train(whole, 1, plans)
    first = started(folder / "split")
    train(first, 1, plans[:split])
    abandon(first)
    if data.draw(st.booleans()):
        lines = (folder / "split").read_bytes().splitlines(keepends=True)
        ends = [number for number, line in enumerate(lines) if b"EPOCH_COMPLETED" in line]
        gate = plans[split - 1]["gate"]  # logged behind the readings, so these had been written
        (folder / "split").write_bytes(b"".join(lines if gate else lines[: ends[-1] + 1]))
    second = started(folder / "split")
    assert repr(picture(second)["clocks"]) == repr(picture(first)["clocks"])
    train(second, split + 1, plans[split:])
    assert repr(picture(second)) == repr(picture(whole))
    assert whole.collector.close()
    assert second.collector.close()
    assert repr(kept(folder / "split")) == repr(kept(folder / "whole"))


@settings(max_examples=40)
@given(st.lists(epoch_plans, min_size=3, max_size=8), st.data())
def test_going_back_to_a_checkpoint_is_as_if_what_came_after_had_not_been_logged(tmp_path_factory, plans, data):
    """Explicitly or by logging an older epoch after resuming: analytics and triggers equal those of the straight run."""
    folder = tmp_path_factory.mktemp("back")
    reached = data.draw(st.integers(1, len(plans) - 1))
    checkpoint = data.draw(st.integers(0, reached - 1))
    whole = started(folder / "whole")
    train(whole, 1, plans)
    first = started(folder / "back")
    train(first, 1, [{**plan, "accuracy": 99.0} if number >= checkpoint else plan for number, plan in enumerate(plans[:reached])])
    abandon(first)
    second = started(folder / "back")
    if data.draw(st.booleans()):
        second.rewind(checkpoint)
        assert second.current_epoch == checkpoint + 1
    train(second, checkpoint + 1, plans[checkpoint:])
    clocks = picture(second).pop("clocks")
    assert clocks[2] == picture(whole)["clocks"][2] == len(plans) + 1
    known, expected = picture(second), picture(whole)
    for one in (known, expected):
        del one["clocks"]
    assert repr(known) == repr(expected)
    assert whole.collector.close()
    assert second.collector.close()
    assert repr(data_of(standing(read_log(folder / "back").events))) == repr(data_of(read_log(folder / "whole").events))


def data_of(events):
    """What was logged, without places in the log, clocks and the events that say that training went back."""
    return [event.data for event in events if event.event_type is not TelemetryEventType.CHECKPOINT_LOADED]


class TestContinued:
    def test_batches_decisions_and_updates_count_on(self, tmp_path):
        first = started(tmp_path / "log")
        plan = {"losses": [1.0, 1.0], "accuracy": 50.0, "stage": 0, "gate": False, "decides": True, "updates": True}
        train(first, 1, [plan, plan])
        abandon(first)
        second = started(tmp_path / "log")
        train(second, 3, [plan])
        second.collector.close()
        ticks = {}
        for event in read_log(tmp_path / "log").events:
            if isinstance(event.data, BatchMetrics | PolicySnapshot | PPOUpdate | EpochSnapshot):
                ticks.setdefault(type(event.data).__name__, []).append(event.tick)
        assert ticks == {
            "BatchMetrics": [0, 1, 2, 3, 4, 5],
            "PolicySnapshot": [0, 1, 2],
            "PPOUpdate": [0, 1, 2],
            "EpochSnapshot": [1, 2, 3],
        }

    def test_the_epoch_clock_of_the_next_episode_begins_where_the_environment_had_come(self, tmp_path):
        first = started(tmp_path / "log")
        for _ in range(3):
            first.log_epoch(val_accuracy=50.0)
        abandon(first)
        collector = KarnCollector(CONFIG, RecordLog(tmp_path / "log"))
        EpisodeLog(collector, 3, 2, scoped=True).log_epoch(val_accuracy=50.0)
        assert [e.tick for e in collector.log.events() if isinstance(e.data, EpochSnapshot)] == [1, 2, 3, 4]
        collector.close()

    def test_an_episode_that_failed_goes_on_and_one_that_finished_does_not(self, tmp_path):
        collector = KarnCollector(CONFIG, RecordLog(tmp_path / "log"))
        logs = [EpisodeLog(collector, env_id, scoped=True) for env_id in (0, 1)]
        for log, state in zip(logs, ("failed", "finished"), strict=True):
            log.log_epoch(val_accuracy=50.0)
            log.conclude(state=state)
        collector.close()
        again = KarnCollector(CONFIG, RecordLog(tmp_path / "log"))
        assert {key: outcome.state for key, outcome in again.concluded.items()} == {(1, 0, True): "finished"}
        log = EpisodeLog(again, 0, scoped=True)
        assert log.log_epoch(val_accuracy=60.0).epoch == 2
        assert log.conclude() == EpisodeOutcome(epochs=2, final_accuracy=60.0, best_accuracy=60.0)
        again.close()

    def test_a_sink_gets_what_comes_from_now_on_or_what_its_offset_says(self, tmp_path):
        first = KarnCollector(CONFIG, RecordLog(tmp_path / "log"), [Recorder("old")])
        EpisodeLog(first).log_epoch(val_accuracy=50.0)
        first.close()
        path = tmp_path / "log.old.offset"
        path.write_text("1\n")
        old, new = Recorder("old"), Recorder("new")
        second = KarnCollector(CONFIG, RecordLog(tmp_path / "log"), [old, new])
        EpisodeLog(second).log_epoch(val_accuracy=60.0)
        second.close()
        events = read_log(tmp_path / "log").events
        assert old.events == list(events[1:])
        assert new.events == [event for event in events if event.tick == 2]

    def test_the_baseline_is_known(self, tmp_path):
        first = KarnCollector(CONFIG, RecordLog(tmp_path / "log"))
        EpisodeLog(first).log_baseline(HostBaseline(2.3, host_only_trajectory={1: 40.0}))
        first.close()
        log = EpisodeLog(KarnCollector(CONFIG, RecordLog(tmp_path / "log")))
        log.log_epoch(val_accuracy=42.5)
        assert log._state.analytics.accuracy_delta() == 2.5
        log.collector.close()


class TestGoingBack:
    @pytest.fixture
    def log(self, tmp_path):
        made = started(tmp_path / "log")
        for _ in range(3):
            made.log_epoch(val_accuracy=50.0)
        yield made
        made.collector.close()

    def test_a_repeated_epoch_is_an_error_that_says_what_to_call(self, log):
        with pytest.raises(RecordError) as caught:
            log.log_epoch(epoch=2, val_accuracy=1.0)
        assert str(caught.value) == (
            "epochs must go up; got epoch 2 after epoch 3. Log each epoch once, or call rewind(epoch) when training goes on "
            "from a checkpoint; a new episode goes through run.episode(env_id, episode_idx)."
        )

    @pytest.mark.parametrize("epoch", [-1, 4])
    def test_only_to_an_epoch_that_was_logged(self, log, epoch):
        with pytest.raises(UsageError) as caught:
            log.rewind(epoch)
        assert str(caught.value) == (
            f"training can only go back to an epoch that was logged; got epoch {epoch} after epoch 3. "
            "Pass the epoch after which the checkpoint was saved."
        )

    def test_the_same_process_may_go_back_too(self, log):
        log.log_batch(BatchMetrics(4, 0, loss=1.0))
        log.rewind(1)
        assert log.current_epoch == 2
        log.log_epoch(val_accuracy=70.0)
        assert log._state.analytics.accuracy_trajectory() == [(1, 50.0, None), (2, 70.0, None)]
        assert [e.tick for e in log.collector.log.events() if isinstance(e.data, EpochSnapshot)] == [1, 2, 3, 2]

    def test_the_means_of_an_epoch_forget_the_batches_that_are_superseded(self, log):
        log.log_batch(BatchMetrics(4, 0, loss=100.0))
        log.rewind(3)
        log.log_batch(BatchMetrics(4, 0, loss=1.0))
        assert log.log_epoch(val_accuracy=50.0).host.train_loss == 1.0

    def test_a_health_report_counts_only_what_stands(self, log):
        log.log_batch(BatchMetrics(4, 0, loss=math.nan))
        log.rewind(3)
        log.log_epoch(val_accuracy=50.0)
        log.collector.catch_up()
        reports = [e.data for e in log.collector.log.events() if isinstance(e.data, HealthReport)]
        assert reports[-1].non_finite_values == 0
