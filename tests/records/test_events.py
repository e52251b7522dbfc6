"""The envelope: which record goes with which event, free-form data, and what is refused."""

from __future__ import annotations

import math
from dataclasses import fields
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from strategies import event_sequences, events, records

from karn_wandb.errors import RecordError
from karn_wandb.records import (
    RECORD_OF,
    BatchMetrics,
    CounterfactualMatrix,
    EpochSnapshot,
    HostSnapshot,
    Record,
    TelemetryEvent,
    TelemetryEventType,
    utc_now,
)
from karn_wandb.schema import clock_of

BATCH = BatchMetrics(epoch=1, batch_idx=0, loss=1.0)


def test_the_reviews_fields_alone_make_an_event():
    """P0-2: the fields for several ranks are there from the start, with the defaults of a single process."""
    event = TelemetryEvent(event_type=TelemetryEventType.EPOCH_COMPLETED)
    assert (event.rank, event.world_size, event.is_reduced) == (0, 1, False)
    assert TelemetryEvent(event_type="EPOCH_COMPLETED", rank=1, world_size=2, is_reduced=True).rank == 1


def test_an_event_is_stamped_with_the_present_moment():
    before = utc_now()
    event = TelemetryEvent(event_type="EPOCH_COMPLETED")
    assert before <= event.timestamp <= utc_now()
    assert event.timestamp.tzinfo is UTC


def test_the_value_of_an_event_type_is_its_name():
    """So stored events can be read by people, and an adapter maps names one to one."""
    assert {member.name: member.value for member in TelemetryEventType} == {
        member.name: member.name for member in TelemetryEventType
    }


@pytest.mark.parametrize("event_type", TelemetryEventType, ids=lambda member: member.name)
def test_an_event_takes_its_own_record_and_refuses_others(event_type):
    expected = RECORD_OF.get(event_type)
    other = HostSnapshot(epoch=1)
    if expected is None:
        assert TelemetryEvent(event_type=event_type, data=other).payload is other
        return
    with pytest.raises(RecordError) as raised:
        TelemetryEvent(event_type=event_type, data=other)
    assert str(raised.value) == (
        f"an event {event_type.name} carries a {expected.__name__}; got HostSnapshot. Choose the event type that fits the record."
    )

    @settings(max_examples=5)
    @given(records(expected))
    def takes(record):
        assert TelemetryEvent(event_type=event_type, data=record).payload is record

    takes()


@pytest.mark.parametrize("event_type", TelemetryEventType, ids=lambda member: member.name)
def test_every_event_takes_free_form_data_and_is_its_own_payload(event_type):
    event = TelemetryEvent(event_type=event_type, data={"avg_reward": math.nan, "envs": (1, 2)})
    assert event.payload is event
    assert repr(event.data) == "{'avg_reward': nan, 'envs': [1, 2]}"


def test_every_event_that_expects_a_record_can_be_told_from_its_record():
    """A record class belongs to one event type; only the four events of a stage change share theirs."""
    shared = [cls.__name__ for cls in RECORD_OF.values()]
    assert {name: shared.count(name) for name in shared if shared.count(name) > 1} == {"StageTransition": 4}
    assert all(issubclass(cls, Record) for cls in RECORD_OF.values())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            {"event_type": 3},
            "TelemetryEvent.event_type must be a TelemetryEventType; got 3 (int). The members are TRAINING_STARTED, ",
        ),
        ({"rank": -1}, "TelemetryEvent.rank must be at least 0; got -1."),
        ({"world_size": 0}, "TelemetryEvent.world_size must be at least 1; got 0."),
        ({"tick": 0.5}, "TelemetryEvent.tick must be a whole number; got 0.5 (float)."),
        (
            {"severity": "fatal"},
            "TelemetryEvent.severity must be one of 'debug', 'info', 'warning', 'error', 'critical'; got 'fatal' (str).",
        ),
        ({"data": [1]}, "TelemetryEvent.data must be a record or a mapping of JSON values; got [1] (list)."),
        ({"data": None}, "TelemetryEvent.data must be a record or a mapping of JSON values; got None (NoneType)."),
        ({"data": {"$": 1}}, "TelemetryEvent.data may not hold the key '$'. It is reserved for the codec: rename it."),
        (
            {"data": {"a": {"b": {"$": 1}}}},
            "TelemetryEvent.data['a']['b'] may not hold the key '$'. It is reserved for the codec: rename it.",
        ),
        (
            {"timestamp": datetime(2025, 1, 1)},  # noqa: DTZ001 -- the naive datetime is the bad input
            (
                "TelemetryEvent.timestamp must be a datetime with a time zone; got datetime.datetime(2025, 1, 1, 0, 0) "
                "(datetime). Use datetime.now(UTC)."
            ),
        ),
        (
            {"message": "\udfff"},
            "TelemetryEvent.message must be text that UTF-8 can carry; got '\\udfff' (str). Remove lone surrogates.",
        ),
    ],
)
def test_bad_input_is_refused_in_words(bad, message):
    with pytest.raises(RecordError) as raised:
        TelemetryEvent(**{"event_type": "PLATEAU_DETECTED", **bad})
    assert str(raised.value).startswith(message)
    assert "event_type" in bad or str(raised.value) == message


def test_a_stored_record_of_an_unknown_class_is_an_error():
    plain = TelemetryEvent(event_type="PLATEAU_DETECTED", data=BATCH).to_plain()
    with pytest.raises(RecordError) as raised:
        TelemetryEvent.from_plain({**plain, "data": {"$": "Telepathy", "epoch": 1}})
    assert str(raised.value) == (
        "a stored record names an unknown class; got 'Telepathy'. "
        "It was written by another version: use a karn_wandb at least as new as the one that wrote it."
    )


@given(events())
def test_a_copy_is_equal_and_stamping_it_leaves_the_original_as_it_was(event):
    before = event.to_plain()
    copied = event.copy()
    assert copied == event
    assert copied is not event
    copied.stamp(7, 3)
    assert (copied.sequence, copied.tick) == (7, 3)
    assert event.to_plain() == before
    assert copied.to_plain() == {**before, "sequence": 7, "tick": 3}
    copied.stamp(8, None)
    assert copied.to_plain() == {**{name: value for name, value in before.items() if name != "tick"}, "sequence": 8}


@given(events())
def test_a_record_is_stored_with_its_class_named(event):
    plain = event.to_plain()["data"]
    assert plain.get("$") == (type(event.data).__name__ if isinstance(event.data, Record) else None)


@settings(max_examples=30)
@given(event_sequences())
def test_event_sequences_are_what_they_say(sequence):
    """The shared strategy itself: sequence numbers, ticks and epochs in order, so that tests built on it test something."""
    assert [event.sequence for event in sequence] == list(range(len(sequence)))
    ticks, epochs, episodes = {}, {}, {}
    for event in sequence:
        assert episodes.get(event.env_id, 0) <= event.episode_idx
        episodes[event.env_id] = event.episode_idx
        if event.tick is not None:
            clock = (event.env_id, clock_of(type(event.data)))
            assert ticks.get(clock, 0) <= event.tick
            ticks[clock] = event.tick
        if isinstance(event.data, EpochSnapshot):
            episode = (event.env_id, event.episode_idx)
            assert epochs.get(episode, 0) < event.data.epoch
            epochs[episode] = event.data.epoch
    assert {f.name for f in fields(TelemetryEvent)} >= {"sequence", "tick", "env_id", "episode_idx", "scoped"}
    assert all(isinstance(event.data, dict | Record) for event in sequence)


def test_a_matrix_is_found_again_in_its_event():
    matrix = CounterfactualMatrix(epoch=1, configs=())
    assert TelemetryEvent(event_type="COUNTERFACTUAL_MATRIX_COMPUTED", data=matrix).payload is matrix
