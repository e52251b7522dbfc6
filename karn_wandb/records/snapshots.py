"""Tier 2, every epoch: the state of host, slots and policy."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from karn_wandb.errors import RecordError
from karn_wandb.records._kinds import Count, Finite, Fraction, Percent
from karn_wandb.records._record import Record, record
from karn_wandb.records.policy import PolicySnapshot
from karn_wandb.records.stages import SeedStage

Gate = Literal["G0", "G1", "G2", "G3", "G4", "G5"]


@record
class SlotSnapshot(Record):
    """One slot at the end of an epoch (requirement, tier 2).

    Three numbers, three names: `total_improvement` is mostly the host learning, `counterfactual_contribution` is the
    removal cost now, and neither is the causal contribution, which only parallel control runs show.

    Attributes:
        slot_id: Name of the slot, such as "early".
        stage: Stage of the seed module in it; DORMANT when it is empty.
        epochs_in_stage: Epochs spent in that stage.
        seed_id: Name of the seed module, None when the slot is empty.
        blueprint_id: Kind of the seed module, such as "conv_light"; None when the slot is empty.
        seed_params: Parameters of the seed module, 0 when the slot is empty.
        alpha: Blend coefficient, 0 to 1.
        counterfactual_contribution: Removal cost: accuracy with minus without the slot, percentage points.
        total_improvement: Accuracy now minus accuracy at germination, percentage points.
        improvement_this_epoch: Accuracy now minus accuracy one epoch ago, percentage points.
        last_gate_attempted: The newest gate checked, such as "G2".
        last_gate_passed: Whether that gate was passed.
        last_gate_reason: Why it was passed or not.
    """

    slot_id: str
    stage: SeedStage
    epochs_in_stage: Count = 0
    seed_id: str | None = None
    blueprint_id: str | None = None
    seed_params: Count = 0
    alpha: Fraction = 0.0
    counterfactual_contribution: Finite | None = None
    total_improvement: Finite | None = None
    improvement_this_epoch: Finite | None = None
    last_gate_attempted: Gate | None = None
    last_gate_passed: bool | None = None
    last_gate_reason: str | None = None


@record
class HostSnapshot(Record):
    """The host and the whole network at the end of an epoch (requirement, tier 2).

    Attributes:
        epoch: Epoch, from 1; 0 is the untrained baseline.
        train_loss: Mean training loss, any float.
        train_accuracy: Training accuracy, percent.
        val_loss: Mean validation loss, any float.
        val_accuracy: Validation accuracy, percent.
        host_params: Parameters of the host.
        total_seed_params: Parameters of all seed modules present.
        total_params: Host and seed modules together.
        fossilized_params: Parameters of fossilized seed modules.
        host_grad_norm: L2 norm of the host's gradients, mean over the epoch's batches, any float.
        seed_grad_norms: The same for each slot's seed module.
        grad_isolation_leakage: L2 norm of the gradient that crossed an isolation barrier, any float; None when not monitored.
    """

    epoch: Count
    train_loss: float | None = None
    train_accuracy: Percent | None = None
    val_loss: float | None = None
    val_accuracy: Percent | None = None
    host_params: Count | None = None
    total_seed_params: Count | None = None
    total_params: Count | None = None
    fossilized_params: Count | None = None
    host_grad_norm: float | None = None
    seed_grad_norms: dict[str, float] = field(default_factory=dict)
    grad_isolation_leakage: float | None = None

    def _check(self) -> None:
        host, seeds, total = self.host_params, self.total_seed_params, self.total_params
        if host is not None and seeds is not None and total is not None and total != host + seeds:
            raise RecordError(
                "HostSnapshot.total_params must be host_params + total_seed_params",
                got=f"{total}, not {host} + {seeds} = {host + seeds}",
                do="Count each parameter once: shared ones belong to the host.",
            )


@record
class EpochSnapshot(Record):
    """The network at the end of an epoch (requirement, tier 2).

    Attributes:
        epoch: Epoch, from 1; 0 is the untrained baseline.
        host: The host and the whole network.
        slots: Each slot by its name.
        policy: The newest decision of the policy, None without one.
    """

    epoch: Count
    host: HostSnapshot
    slots: dict[str, SlotSnapshot] = field(default_factory=dict)
    policy: PolicySnapshot | None = None

    def _check(self) -> None:
        if self.host.epoch != self.epoch:
            raise RecordError(
                "EpochSnapshot.epoch and its host's epoch must agree",
                got=f"{self.epoch} and {self.host.epoch}",
                do="Both are the epoch just completed, counted from 1.",
            )
        for name, slot in self.slots.items():
            if slot.slot_id != name:
                raise RecordError(
                    f"EpochSnapshot.slots[{name!r}] must be the slot of that name",
                    got=f"slot_id {slot.slot_id!r}",
                    do="Key each slot by its own slot_id.",
                )
