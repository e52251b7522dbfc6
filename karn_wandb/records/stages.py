"""The life of a seed module: its stages, and which may follow which."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from karn_wandb.errors import TransitionError


class SeedStage(IntEnum):
    """Stage of the seed module in a slot.

    The integers are those of the original project (esper-lite, leyline/stages): 5 was retired there and stays
    unused, so that logs of both can be compared; 0 is its UNKNOWN, which we have no use for.
    """

    DORMANT = 1
    GERMINATED = 2
    TRAINING = 3
    BLENDING = 4
    HOLDING = 6
    FOSSILIZED = 7
    PRUNED = 8
    EMBARGOED = 9
    RESETTING = 10


_NEXT = {
    SeedStage.DORMANT: (SeedStage.GERMINATED,),
    SeedStage.GERMINATED: (SeedStage.TRAINING, SeedStage.PRUNED),
    SeedStage.TRAINING: (SeedStage.BLENDING, SeedStage.PRUNED),
    SeedStage.BLENDING: (SeedStage.HOLDING, SeedStage.PRUNED),
    SeedStage.HOLDING: (SeedStage.FOSSILIZED, SeedStage.BLENDING, SeedStage.PRUNED),
    SeedStage.FOSSILIZED: (),
    SeedStage.PRUNED: (SeedStage.EMBARGOED,),
    SeedStage.EMBARGOED: (SeedStage.RESETTING,),
    SeedStage.RESETTING: (SeedStage.DORMANT,),
}

LEGAL_TRANSITIONS = MappingProxyType({stage: frozenset(following) for stage, following in _NEXT.items()})
"""Stages that may directly follow each stage."""

OCCUPIED = frozenset({SeedStage.GERMINATED, SeedStage.TRAINING, SeedStage.BLENDING, SeedStage.HOLDING, SeedStage.FOSSILIZED})
"""Stages in which a slot holds a seed module."""

GATE_BEFORE = MappingProxyType(
    {
        SeedStage.GERMINATED: "G0",
        SeedStage.TRAINING: "G1",
        SeedStage.BLENDING: "G2",
        SeedStage.HOLDING: "G3",
        SeedStage.FOSSILIZED: "G5",
    }
)
"""The gate checked before a stage is entered; G4 (contribute) is checked while HOLDING."""


def check_transition(slot_id: str, before: SeedStage, after: SeedStage) -> None:
    """Raise unless `after` may directly follow `before`.

    Raises:
        TransitionError: It may not; the message lists what may.
    """
    if after in LEGAL_TRANSITIONS[before]:
        return
    allowed = ", ".join(stage.name for stage in sorted(LEGAL_TRANSITIONS[before])) or "nothing: the stage is final"
    raise TransitionError(
        f"slot {slot_id!r} cannot go from {before.name} to {after.name}",
        do=f"After {before.name} comes {allowed}.",
    )
