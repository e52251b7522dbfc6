"""The outbox: every record in the event that is its own, gathered, and emitted together and once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from strategies import records

from karn_wandb.errors import RecordError
from karn_wandb.outbox import EVENT_OF, Outbox, event_of
from karn_wandb.pipeline import KarnCollector
from karn_wandb.records import (
    RECORD_OF,
    BatchMetrics,
    EpochSnapshot,
    HostSnapshot,
    SeedStage,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
    utc_now,
)

Type = TelemetryEventType
BATCH = BatchMetrics(1, 0, 0.5)
GERMINATED = StageTransition("a", SeedStage.DORMANT, SeedStage.GERMINATED, epoch=1, seed_id="a-1")


class Receiver:
    """Takes groups as a collector does."""

    def __init__(self):
        self.groups = []

    def emit_all(self, events):
        self.groups.append(list(events))


@pytest.fixture
def receiver():
    return Receiver()


@pytest.mark.parametrize("cls", sorted(set(RECORD_OF.values()), key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
def test_every_record_travels_in_an_event_that_could_have_been_made_with_all_checks(cls):
    """Nothing is checked on the way, because the record was; so the event must be one that passes."""

    @settings(max_examples=8)
    @given(records(cls))
    def holds(record):
        receiver = Receiver()
        outbox = Outbox(receiver, 2, 5, scoped=True)
        before = utc_now()
        outbox.add(record)
        outbox.send()
        ((event,),) = receiver.groups
        assert RECORD_OF[event.event_type] is cls
        assert before <= event.timestamp <= utc_now()
        assert event == TelemetryEvent(
            event_of(record),
            data=record,
            timestamp=event.timestamp,
            env_id=2,
            episode_idx=5,
            scoped=True,
            slot_id=getattr(record, "slot_id", ""),
            seed_id=getattr(record, "seed_id", None) or "",
        )

    holds()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("DORMANT", "GERMINATED", Type.SEED_GERMINATED),
        ("HOLDING", "FOSSILIZED", Type.SEED_FOSSILIZED),
        ("BLENDING", "PRUNED", Type.SEED_PRUNED),
        ("GERMINATED", "TRAINING", Type.SEED_STAGE_CHANGED),
        ("RESETTING", "DORMANT", Type.SEED_STAGE_CHANGED),
    ],
)
def test_the_event_of_a_change_depends_on_the_stage(before, after, expected):
    assert event_of(StageTransition("a", SeedStage[before], SeedStage[after])) is expected


def test_all_other_events_with_a_record_are_known_by_its_class():
    assert {record: event for event, record in RECORD_OF.items() if record is not StageTransition} == EVENT_OF


def test_what_was_added_is_emitted_as_one_group_in_order_and_once(receiver):
    outbox = Outbox(receiver, 0, 0, scoped=False)
    for record in (BATCH, GERMINATED, BATCH):
        outbox.add(record)
    assert receiver.groups == []
    outbox.send()
    outbox.add(BATCH)
    outbox.send()
    outbox.send()
    assert [[event.data for event in group] for group in receiver.groups] == [[BATCH, GERMINATED, BATCH], [BATCH], []]


def test_any_event_becomes_one_of_the_episode_and_the_caller_s_own_is_left_as_it_is(receiver):
    outbox = Outbox(receiver, 2, 5, scoped=True)
    event = TelemetryEvent(Type.MEMORY_WARNING, data={"bytes": 3}, env_id=9, slot_id="a", severity="warning", message="full")
    own = outbox.add_event(event)
    outbox.send()
    assert receiver.groups == [[own]]
    assert receiver.groups[0][0] is own
    assert (own.env_id, own.episode_idx, own.scoped) == (2, 5, True)
    assert (event.env_id, event.episode_idx, event.scoped) == (9, 0, False)
    kept = (own.data, own.slot_id, own.severity, own.message, own.timestamp)
    assert kept == ({"bytes": 3}, "a", "warning", "full", event.timestamp)


def test_a_group_with_a_refused_event_is_not_emitted_again():
    collector = KarnCollector()
    outbox = Outbox(collector, 0, 0, scoped=False)
    for record in (BATCH, EpochSnapshot(1, HostSnapshot(1)), EpochSnapshot(1, HostSnapshot(1))):
        outbox.add(record)
    with pytest.raises(RecordError, match="epochs must go up"):
        outbox.send()
    outbox.send()
    types = [event.event_type for event in collector.log.events()]
    assert types[:2] == [Type.BATCH_COMPLETED, Type.EPOCH_COMPLETED]
    assert types.count(Type.BATCH_COMPLETED) == types.count(Type.EPOCH_COMPLETED) == 1
