"""Which events still stand when training went back to a checkpoint."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from karn_wandb.pipeline.history import back_to, standing, went_back
from karn_wandb.records import (
    Alert,
    BatchMetrics,
    ClaimReading,
    DenseTrace,
    EpisodeContext,
    EpochSnapshot,
    HealthReport,
    HostBaseline,
    HostSnapshot,
    RunInfo,
    SeedStage,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)

Type = TelemetryEventType
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def event(event_type, data, env_id=0, *, scoped=False):
    return TelemetryEvent(event_type, data=data, env_id=env_id, scoped=scoped, timestamp=WHEN)


def batch(epoch, env_id=0, **place):
    return event(Type.BATCH_COMPLETED, BatchMetrics(epoch, 0, loss=1.0), env_id, **place)


def snapshot(epoch, env_id=0, **place):
    return event(Type.EPOCH_COMPLETED, EpochSnapshot(epoch, HostSnapshot(epoch)), env_id, **place)


def readings(epoch):
    return [
        event(Type.CLAIM_READ, ClaimReading(epoch)),
        event(Type.HEALTH_READ, HealthReport(epoch)),
        event(Type.DENSE_TRACE_RECORDED, DenseTrace("loss_spike", epoch, epoch)),
        event(Type.ALERT_RAISED, Alert("loss_spike", "it rose", epoch + 1)),
    ]


def epochs(*numbers):
    return [one for number in numbers for one in (batch(number), snapshot(number), *readings(number))]


def test_without_going_back_everything_stands():
    events = tuple(epochs(1, 2))
    assert standing(events) == events


def test_what_was_logged_after_the_checkpoint_is_superseded_and_its_epoch_keeps_its_readings():
    back = went_back(0, 0, 2, scoped=False)
    again = epochs(3)
    assert standing([*epochs(1, 2, 3, 4), batch(5), back, *again]) == (*epochs(1, 2), back, *again)


def test_changes_of_stage_behind_the_epoch_s_snapshot_are_of_that_epoch():
    stages = ("DORMANT", "GERMINATED", "TRAINING", "BLENDING")
    first, second, third = (
        event(Type.SEED_STAGE_CHANGED, StageTransition("early", SeedStage[a], SeedStage[b], epoch=epoch))
        for epoch, (a, b) in enumerate(pairwise(stages), start=1)
    )
    back = went_back(0, 0, 2, scoped=False)
    events = [*epochs(1), first, *epochs(2), second, *epochs(3), third, back]
    assert standing(events) == (*epochs(1), first, *epochs(2), second, back)


def test_a_branch_may_be_left_twice():
    first, second = went_back(0, 0, 1, scoped=False), went_back(0, 0, 2, scoped=False)
    found = standing([*epochs(1, 2, 3), first, *epochs(2, 3), second, *epochs(3)])
    kept = [e.data.epoch for e in found if isinstance(e.data, EpochSnapshot)]
    assert kept == [1, 2, 3]
    assert [back_to(e) for e in found if back_to(e) is not None] == [1, 2]


def test_what_stands_stands_also_the_second_time():
    events = [*epochs(1, 2, 3), went_back(0, 0, 1, scoped=False), *epochs(2), went_back(0, 0, 0, scoped=False), *epochs(1)]
    assert standing(standing(events)) == standing(events)


def test_what_says_what_is_trained_stands_whatever_happens():
    context = EpisodeContext("e", WHEN, "", 0, 0, 0, "cnn", 1, {}, 2, "lm", {})
    said = [
        event(Type.TRAINING_STARTED, RunInfo("r")),
        event(Type.EPISODE_STARTED, context),
        event(Type.BASELINE_RECORDED, HostBaseline(2.3)),
    ]
    back = went_back(0, 0, 0, scoped=False)
    assert standing([*epochs(1), *said, *epochs(2), back]) == (*said, back)


def test_other_episodes_are_not_touched():
    others = [batch(1, 1, scoped=True), snapshot(1, 1, scoped=True), batch(1, scoped=True), batch(2, 1)]
    back = went_back(0, 0, 0, scoped=False)
    assert standing([*others, *epochs(1), back]) == (*others, back)


def test_a_user_s_own_checkpoint_event_is_none_of_ours():
    own = event(Type.CHECKPOINT_LOADED, {"path": "model.pt", "epoch": 0})
    events = (*epochs(1), own)
    assert back_to(own) is None
    assert standing(events) == events
