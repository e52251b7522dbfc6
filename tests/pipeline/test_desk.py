"""The desk: what follows from each record, in which order, and what is wanted of the coming batches."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.pipeline.desk import READINGS, Analyst, Condition, Desk, key_of
from karn_wandb.records import (
    Alert,
    BatchMetrics,
    ClaimReading,
    DenseTrace,
    DenseTraceTrigger,
    EpochSnapshot,
    GateEvaluationTrace,
    HealthReport,
    HostBaseline,
    HostSnapshot,
    KarnConfig,
    TelemetryEvent,
)

SOUND = Condition(dropped_records=0, sink_lag=0, failures=())


def desk(condition=SOUND, **settings):
    return Desk(KarnConfig(**settings), lambda: condition)


def batch(index, epoch=1, loss=1.0):
    return BatchMetrics(epoch, index, loss)


def epoch(number, accuracy=50.0):
    return EpochSnapshot(number, HostSnapshot(number, val_accuracy=accuracy))


def failed_gate(number=0):
    return GateEvaluationTrace("a", "G1", passed=False, epoch=number, message="too weak")


def readings(at, *records):
    """All that follows, in order; readings are taken note of, as the collector hands them back."""
    found = []
    for record in records:
        at.keep(record)
        new = list(at.observe(record))
        for reading in new:
            at.keep(reading)
            assert list(at.observe(reading)) == []
        found += new
    return found


class TestReadings:
    def test_an_epoch_gives_claim_then_health(self):
        found = readings(desk(), HostBaseline(2.3, host_only_trajectory={1: 40.0}), batch(0), epoch(1, 42.5))
        assert found == [ClaimReading(1, accuracy=42.5, baseline_accuracy=40.0, accuracy_delta=2.5), HealthReport(1)]

    def test_an_anomaly_gives_an_alert_once_though_every_batch_has_it(self):
        found = readings(desk(), *(batch(index, loss=math.nan) for index in range(5)))
        assert [type(reading) for reading in found] == [Alert]
        assert found[0].kind == "non_finite"
        assert found[0].text.startswith("not finite: loss nan.")

    def test_a_trigger_gives_a_trace_when_its_batches_are_there(self):
        at = desk(trace_batches=2)
        before, after = [batch(0), batch(1), batch(2)], [batch(3), batch(4)]
        assert readings(at, *before, failed_gate(1)) == []
        (trace,) = readings(at, *after)
        assert isinstance(trace, DenseTrace)
        assert (trace.trigger_reason, trace.batch_metrics) == ("gate_failure", (*before[1:], *after))
        assert at.store.dense_traces[-1] is trace

    def test_at_the_end_come_the_traces_that_are_still_open(self):
        at = desk()
        readings(at, batch(0), failed_gate(1))
        (trace,) = at.close()
        assert (trace.trigger_reason, trace.batch_metrics) == ("gate_failure", (batch(0),))
        assert at.close() == ()

    def test_a_trigger_that_is_off_gives_nothing(self):
        at = desk(trigger=DenseTraceTrigger(gate_failure=False))
        readings(at, batch(0), failed_gate(1))
        assert at.close() == ()
        assert not at.dense

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.sampled_from([1.0, math.nan]), min_size=1, max_size=12))
    def test_the_same_records_give_the_same_readings(self, losses):
        records = [*(batch(index, loss=loss) for index, loss in enumerate(losses)), epoch(1), failed_gate(1), epoch(2)]
        assert readings(desk(trace_batches=3), *records) == readings(desk(trace_batches=3), *records)


class TestCondition:
    def test_of_the_pipeline_is_in_the_report_of_the_moment(self):
        now = []
        at = Desk(KarnConfig(), lambda: now[-1])
        now.append(SOUND)
        assert (at.report().dropped_records, at.report().sink_lag, at.report().alerts) == (0, 0, ())
        now.append(Condition(dropped_records=2, sink_lag=7, failures=("sink wandb failed: no",)))
        report = at.report()
        assert (report.dropped_records, report.sink_lag) == (2, 7)
        assert "sink wandb failed: no" in report.alerts

    @pytest.mark.parametrize(
        ("condition", "word"),
        [
            (Condition(dropped_records=0, sink_lag=0, failures=("sink wandb failed: no",)), "sink wandb failed: no"),
            (Condition(dropped_records=3, sink_lag=0, failures=()), "records were dropped"),
        ],
    )
    def test_that_is_bad_is_an_alert_at_the_epoch_s_end_once(self, condition, word):
        found = readings(desk(condition), batch(0), epoch(1), batch(0, 2), epoch(2))
        alerts = [reading for reading in found if isinstance(reading, Alert)]
        assert len(alerts) == 1
        assert word in alerts[0].text


class TestCapture:
    def test_in_standard_mode_is_dense_while_a_trace_waits_for_batches(self):
        at = desk(trace_batches=2)
        wanted = [at.dense]
        for record in (batch(0), failed_gate(1), batch(1), batch(2), batch(3)):
            readings(at, record)
            wanted.append(at.dense)
        assert wanted == [False, False, True, True, False, False]
        assert not at.research

    @pytest.mark.parametrize("settings", [{"mode": "research"}, {"trigger": DenseTraceTrigger(force_dense=True)}])
    def test_in_research_mode_is_dense_from_the_first_batch_on(self, settings):
        at = desk(**settings)
        assert (at.research, at.dense) == (True, True)
        found = readings(at, batch(0), batch(1), epoch(1), batch(0, 2), epoch(2))
        traces = [reading for reading in found if isinstance(reading, DenseTrace)]
        assert [trace.trigger_reason for trace in traces] == ["force_dense"] * 2
        assert [trace.batch_metrics for trace in traces] == [(batch(0), batch(1)), (batch(0, 2),)]
        assert at.report().mode == "research"

    def test_in_adaptive_mode_an_anomaly_makes_it_dense_until_its_epochs_are_over(self):
        at = desk(mode="adaptive", escalation_epochs=1, trace_batches=1)
        modes = []
        for number in (1, 2, 3, 4):
            readings(at, batch(0, number, loss=math.nan if number == 2 else 1.0), batch(1, number))
            modes.append((at.research, at.dense))
            readings(at, epoch(number))
        assert modes == [(False, False), (True, True), (True, True), (False, False)]

    def test_ordinary_life_escalates_nothing(self):
        at = desk(mode="adaptive")
        readings(at, batch(0), failed_gate(1))
        assert (at.research, at.dense) == (False, True)


def event(record, env_id=0):
    return TelemetryEvent(EVENTS[type(record)], data=record, env_id=env_id)


EVENTS = {BatchMetrics: "BATCH_COMPLETED", EpochSnapshot: "EPOCH_COMPLETED", GateEvaluationTrace: "SEED_GATE_EVALUATED"}


class TestAnalyst:
    def analyst(self, *env_ids):
        kept = []
        desks = {(env_id, 0, False): desk() for env_id in env_ids}
        return Analyst(desks, lambda cause, reading: kept.append((cause.env_id, type(reading)))), desks, kept

    def test_each_event_goes_to_the_desk_of_its_episode_and_readings_name_their_cause(self):
        analyst, desks, kept = self.analyst(0, 3)
        for env_id in (3, 0, 3):
            analyst.write(event(batch(0), env_id))
        analyst.write(event(epoch(1), 3))
        assert kept == [(3, ClaimReading), (3, HealthReport)]
        assert [len(desks[env_id, 0, False].store.epochs) for env_id in (0, 3)] == [0, 1]

    def test_events_of_others_and_free_data_are_passed_over(self):
        analyst, _, kept = self.analyst(0)
        analyst.write(event(epoch(1), 9))
        analyst.write(TelemetryEvent("MEMORY_WARNING", data={"epoch": 1}))
        assert (kept, analyst.failure) == ([], None)

    def test_after_a_failure_records_are_kept_and_nothing_is_read_off_them(self, monkeypatch):
        analyst, desks, kept = self.analyst(0, 1)
        analyst.write(event(epoch(1)))
        monkeypatch.setattr(Desk, "observe", lambda *_: 1 / 0)
        analyst.write(event(epoch(2)))
        monkeypatch.undo()
        analyst.write(event(epoch(3)))
        analyst.write(event(epoch(1), 1))
        analyst.settle(event(epoch(3)))
        assert isinstance(analyst.failure, ZeroDivisionError)
        assert kept == [(0, ClaimReading), (0, HealthReport)]
        assert [snapshot.epoch for snapshot in desks[0, 0, False].store.epochs] == [1, 2, 3]
        assert desks[1, 0, False].analytics.latest == epoch(1)

    def test_what_is_doubtful_is_said(self):
        analyst, _, _ = self.analyst(0)
        for number in range(1, 6):
            analyst.write(event(epoch(number, 0.5)))
        assert "fractions instead of percent?" in analyst.doubt

    def test_an_episode_s_end_gives_what_waited(self):
        analyst, _, kept = self.analyst(0)
        analyst.write(event(failed_gate()))
        analyst.write(event(batch(0)))
        analyst.settle(event(epoch(1)))
        assert kept == [(0, DenseTrace)]


def test_every_kind_of_reading_can_be_kept():
    """Readings go back into the log, where each needs an event of its own."""
    from karn_wandb.outbox import EVENT_OF

    assert all(reading in EVENT_OF for reading in READINGS)


def test_an_event_is_of_its_environment_episode_and_scope():
    assert key_of(TelemetryEvent("MEMORY_WARNING", env_id=2, episode_idx=5, scoped=True)) == (2, 5, True)
