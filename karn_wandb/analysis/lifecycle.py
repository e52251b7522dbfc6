"""Which stage each slot is in, and what became of the seed modules in them."""

from __future__ import annotations

from collections.abc import Mapping

from karn_wandb.records import OCCUPIED, EpochSnapshot, Record, SeedStage, SlotSnapshot, StageTransition


class Lifecycle:
    """The slots of one episode, their stages, and how many seed modules germinated, were fossilized or pruned.

    Stage transitions are events and must be legal one by one; an epoch snapshot may have passed through several
    stages since the last one, so it only brings the picture up to date. What came and went between two snapshots,
    without an event, is not seen.
    """

    def __init__(self) -> None:
        self.stages: dict[str, SeedStage] = {}
        self.germinated = self.fossilized = self.pruned = 0

    def observe(self, record: Record) -> None:
        """Take a record into account."""
        match record:
            case EpochSnapshot():
                for slot_id, slot in record.slots.items():
                    self._move(slot_id, self.stages.get(slot_id, SeedStage.DORMANT), slot.stage)
            case StageTransition():
                self._move(record.slot_id, record.from_stage, record.to_stage)
            case _:
                pass

    def _move(self, slot_id: str, before: SeedStage, after: SeedStage) -> None:
        self.stages[slot_id] = after
        self.germinated += before not in OCCUPIED and after in OCCUPIED
        self.pruned += before in OCCUPIED and after not in OCCUPIED
        self.fossilized += before is not SeedStage.FOSSILIZED and after is SeedStage.FOSSILIZED


def occupied(slots: Mapping[str, SlotSnapshot]) -> tuple[str, ...]:
    """Slots that hold a seed module."""
    return tuple(slot_id for slot_id, slot in slots.items() if slot.stage in OCCUPIED)
