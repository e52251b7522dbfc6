"""Tier 2: slots, host, epoch."""

from __future__ import annotations

import math

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.records import EpochSnapshot, HostSnapshot, SeedStage, SlotSnapshot

# Fields as in the requirement, tier 2
SLOT = {
    "slot_id": "early",
    "stage": SeedStage.BLENDING,
    "epochs_in_stage": 3,
    "seed_id": "seed-7",
    "blueprint_id": "conv_light",
    "seed_params": 37_000,
    "alpha": 0.5,
    "counterfactual_contribution": 1.2,
    "total_improvement": 27.3,
    "improvement_this_epoch": -0.4,
    "last_gate_attempted": "G2",
    "last_gate_passed": True,
    "last_gate_reason": "improvement 3.1 above 1.0",
}
HOST = {
    "epoch": 47,
    "train_loss": 0.9,
    "train_accuracy": 70.0,
    "val_loss": 1.0,
    "val_accuracy": 67.2,
    "host_params": 100_000,
    "total_seed_params": 39_100,
    "total_params": 139_100,
    "fossilized_params": 100,
    "host_grad_norm": 1.5,
    "seed_grad_norms": {"early": 0.2},
    "grad_isolation_leakage": None,
}


@pytest.mark.parametrize(("cls", "given"), [(SlotSnapshot, SLOT), (HostSnapshot, HOST)])
def test_the_requirements_fields_alone_make_the_record(cls, given):
    record = cls(**given)
    assert {name: getattr(record, name) for name in given} == given


def test_an_epoch_is_its_host_its_slots_and_the_newest_decision():
    epoch = EpochSnapshot(epoch=47, host=HostSnapshot(**HOST), slots={"early": SlotSnapshot(**SLOT)}, policy=None)
    assert epoch.slots["early"].alpha == 0.5


@pytest.mark.parametrize(
    ("cls", "given", "bad", "message"),
    [
        (SlotSnapshot, SLOT, {"alpha": 1.2}, "SlotSnapshot.alpha must be between 0 and 1; got 1.2."),
        (SlotSnapshot, SLOT, {"alpha": math.nan}, "SlotSnapshot.alpha must be between 0 and 1; got nan."),
        (
            SlotSnapshot,
            SLOT,
            {"stage": "SLEEPING"},
            (
                "SlotSnapshot.stage must be a SeedStage; got 'SLEEPING' (str). "
                "The members are DORMANT, GERMINATED, TRAINING, BLENDING, "
                "HOLDING, FOSSILIZED, PRUNED, EMBARGOED, RESETTING."
            ),
        ),
        (
            SlotSnapshot,
            SLOT,
            {"last_gate_attempted": "G6"},
            "SlotSnapshot.last_gate_attempted must be one of 'G0', 'G1', 'G2', 'G3', 'G4', 'G5'; got 'G6' (str).",
        ),
        (
            SlotSnapshot,
            SLOT,
            {"total_improvement": math.inf},
            "SlotSnapshot.total_improvement must be a finite number; got inf.",
        ),
        (SlotSnapshot, SLOT, {"seed_params": 2.5}, "SlotSnapshot.seed_params must be a whole number; got 2.5 (float)."),
        (
            HostSnapshot,
            HOST,
            {"val_accuracy": math.nan},
            "HostSnapshot.val_accuracy must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100.",
        ),
        (HostSnapshot, HOST, {"epoch": -1}, "HostSnapshot.epoch must be at least 0; got -1."),
        (HostSnapshot, HOST, {"train_loss": "low"}, "HostSnapshot.train_loss must be a number; got 'low' (str)."),
        (
            HostSnapshot,
            HOST,
            {"total_params": 139_101},
            (
                "HostSnapshot.total_params must be host_params + total_seed_params; got 139101, not 100000 + 39100 = 139100. "
                "Count each parameter once: shared ones belong to the host."
            ),
        ),
        (
            EpochSnapshot,
            {"epoch": 47, "host": HostSnapshot(**HOST)},
            {"epoch": 46},
            (
                "EpochSnapshot.epoch and its host's epoch must agree; got 46 and 47. "
                "Both are the epoch just completed, counted from 1."
            ),
        ),
        (
            EpochSnapshot,
            {"epoch": 47, "host": HostSnapshot(**HOST)},
            {"slots": {"late": SlotSnapshot(**SLOT)}},
            "EpochSnapshot.slots['late'] must be the slot of that name; got slot_id 'early'. Key each slot by its own slot_id.",
        ),
    ],
)
def test_bad_input_is_refused_in_words(cls, given, bad, message):
    with pytest.raises(RecordError) as raised:
        cls(**{**given, **bad})
    assert str(raised.value) == message


@pytest.mark.parametrize("missing", ["host_params", "total_seed_params", "total_params"])
def test_parameters_need_not_add_up_when_one_of_them_is_unknown(missing):
    assert getattr(HostSnapshot(**{**HOST, "fossilized_params": None, missing: None}), missing) is None


def test_gradients_and_losses_may_be_anything():
    host = HostSnapshot(
        epoch=1, train_loss=math.nan, val_loss=-math.inf, host_grad_norm=math.inf, seed_grad_norms={"a": math.nan}
    )
    assert math.isnan(host.train_loss)
    assert host.host_grad_norm == math.inf


def test_what_was_not_measured_is_none():
    """A slot without measured attribution does not report a contribution of 0."""
    slot = SlotSnapshot(slot_id="early", stage="DORMANT")
    assert slot.counterfactual_contribution is None
    assert slot.total_improvement is None
    assert HostSnapshot(epoch=1).val_accuracy is None
