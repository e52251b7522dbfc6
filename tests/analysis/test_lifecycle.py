"""Slots and their stages: what germinated, was fossilized or pruned is counted."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.analysis import Lifecycle
from karn_wandb.analysis.lifecycle import occupied
from karn_wandb.records import LEGAL_TRANSITIONS, OCCUPIED, EpochSnapshot, HostSnapshot, SeedStage, SlotSnapshot, StageTransition

PATH = (
    SeedStage.DORMANT,
    SeedStage.GERMINATED,
    SeedStage.TRAINING,
    SeedStage.BLENDING,
    SeedStage.HOLDING,
    SeedStage.FOSSILIZED,
)


def snapshot(number, **stages):
    slots = {name: SlotSnapshot(name, stage) for name, stage in stages.items()}
    return EpochSnapshot(number, HostSnapshot(number), slots)


def counts(lifecycle):
    return lifecycle.germinated, lifecycle.fossilized, lifecycle.pruned


def follow(lifecycle, slot_id, *stages):
    for before, after in pairwise(stages):
        lifecycle.observe(StageTransition(slot_id, before, after))


def test_transitions_are_counted_and_followed():
    lifecycle = Lifecycle()
    follow(lifecycle, "early", *PATH)
    follow(lifecycle, "late", *PATH[:3], SeedStage.PRUNED, SeedStage.EMBARGOED, SeedStage.RESETTING, *PATH[:2])
    assert counts(lifecycle) == (3, 1, 1)
    assert lifecycle.stages == {"early": SeedStage.FOSSILIZED, "late": SeedStage.GERMINATED}


def test_snapshots_alone_show_what_came_and_went_between_them():
    lifecycle = Lifecycle()
    lifecycle.observe(snapshot(1, early=SeedStage.TRAINING, late=SeedStage.DORMANT))
    lifecycle.observe(snapshot(2, early=SeedStage.HOLDING, late=SeedStage.GERMINATED))
    lifecycle.observe(snapshot(3, early=SeedStage.FOSSILIZED, late=SeedStage.EMBARGOED))
    lifecycle.observe(snapshot(4, early=SeedStage.FOSSILIZED, late=SeedStage.TRAINING))
    assert counts(lifecycle) == (3, 1, 1)


def test_a_transition_that_the_next_snapshot_shows_again_is_counted_once():
    lifecycle = Lifecycle()
    follow(lifecycle, "early", *PATH[:3])
    lifecycle.observe(snapshot(1, early=SeedStage.TRAINING))
    follow(lifecycle, "early", SeedStage.TRAINING, SeedStage.PRUNED)
    lifecycle.observe(snapshot(2, early=SeedStage.EMBARGOED))
    assert counts(lifecycle) == (1, 0, 1)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(SeedStage)), max_size=20))
def test_what_germinated_and_was_not_pruned_is_still_there_however_it_was_told(steps):
    lifecycle = Lifecycle()
    for number, (slot_id, stage) in enumerate(steps):
        before = lifecycle.stages.get(slot_id, SeedStage.DORMANT)
        if stage in LEGAL_TRANSITIONS[before]:
            follow(lifecycle, slot_id, before, stage)
        else:
            lifecycle.observe(snapshot(number, **{slot_id: stage}))
    held = sum(stage in OCCUPIED for stage in lifecycle.stages.values())
    assert lifecycle.germinated - lifecycle.pruned == held


def test_occupied_slots_are_those_that_hold_a_seed_module():
    slots = {stage.name: SlotSnapshot(stage.name, stage) for stage in SeedStage}
    assert occupied(slots) == ("GERMINATED", "TRAINING", "BLENDING", "HOLDING", "FOSSILIZED")
