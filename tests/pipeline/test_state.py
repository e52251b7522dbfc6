"""What records of an episode are checked against: its slots, and how far it has come."""

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.pipeline.desk import Condition, Desk
from karn_wandb.pipeline.state import EpisodeState
from karn_wandb.records import EpochSnapshot, GateEvaluationTrace, HostSnapshot, KarnConfig, SeedStage, SlotSnapshot


def desk():
    return Desk(KarnConfig(), lambda: Condition(0, 0, ()))


@pytest.fixture
def state():
    return EpisodeState(desk(), lambda: None)


def gate(slot_id):
    return GateEvaluationTrace(slot_id, "G2", passed=True)


def epoch(number, *slots):
    return EpochSnapshot(number, HostSnapshot(number), {name: SlotSnapshot(name, SeedStage.TRAINING) for name in slots})


def test_any_slot_is_known_until_slots_are_declared_and_what_is_declared_later_is_added(state):
    state.observe(gate("anything"))
    state.declare(["late", "early"])
    state.observe(gate("early"))
    state.declare(["mid"])
    for slot_id in ("early", "mid", "late"):
        state.observe(gate(slot_id))
    with pytest.raises(RecordError) as caught:
        state.observe(gate("anything"))
    assert str(caught.value) == (
        "there is no slot 'anything'; got the slots are early, late, mid. "
        "Declare it in the episode's slot_config, or attach the model that has it."
    )


def test_an_epoch_with_an_unknown_slot_was_not_reached(state):
    state.declare(["early"])
    state.observe(epoch(1, "early"))
    with pytest.raises(RecordError, match="there is no slot 'other'"):
        state.observe(epoch(2, "early", "other"))
    assert state.last_epoch == 1


def test_an_episode_that_begins_anew_knows_no_slots_and_no_epoch(state):
    state.declare(["early"])
    state.observe(epoch(3))
    state.begin(desk())
    state.observe(gate("other"))
    assert state.last_epoch == -1
