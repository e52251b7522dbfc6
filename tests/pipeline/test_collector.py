"""The collector: validates, stamps and routes every event; trouble below it never reaches the training loop."""

import errno
import math
import os
import sys
import threading
import time
import warnings
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from recorder import Recorder
from strategies import event_sequences

from karn_wandb.episode import EpisodeLog
from karn_wandb.errors import KarnWarning, RecordError, UsageError
from karn_wandb.pipeline import KarnCollector, RecordLog, delivery, read_log
from karn_wandb.pipeline.desk import Desk
from karn_wandb.records import (
    BatchMetrics,
    ClaimReading,
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpochSnapshot,
    FactoredAction,
    GateEvaluationTrace,
    HealthReport,
    HostBaseline,
    HostSnapshot,
    KarnConfig,
    PolicySnapshot,
    PPOUpdate,
    SeedStage,
    SlotSnapshot,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)

Type = TelemetryEventType
READINGS = (Type.CLAIM_READ, Type.HEALTH_READ)


def epoch(number, accuracy=None, slots=()):
    snapshots = {name: SlotSnapshot(name, SeedStage.DORMANT) for name in slots}
    return EpochSnapshot(number, HostSnapshot(number, val_accuracy=accuracy), snapshots)


RECORDS = {
    Type.BATCH_COMPLETED: BatchMetrics(epoch=1, batch_idx=0, loss=0.5),
    Type.DECISION_MADE: PolicySnapshot((), FactoredAction("WAIT")),
    Type.PPO_UPDATE_COMPLETED: PPOUpdate(),
}


def emit(collector, event_type, data=None, env_id=0, episode_idx=0, *, scoped=True, **envelope):
    data = RECORDS.get(event_type, {}) if data is None else data
    place = {"env_id": env_id, "episode_idx": episode_idx, "scoped": scoped}
    return collector.emit(TelemetryEvent(event_type, data=data, **place, **envelope))


def emit_epoch(collector, number, accuracy=None, env_id=0, episode_idx=0):
    return emit(collector, Type.EPOCH_COMPLETED, epoch(number, accuracy), env_id, episode_idx)


def kept(collector, *types):
    collector.catch_up()
    return [event for event in collector.log.events() if event.event_type in types or not types]


def warned(call):
    """What a call warns about, in words."""
    with pytest.warns(KarnWarning) as caught:
        call()
    return [str(warning.message) for warning in caught]


@pytest.fixture
def collector(tmp_path):
    made = KarnCollector(log=RecordLog(tmp_path / "records.jsonl"))
    yield made
    made.close()


class TestClocks:
    @settings(max_examples=30)
    @given(event_sequences())
    def test_events_are_stamped_with_their_clock_and_nothing_else_is_changed(self, sequence):
        """The strategy stamps by its own count; given the events without stamps, the collector agrees."""
        collector, given_back = KarnCollector(), []
        with warnings.catch_warnings(action="ignore", category=KarnWarning):
            for event in sequence:
                tick = event.tick if isinstance(event.data, dict) else None
                given_back.append(collector.emit(replace(event, sequence=None, tick=tick, scoped=True)))
        events = kept(collector)
        assert [event.sequence for event in events] == list(range(len(events)))
        assert given_back == [events[event.sequence] for event in given_back]
        unplaced = [replace(event, sequence=None) for event in given_back]
        assert unplaced == [replace(event, sequence=None, scoped=True) for event in sequence]

    @pytest.mark.parametrize("event_type", RECORDS)
    def test_batches_decisions_and_updates_count_on_through_epochs_and_episodes(self, collector, event_type):
        ticks = []
        for episode_idx in range(3):
            for number in (1, 2):
                ticks.append(emit(collector, event_type, episode_idx=episode_idx).tick)
                emit_epoch(collector, number, episode_idx=episode_idx)
        assert ticks == [0, 1, 2, 3, 4, 5]

    def test_clocks_of_different_families_and_environments_do_not_touch(self, collector):
        for env_id in (0, 7):
            assert [emit(collector, Type.BATCH_COMPLETED, env_id=env_id).tick for _ in range(3)] == [0, 1, 2]
            assert emit(collector, Type.DECISION_MADE, env_id=env_id).tick == 0
            assert emit_epoch(collector, 1, env_id=env_id).tick == 1

    def test_the_epoch_clock_goes_on_across_the_episodes_of_an_environment(self, collector):
        ticks = [emit_epoch(collector, number, episode_idx=episode).tick for episode in (0, 1, 2) for number in (1, 2, 3)]
        assert ticks == list(range(1, 10))
        assert emit_epoch(collector, 1, env_id=1, episode_idx=5).tick == 1

    def test_the_run_s_own_clocks_are_apart_from_those_of_its_environments(self, collector):
        for scoped in (False, True):
            assert [emit(collector, Type.BATCH_COMPLETED, scoped=scoped).tick for _ in range(2)] == [0, 1]
            assert emit(collector, Type.EPOCH_COMPLETED, epoch(1), scoped=scoped).tick == 1
        assert collector.episodes == ((0, 0, False), (0, 0, True))

    def test_an_episode_s_clock_starts_when_it_is_logged_not_when_it_is_asked_for(self, collector):
        for episode_idx in (0, 1):
            collector.episode(0, episode_idx, scoped=True)
        assert [emit_epoch(collector, n, episode_idx=i).tick for i in (0, 1) for n in (1, 2)] == [1, 2, 3, 4]

    def test_everything_of_an_epoch_has_its_tick(self, collector):
        emit_epoch(collector, 1)
        emit_epoch(collector, 2)
        emit_epoch(collector, 1, episode_idx=1)
        change = StageTransition("a", SeedStage.DORMANT, SeedStage.GERMINATED, epoch=1)
        gate = GateEvaluationTrace("a", "G0", passed=True, epoch=1)
        for event_type, record in (
            (Type.SEED_GERMINATED, change),
            (Type.SEED_GATE_EVALUATED, gate),
            (Type.COUNTERFACTUAL_MATRIX_COMPUTED, CounterfactualMatrix(1, ())),
            (Type.DENSE_TRACE_RECORDED, DenseTrace("spike", 0, 1)),
        ):
            assert emit(collector, event_type, record, episode_idx=1).tick == 3
        assert emit(collector, Type.SEED_GERMINATED, replace(change, epoch=None), episode_idx=1).tick is None
        assert emit(collector, Type.MEMORY_WARNING, {"epoch": 9}, tick=4).tick == 4


class TestValidation:
    @pytest.mark.parametrize(("first", "second"), [(3, 3), (3, 2), (0, 0)])
    def test_epochs_must_go_up(self, collector, first, second):
        emit_epoch(collector, first)
        with pytest.raises(RecordError) as caught:
            emit_epoch(collector, second)
        assert str(caught.value) == (
            f"epochs must go up; got epoch {second} after epoch {first}. "
            "Log each epoch once, or call rewind(epoch) when training goes on from a checkpoint; "
            "a new episode goes through run.episode(env_id, episode_idx)."
        )
        assert len(kept(collector, Type.EPOCH_COMPLETED)) == 1

    def test_epoch_0_and_gaps_are_fine(self, collector):
        assert [emit_epoch(collector, number).tick for number in (0, 1, 5, 6)] == [0, 1, 5, 6]

    @pytest.mark.parametrize(
        ("event_type", "record"),
        [
            (Type.SEED_GERMINATED, StageTransition("lat", SeedStage.DORMANT, SeedStage.GERMINATED)),
            (Type.SEED_GATE_EVALUATED, GateEvaluationTrace("lat", "G0", passed=True)),
            (Type.COUNTERFACTUAL_MATRIX_COMPUTED, CounterfactualMatrix(1, (), slot_ids=("early", "lat"))),
            (Type.EPOCH_COMPLETED, epoch(1, slots=("early", "lat"))),
        ],
        ids=lambda value: getattr(value, "name", ""),
    )
    def test_an_unknown_slot_is_refused_and_nothing_of_its_record_is_kept(self, collector, event_type, record):
        emit(collector, Type.EPISODE_STARTED, CONTEXT)
        before = len(kept(collector))
        with pytest.raises(RecordError) as caught:
            emit(collector, event_type, record)
        assert str(caught.value) == (
            "there is no slot 'lat'; got the slots are early, late. "
            "Declare it in the episode's slot_config, or attach the model that has it."
        )
        assert len(kept(collector)) == before
        assert collector.epoch_snapshot(scoped=True) is None
        emit_epoch(collector, 1)  # the refused epoch does not count

    def test_slots_are_known_per_episode_and_any_is_fine_where_none_is_declared(self, collector):
        emit(collector, Type.EPISODE_STARTED, CONTEXT)
        assert emit(collector, Type.EPOCH_COMPLETED, epoch(1, slots=("other",)), env_id=1).tick == 1

    def test_nothing_is_taken_after_close(self, collector):
        collector.close()
        with pytest.raises(UsageError) as caught:
            emit_epoch(collector, 1)
        assert str(caught.value) == "nothing can be logged after finish; got EPOCH_COMPLETED. Call finish() last."
        assert collector.close()


CONTEXT = EpisodeContext(
    episode_id="e",
    timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    git_commit="",
    base_seed=0,
    torch_seed=0,
    numpy_seed=0,
    host_architecture="cnn",
    host_params=1,
    slot_config={"early": 64, "late": 32},
    max_epochs=2,
    task_type="lm",
    hyperparameters={},
)


class TestReadings:
    def test_after_each_epoch_claim_and_health_are_read(self, collector):
        emit(collector, Type.BASELINE_RECORDED, HostBaseline(2.3, host_only_trajectory={1: 40.0}))
        emit(collector, Type.EPOCH_COMPLETED, epoch(1, 42.5), slot_id="a", message="m", severity="error")
        started, snapshot, claim, health = kept(collector)
        assert started.event_type is Type.BASELINE_RECORDED
        assert claim.data == ClaimReading(1, accuracy=42.5, baseline_accuracy=40.0, accuracy_delta=2.5)
        assert health.data == HealthReport(1)
        for reading, event_type in ((claim, Type.CLAIM_READ), (health, Type.HEALTH_READ)):
            assert reading.event_type is event_type
            assert (reading.tick, reading.scoped, reading.timestamp) == (1, True, snapshot.timestamp)
            assert (reading.slot_id, reading.message, reading.severity) == ("", "", "info")

    def test_without_a_host_only_run_there_is_no_delta(self, collector):
        emit_epoch(collector, 1, 42.5)
        (claim,) = kept(collector, Type.CLAIM_READ)
        assert claim.data == ClaimReading(1, accuracy=42.5)

    def test_health_counts_what_is_not_finite_in_its_own_episode(self, collector):
        emit(collector, Type.BATCH_COMPLETED, BatchMetrics(1, 0, loss=math.nan, seed_grad_norms={"a": math.inf}))
        emit(collector, Type.BATCH_COMPLETED, BatchMetrics(1, 0, loss=math.nan), env_id=1)
        emit_epoch(collector, 1)
        assert kept(collector, Type.HEALTH_READ)[0].data.non_finite_values == 2

    def test_the_newest_snapshot_of_each_episode_is_at_hand(self, collector):
        emit_epoch(collector, 1)
        emit_epoch(collector, 4, env_id=1)
        emit(collector, Type.EPOCH_COMPLETED, epoch(7), scoped=False)
        assert collector.epoch_snapshot().epoch == 7
        assert collector.epoch_snapshot(0, scoped=True).epoch == 1
        assert collector.epoch_snapshot(1, scoped=True).epoch == 4
        assert collector.epoch_snapshot(2) is None

    def test_accuracies_that_look_like_fractions_draw_one_warning_a_run(self, collector):
        texts = warned(lambda: [emit_epoch(collector, n, 0.2 * n, env_id=env_id) for n in range(1, 6) for env_id in (0, 1)])
        doubt = "all accuracies so far are at or below 1.0 (highest 0.6): fractions instead of percent?"
        assert texts == [f"{doubt} Accuracies are logged as 0 to 100."]

    def test_a_warning_that_is_an_error_comes_after_the_record_is_kept(self, collector):
        for number in (1, 2, 3):
            emit_epoch(collector, number, 0.5)
        with pytest.raises(KarnWarning):
            emit_epoch(collector, 4, 0.5)
        assert [event.tick for event in kept(collector, Type.EPOCH_COMPLETED)] == [1, 2, 3, 4]


class TestSinks:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch):
        monkeypatch.setattr(delivery, "BACKOFF_SECONDS", (0.001, 0.001))

    def test_a_sink_gets_what_is_kept_also_one_that_comes_late(self, collector):
        first, late = Recorder("first"), Recorder("late")
        collector.follow(first)
        for number in (1, 2):
            emit_epoch(collector, number)
        collector.follow(late)
        emit_epoch(collector, 3)
        assert collector.close()
        assert first.events == late.events == list(read_log(collector.log.path).events)
        assert first.closed
        assert late.closed

    def test_a_failing_sink_is_said_once_and_shown_and_training_goes_on(self, collector):
        collector.follow(Recorder("bad", lambda _: ValueError("no")))
        emit(collector, Type.MEMORY_WARNING)
        collector.flush()
        (follower,) = collector.followers
        assert not follower.drain(10)
        assert warned(lambda: [emit_epoch(collector, number) for number in (1, 2, 3)]) == [
            f"the bad sink failed: ValueError('no'). What it missed is kept in {collector.log.path}. Training goes on."
        ]
        assert not collector.close()
        assert kept(collector, Type.HEALTH_READ)[-1].data.alerts == ("sink bad failed: no",)
        assert kept(collector, Type.HEALTH_READ)[-1].data.sink_lag > 3
        told = [event.event_type for event in read_log(collector.log.path).events]
        first = [Type.EPOCH_COMPLETED, *READINGS, Type.ALERT_RAISED]
        assert told == [Type.MEMORY_WARNING, *first, *[Type.EPOCH_COMPLETED, *READINGS] * 2]

    def test_a_sink_that_fails_at_the_very_end_is_said_too(self, collector):
        class Unclosable(Recorder):
            def close(self):
                raise OSError("no room")

        collector.follow(Unclosable())
        emit_epoch(collector, 1)
        assert warned(collector.close) == [
            f"the recorder sink failed: OSError('no room'). What it missed is kept in {collector.log.path}."
        ]

    def test_without_a_record_log_what_a_sink_missed_is_lost_and_said(self):
        collector = KarnCollector(sinks=[Recorder("bad", lambda _: ValueError("no"))])
        emit(collector, Type.MEMORY_WARNING)
        assert warned(collector.close) == ["the bad sink failed: ValueError('no'). What it missed is lost."]

    def test_strict_raises_a_sink_s_failure_after_the_epoch_is_kept(self, tmp_path):
        collector = KarnCollector(KarnConfig(strict=True), RecordLog(tmp_path / "records.jsonl"))
        collector.follow(Recorder("bad", lambda _: ValueError("no")))
        emit(collector, Type.MEMORY_WARNING)
        collector.flush()
        assert not collector.followers[0].drain(10)
        with pytest.raises(ValueError, match="no"):
            emit_epoch(collector, 1)
        with pytest.raises(ValueError, match="no"):
            collector.close()
        kinds = [event.event_type for event in read_log(collector.log.path).events]
        assert kinds == [Type.MEMORY_WARNING, Type.EPOCH_COMPLETED, *READINGS, Type.ALERT_RAISED]
        assert collector.closed

    def test_sinks_that_hang_share_one_timeout_and_the_others_are_served(self, tmp_path):
        stuck, sound = [Recorder(f"stuck{n}") for n in range(3)], Recorder("sound")
        for sink in stuck:
            sink.gate.clear()
        collector = KarnCollector(KarnConfig(finish_timeout=0.5), RecordLog(tmp_path / "log"), [*stuck, sound])
        started = time.monotonic()
        emit_epoch(collector, 1)
        assert time.monotonic() - started < 0.4
        kept = f"failed: TimeoutError('it did not get on for 0.5 seconds'). What it missed is kept in {collector.log.path}."
        assert warned(collector.close) == [" ".join(f"the stuck{n} sink {kept}" for n in range(3))]
        assert time.monotonic() - started < 2.5  # one after the other they would take 3 times as long
        assert sound.closed
        assert len(sound.events) == 3
        for sink in stuck:
            sink.gate.set()

    def test_a_sink_that_is_slow_but_gets_on_is_waited_for(self, tmp_path):
        slow = Recorder(fails=lambda _: time.sleep(0.06))
        collector = KarnCollector(KarnConfig(finish_timeout=0.4), RecordLog(tmp_path / "log"), [slow])
        for number in range(1, 5):
            emit_epoch(collector, number)
        assert collector.close()
        assert len(slow.events) == 12
        assert slow.closed

    def test_a_sink_whose_end_takes_long_is_waited_for_as_long_as_it_gets_on(self, tmp_path):
        class Thorough(Recorder):
            def close(self):
                for _ in range(8):
                    time.sleep(0.1)
                    yield
                super().close()

        collector = KarnCollector(KarnConfig(finish_timeout=0.4), RecordLog(tmp_path / "log"), [thorough := Thorough()])
        emit_epoch(collector, 1)
        assert collector.close()
        assert thorough.closed


class TestGroups:
    def test_events_are_taken_over_and_stamped_in_order_and_their_readings_come_after_all_of_them(self, collector):
        group = [
            TelemetryEvent(Type.BATCH_COMPLETED, data=RECORDS[Type.BATCH_COMPLETED]),
            TelemetryEvent(Type.EPOCH_COMPLETED, data=epoch(1)),
            TelemetryEvent(Type.MEMORY_WARNING),
        ]
        collector.emit_all(group)
        assert [(event.sequence, event.tick) for event in group] == [(0, 0), (1, 1), (2, None)]
        assert [event.event_type for event in kept(collector)] == [event.event_type for event in group] + list(READINGS)
        assert kept(collector)[:3] == group

    def test_those_ahead_of_a_bad_one_are_kept(self, collector):
        group = [TelemetryEvent(Type.EPOCH_COMPLETED, data=epoch(number)) for number in (1, 2, 2, 3)]
        with pytest.raises(RecordError, match="epochs must go up"):
            collector.emit_all(group)
        assert [event.data.epoch for event in kept(collector, Type.EPOCH_COMPLETED)] == [1, 2]
        assert [event.sequence for event in group] == [0, 1, None, None]

    def test_an_emitted_event_is_left_as_it_is(self, collector):
        event = TelemetryEvent(Type.MEMORY_WARNING, data={"bytes": 3})
        taken = [collector.emit(event), collector.emit(event)]
        assert event.sequence is None
        assert [replace(one, sequence=None) for one in taken] == [event] * 2

    def test_nothing_is_a_group_too(self, collector):
        collector.emit_all(())
        assert kept(collector) == []


@pytest.fixture(params=["file", "memory"])
def either(request, tmp_path):
    """A collector whose analysis follows the log, and one whose analysis runs at once."""
    made = KarnCollector(log=RecordLog(tmp_path / "records.jsonl" if request.param == "file" else None))
    yield made
    made.close()


class TestAnalysis:
    def test_readings_of_an_event_come_before_the_next_event(self, either):
        for number in range(1, 30):
            emit_epoch(either, number)
        assert [event.event_type for event in kept(either)] == [Type.EPOCH_COMPLETED, *READINGS] * 29

    def test_what_is_asked_for_is_up_to_date(self, either, monkeypatch):
        observe = Desk.observe
        monkeypatch.setattr(Desk, "observe", lambda desk, record: (time.sleep(0.01), observe(desk, record))[1])
        state = either.episode(scoped=True)
        for number in (1, 2, 3):
            emit_epoch(either, number, accuracy=10.0 * number)
            assert either.epoch_snapshot(scoped=True).epoch == number
            assert state.analytics.best_accuracy == 10.0 * number
            assert either.health(scoped=True).epoch == number

    def test_a_log_that_is_continued_is_not_analysed_again(self, tmp_path):
        for number in (1, 2):
            collector = KarnCollector(log=RecordLog(tmp_path / "log"))
            collector.episode(scoped=True)
            emit_epoch(collector, number)
            collector.close()
        events = read_log(tmp_path / "log").events
        assert [(event.event_type, event.tick) for event in events] == [
            (kind, number) for number in (1, 2) for kind in (Type.EPOCH_COMPLETED, *READINGS)
        ]

    def test_a_failure_is_said_once_and_records_are_kept_and_stay_at_hand(self, either, broken):
        broken.append("observe")
        told = warned(lambda: [emit_epoch(either, number, 10.0 * number) for number in range(1, 5)] + [either.close()])
        lost = "Claims, health, triggers and dense traces end here; what is logged is kept."
        assert told == [f"live analysis failed: ZeroDivisionError('observe'). {lost} Training goes on."]
        assert [event.tick for event in kept(either, Type.EPOCH_COMPLETED)] == [1, 2, 3, 4]
        assert kept(either, *READINGS) == []
        assert either.epoch_snapshot(scoped=True).epoch == 4
        assert either.episode(scoped=True).analytics.best_accuracy == 40.0

    def test_a_failure_at_an_episode_s_end_raises_nothing_there(self, either, broken):
        emit_epoch(either, 1)
        broken.append("close")
        either.settle(scoped=True)
        with pytest.warns(KarnWarning, match="live analysis failed"):
            emit_epoch(either, 2)
        assert either.close()
        assert [event.tick for event in kept(either, Type.EPOCH_COMPLETED)] == [1, 2]

    def test_a_failure_that_is_seen_at_the_very_end_is_said_too(self, either, broken):
        emit_epoch(either, 1)
        broken.append("close")
        (told,) = warned(either.close)
        assert told.startswith("live analysis failed: ZeroDivisionError('close').")
        assert not told.endswith("Training goes on.")

    def test_strict_raises_it_after_the_record_is_kept(self, tmp_path, broken):
        broken.append("observe")
        collector = KarnCollector(KarnConfig(strict=True), RecordLog(tmp_path / "log"))
        with pytest.raises(ZeroDivisionError, match="observe"):
            for number in (1, 2):  # the failure is seen with the next event at the latest
                emit_epoch(collector, number)
        emit_epoch(collector, 3)  # raised once, it stops nobody who goes on
        with pytest.raises(ZeroDivisionError, match="observe"):
            collector.close()
        assert collector.closed
        kinds = [event.event_type for event in read_log(tmp_path / "log").events]
        assert set(kinds) == {Type.EPOCH_COMPLETED}

    def test_an_outcome_after_a_failure_is_that_of_all_epochs(self, either, broken):
        log = EpisodeLog(either)
        log.log_epoch(val_accuracy=10.0)
        either.catch_up()
        broken.append("observe")
        (told,) = warned(lambda: [log.log_epoch(val_accuracy=accuracy) for accuracy in (30.0, 20.0)] + [log.conclude()])
        assert told.startswith("live analysis failed")
        outcome = log.conclude()
        assert (outcome.epochs, outcome.final_accuracy, outcome.best_accuracy) == (3, 20.0, 30.0)

    @pytest.fixture
    def broken(self, monkeypatch):
        """Names of the methods of `Desk` that raise."""
        names = []

        def breakable(name):
            method = getattr(Desk, name)

            def maybe(desk, *arguments):
                if name in names:
                    raise ZeroDivisionError(name)
                return method(desk, *arguments)

            return maybe

        for name in ("observe", "close"):
            monkeypatch.setattr(Desk, name, breakable(name))
        return names


class TestEndOfAnEpisode:
    @pytest.fixture
    def traced(self, either):
        """An episode with a dense trace that waits for more batches."""
        emit(either, Type.SEED_GATE_EVALUATED, GateEvaluationTrace("a", "G1", passed=False, epoch=0))
        emit(either, Type.BATCH_COMPLETED)
        assert kept(either, Type.DENSE_TRACE_RECORDED) == []
        return either

    def test_what_waited_for_more_of_it_is_kept_in_its_name(self, traced):
        traced.settle(scoped=True)
        (trace,) = kept(traced, Type.DENSE_TRACE_RECORDED)
        assert (trace.data.trigger_reason, trace.scoped, trace.env_id) == ("gate_failure", True, 0)
        assert trace.data.batch_metrics == (RECORDS[Type.BATCH_COMPLETED],)
        traced.settle(scoped=True)
        assert len(kept(traced, Type.DENSE_TRACE_RECORDED)) == 1

    def test_closing_settles_those_that_were_not(self, traced):
        assert traced.close()
        assert len(kept(traced, Type.DENSE_TRACE_RECORDED)) == 1

    def test_a_released_episode_is_forgotten_and_the_clocks_go_on(self, either):
        for episode_idx in range(3):
            for number in (1, 2):
                emit_epoch(either, number, episode_idx=episode_idx)
            either.release(0, episode_idx, scoped=True)
        assert (either._episodes, either._desks) == ({}, {})
        assert either.episodes == ((0, 0, True), (0, 1, True), (0, 2, True))
        assert [event.tick for event in kept(either, Type.EPOCH_COMPLETED)] == [1, 2, 3, 4, 5, 6]

    def test_its_last_readings_are_kept_before_it_is_forgotten(self, either):
        emit_epoch(either, 1)
        either.release(0, 0, scoped=True)
        assert [event.event_type for event in kept(either)] == [Type.EPOCH_COMPLETED, *READINGS]

    def test_what_was_never_there_is_forgotten_at_once(self, either):
        either.release(7, 7)
        assert either.episodes == ()


class TestFullDisk:
    @pytest.fixture
    def full(self, monkeypatch):
        """A disk that is full as long as the list is not empty."""
        full, pwrite = [], os.pwrite

        def refuse_when_full(file, data, offset):
            if full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return pwrite(file, data, offset)

        monkeypatch.setattr(os, "pwrite", refuse_when_full)
        return full

    def test_it_is_said_once_and_nothing_is_lost_when_there_is_room_again(self, collector, full):
        sink = Recorder()
        collector.follow(sink)
        emit_epoch(collector, 1)
        full.append(True)
        texts = warned(lambda: [emit_epoch(collector, number) for number in (2, 3, 4)])
        failed = "the record log failed: OSError(28, 'No space left on device')."
        assert texts == [f"{failed} Records wait in memory until the disk takes them. Training goes on."]
        full.clear()
        emit_epoch(collector, 5)
        assert collector.close()
        assert list(read_log(collector.log.path).events) == sink.events
        assert [e.tick for e in sink.events if e.event_type is Type.EPOCH_COMPLETED] == [1, 2, 3, 4, 5]
        assert collector.dropped_records == 0

    def test_what_never_reached_the_disk_is_counted_and_said(self, collector, full):
        full.append(True)
        with pytest.warns(KarnWarning, match="the record log failed"):
            emit_epoch(collector, 1)
        assert warned(collector.close) == [
            "the last write to the record log failed: OSError(28, 'No space left on device'). 3 records could not be kept."
        ]
        assert collector.dropped_records == collector.health().dropped_records == 3

    def test_strict_raises_it(self, tmp_path, full):
        collector = KarnCollector(KarnConfig(strict=True), RecordLog(tmp_path / "records.jsonl"))
        full.append(True)
        with pytest.raises(OSError, match="No space left on device"):
            emit_epoch(collector, 1)
        full.clear()
        assert collector.close()
        assert len(read_log(collector.log.path).events) == 3


def test_emitting_from_many_threads_gives_each_event_a_place_of_its_own(collector):
    sink = Recorder()
    collector.follow(sink)
    errors = []

    def work(env_id):
        try:
            for number in range(1, 21):
                emit(collector, Type.BATCH_COMPLETED, env_id=env_id)
                emit_epoch(collector, number, env_id=env_id)
        except Exception as error:  # noqa: BLE001 -- shown by the assertion below
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(env_id,)) for env_id in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert collector.close()
    events = read_log(collector.log.path).events
    assert [event.sequence for event in events] == list(range(4 * 20 * 4))
    assert sink.events == list(events)
    for env_id in range(4):
        mine = [event for event in events if event.env_id == env_id]
        assert [e.tick for e in mine if e.event_type is Type.BATCH_COMPLETED] == list(range(20))
        assert [e.event_type for e in mine] == [Type.BATCH_COMPLETED, Type.EPOCH_COMPLETED, *READINGS] * 20
