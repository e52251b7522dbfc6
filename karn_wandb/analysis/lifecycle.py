"""Which stage each slot is in, and whether what is logged about it can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from karn_wandb.errors import RecordError
from karn_wandb.records import OCCUPIED, EpochSnapshot, SeedStage, SlotSnapshot, StageTransition


class Lifecycle:
    """The slots of one episode, their stages, and how many seed modules germinated, were fossilized or pruned.

    Stage transitions are events and must be legal one by one; an epoch snapshot may have passed through several
    stages since the last one, so it only brings the picture up to date. What came and went between two snapshots,
    without an event, is not seen.
    """

    def __init__(self) -> None:
        self.stages: dict[str, SeedStage] = {}
        self.germinated = self.fossilized = self.pruned = 0
        self._declared: frozenset[str] = frozenset()

    def declare(self, slots: Iterable[str]) -> None:
        """Name the slots there are; others are errors from then on. Without a declaration any name is taken."""
        self._declared = frozenset(slots) | self._declared

    def check_slot(self, slot_id: str) -> None:
        """Raise unless the slot exists.

        Raises:
            RecordError: Slots were declared and this is none of them.
        """
        if self._declared and slot_id not in self._declared:
            raise RecordError(
                f"there is no slot {slot_id!r}",
                got=f"the slots are {', '.join(sorted(self._declared))}",
                do="Declare it in the episode's slot_config, or attach the model that has it.",
            )

    def transition(self, change: StageTransition) -> None:
        """Take one change of stage; that it is a legal one the record itself has checked.

        Raises:
            RecordError: The slot does not exist.
        """
        self.check_slot(change.slot_id)
        self._move(change.slot_id, change.from_stage, change.to_stage)

    def observe(self, snapshot: EpochSnapshot) -> None:
        """Bring the stages up to date with an epoch snapshot.

        Raises:
            RecordError: It names a slot that does not exist.
        """
        if self._declared and not self._declared.issuperset(snapshot.slots):
            for slot_id in snapshot.slots:
                self.check_slot(slot_id)
        for slot_id, slot in snapshot.slots.items():
            before = self.stages.setdefault(slot_id, SeedStage.DORMANT)
            if slot.stage is not before:
                self._move(slot_id, before, slot.stage)

    def _move(self, slot_id: str, before: SeedStage, after: SeedStage) -> None:
        self.stages[slot_id] = after
        self.germinated += before not in OCCUPIED and after in OCCUPIED
        self.pruned += before in OCCUPIED and after not in OCCUPIED
        self.fossilized += before is not SeedStage.FOSSILIZED and after is SeedStage.FOSSILIZED


def occupied(slots: Mapping[str, SlotSnapshot]) -> tuple[str, ...]:
    """Slots that hold a seed module."""
    return tuple(slot_id for slot_id, slot in slots.items() if slot.stage in OCCUPIED)
