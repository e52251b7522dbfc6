"""What a slot's snapshot says beyond the model's own state: improvements, removal cost, gates."""

from __future__ import annotations

from dataclasses import replace

from karn_wandb.records import (
    OCCUPIED,
    CounterfactualMatrix,
    EpochSnapshot,
    GateEvaluationTrace,
    Record,
    SeedStage,
    SlotSnapshot,
    StageTransition,
)


class SlotHistory:
    """Follows the slots of one episode and completes their snapshots with what was measured."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._accuracy: float | None = None
        self._at_germination: dict[str, float | None] = {}
        self._gates: dict[str, GateEvaluationTrace] = {}
        self._matrix: CounterfactualMatrix | None = None

    def observe(self, record: Record) -> None:
        """Take a record into account."""
        match record:
            case EpochSnapshot():
                self._observe_epoch(record)
            case StageTransition(to_stage=SeedStage.GERMINATED):
                self._at_germination[record.slot_id] = self._accuracy
            case GateEvaluationTrace():
                self._gates[record.slot_id] = record
            case CounterfactualMatrix():
                self._matrix = record
            case _:
                pass

    def _observe_epoch(self, snapshot: EpochSnapshot) -> None:
        """A seed module seen for the first time germinated after the epoch before."""
        for slot_id, slot in snapshot.slots.items():
            if slot.stage in OCCUPIED:
                self._at_germination.setdefault(slot_id, self._accuracy)
            else:
                self._at_germination.pop(slot_id, None)
        self._epoch, self._accuracy = snapshot.epoch, snapshot.host.val_accuracy

    def complete(self, slot: SlotSnapshot, epoch: int, accuracy: float | None) -> SlotSnapshot:
        """The snapshot with what is known of the slot at the end of `epoch` with this accuracy (percent)."""
        if slot.stage not in OCCUPIED:
            return slot
        gate = self._gates.get(slot.slot_id)
        at_germination = self._at_germination.get(slot.slot_id, self._accuracy)
        epoch_ago = self._accuracy if self._epoch == epoch - 1 else None
        return replace(
            slot,
            counterfactual_contribution=removal_cost(self._matrix, slot.slot_id, epoch),
            total_improvement=_difference(accuracy, at_germination),
            improvement_this_epoch=_difference(accuracy, epoch_ago),
            last_gate_attempted=gate.gate if gate else None,
            last_gate_passed=gate.passed if gate else None,
            last_gate_reason=gate.message if gate else None,
        )


def removal_cost(matrix: CounterfactualMatrix | None, slot_id: str, epoch: int) -> float | None:
    """Accuracy with minus without a slot, all others on, in the matrix of that epoch; percentage points."""
    if matrix is None or matrix.epoch != epoch or matrix.metric != "accuracy" or slot_id not in matrix.slot_ids:
        return None
    everything = (True,) * len(matrix.slot_ids)
    without = tuple(name != slot_id for name in matrix.slot_ids)
    return _difference(matrix.value(everything), matrix.value(without))


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
