"""The life of a seed module: which stage may follow which, and what is said when it may not."""

from __future__ import annotations

from itertools import product

import pytest

from karn_wandb.errors import RecordError, TransitionError
from karn_wandb.records import GATE_BEFORE, LEGAL_TRANSITIONS, OCCUPIED, SeedStage, check_transition

# The contract's sentence, written out: DORMANT -> GERMINATED -> TRAINING -> BLENDING -> HOLDING -> FOSSILIZED; GERMINATED,
# TRAINING, BLENDING, HOLDING -> PRUNED -> EMBARGOED -> RESETTING -> DORMANT; HOLDING -> BLENDING.
LEGAL = {
    ("DORMANT", "GERMINATED"),
    ("GERMINATED", "TRAINING"),
    ("TRAINING", "BLENDING"),
    ("BLENDING", "HOLDING"),
    ("HOLDING", "FOSSILIZED"),
    ("GERMINATED", "PRUNED"),
    ("TRAINING", "PRUNED"),
    ("BLENDING", "PRUNED"),
    ("HOLDING", "PRUNED"),
    ("PRUNED", "EMBARGOED"),
    ("EMBARGOED", "RESETTING"),
    ("RESETTING", "DORMANT"),
    ("HOLDING", "BLENDING"),
}

AFTER = {
    "DORMANT": "GERMINATED",
    "GERMINATED": "TRAINING, PRUNED",
    "TRAINING": "BLENDING, PRUNED",
    "BLENDING": "HOLDING, PRUNED",
    "HOLDING": "BLENDING, FOSSILIZED, PRUNED",
    "FOSSILIZED": "nothing: the stage is final",
    "PRUNED": "EMBARGOED",
    "EMBARGOED": "RESETTING",
    "RESETTING": "DORMANT",
}


@pytest.mark.parametrize(("before", "after"), list(product(SeedStage, SeedStage)), ids=lambda stage: stage.name)
def test_every_pair_of_stages_is_legal_or_refused_with_what_may_follow(before, after):
    if (before.name, after.name) in LEGAL:
        check_transition("early", before, after)
        return
    with pytest.raises(TransitionError) as raised:
        check_transition("early", before, after)
    assert str(raised.value) == (
        f"slot 'early' cannot go from {before.name} to {after.name}. After {before.name} comes {AFTER[before.name]}."
    )
    assert isinstance(raised.value, RecordError)


def test_the_tables_say_the_same():
    assert {(before.name, after.name) for before, all_after in LEGAL_TRANSITIONS.items() for after in all_after} == LEGAL
    assert set(LEGAL_TRANSITIONS) == set(SeedStage)


def test_the_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        LEGAL_TRANSITIONS[SeedStage.DORMANT] = frozenset()
    with pytest.raises(TypeError):
        GATE_BEFORE[SeedStage.DORMANT] = "G0"


def test_integers_are_those_of_the_original_project():
    """Logs of both can then be compared; 0 (its UNKNOWN) and 5 (retired there) stay unused."""
    assert {stage.name: int(stage) for stage in SeedStage} == {
        "DORMANT": 1,
        "GERMINATED": 2,
        "TRAINING": 3,
        "BLENDING": 4,
        "HOLDING": 6,
        "FOSSILIZED": 7,
        "PRUNED": 8,
        "EMBARGOED": 9,
        "RESETTING": 10,
    }


def test_a_slot_is_occupied_from_germination_until_it_is_pruned():
    assert [stage.name for stage in SeedStage if stage in OCCUPIED] == [
        "GERMINATED",
        "TRAINING",
        "BLENDING",
        "HOLDING",
        "FOSSILIZED",
    ]


def test_each_stage_on_the_way_up_has_its_gate():
    assert {stage.name: gate for stage, gate in GATE_BEFORE.items()} == {
        "GERMINATED": "G0",
        "TRAINING": "G1",
        "BLENDING": "G2",
        "HOLDING": "G3",
        "FOSSILIZED": "G5",
    }
