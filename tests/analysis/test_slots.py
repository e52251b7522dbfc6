"""A slot's snapshot completed with what was measured: improvements, removal cost, gates; None where nothing was."""

from dataclasses import replace

import pytest

from karn_wandb.analysis import SlotHistory
from karn_wandb.analysis.slots import removal_cost
from karn_wandb.records import (
    CounterfactualMatrix,
    CounterfactualResult,
    EpochSnapshot,
    GateEvaluationTrace,
    HostSnapshot,
    SeedStage,
    SlotSnapshot,
    StageTransition,
)

TRAINING = SlotSnapshot("early", SeedStage.TRAINING, epochs_in_stage=2, seed_params=7, alpha=0.5)
EMPTY = SlotSnapshot("early", SeedStage.DORMANT)
GERMINATION = StageTransition("early", SeedStage.DORMANT, SeedStage.GERMINATED)
PRUNING = StageTransition("early", SeedStage.TRAINING, SeedStage.PRUNED)

MATRIX = CounterfactualMatrix(
    epoch=5,
    configs=(
        CounterfactualResult((True, True), val_accuracy=65.0, val_loss=1.0),
        CounterfactualResult((False, True), val_accuracy=61.0, val_loss=1.5),
        CounterfactualResult((False, False), val_accuracy=50.0),
    ),
    slot_ids=("early", "late"),
)


def epoch(number, accuracy, slot=None):
    return EpochSnapshot(number, HostSnapshot(number, val_accuracy=accuracy), {} if slot is None else {"early": slot})


def history(*records):
    made = SlotHistory()
    for record in records:
        made.observe(record)
    return made


class TestImprovement:
    def test_counts_from_the_accuracy_at_germination_and_from_one_epoch_ago(self):
        made = history(epoch(1, 40.0), epoch(2, 50.0), GERMINATION, epoch(3, 53.0, TRAINING))
        completed = made.complete(TRAINING, 4, 54.5)
        assert completed.total_improvement == 4.5
        assert completed.improvement_this_epoch == 1.5

    def test_without_stage_events_a_seed_module_germinated_after_the_last_epoch_without_it(self):
        made = history(epoch(1, 40.0, EMPTY))
        assert made.complete(TRAINING, 2, 43.0).total_improvement == 3.0
        made.observe(epoch(2, 43.0, TRAINING))
        assert made.complete(TRAINING, 3, 47.0).total_improvement == 7.0

    def test_starts_anew_with_each_seed_module(self):
        made = history(epoch(1, 40.0), GERMINATION, epoch(2, 45.0, TRAINING), PRUNING, epoch(3, 44.0, EMPTY))
        assert made.complete(TRAINING, 4, 46.0).total_improvement == 2.0

    def test_is_unknown_for_a_seed_module_that_was_there_from_the_start(self):
        made = history(GERMINATION)
        assert made.complete(TRAINING, 1, 40.0).total_improvement is None
        made.observe(epoch(1, 40.0, TRAINING))
        assert made.complete(TRAINING, 2, 45.0).total_improvement is None

    @pytest.mark.parametrize(
        ("records", "number", "accuracy"),
        [((), 1, 40.0), ((epoch(1, None),), 2, 40.0), ((epoch(1, 40.0),), 2, None), ((epoch(1, 40.0),), 3, 41.0)],
        ids=["first epoch", "nothing measured before", "nothing measured now", "an epoch was left out"],
    )
    def test_of_this_epoch_is_unknown_unless_this_and_the_one_before_were_measured(self, records, number, accuracy):
        assert history(*records).complete(TRAINING, number, accuracy).improvement_this_epoch is None

    def test_that_is_zero_is_zero(self):
        assert history(epoch(1, 40.0)).complete(TRAINING, 2, 40.0).improvement_this_epoch == 0.0


class TestRemovalCost:
    def test_is_all_slots_on_minus_all_but_this_one(self):
        assert removal_cost(MATRIX, "early", 5) == 4.0
        assert history(MATRIX).complete(TRAINING, 5, 65.0).counterfactual_contribution == 4.0

    @pytest.mark.parametrize(
        ("matrix", "slot_id", "number"),
        [
            (None, "early", 5),
            (MATRIX, "early", 6),
            (MATRIX, "late", 5),
            (MATRIX, "other", 5),
            (replace(MATRIX, metric="loss"), "early", 5),
        ],
        ids=["no matrix", "matrix of another epoch", "coalition not evaluated", "slot not in it", "another game"],
    )
    def test_is_unknown_without_the_two_values_in_the_matrix_of_the_same_epoch(self, matrix, slot_id, number):
        assert removal_cost(matrix, slot_id, number) is None

    def test_is_of_the_newest_matrix(self):
        assert history(MATRIX, replace(MATRIX, epoch=6)).complete(TRAINING, 5, 65.0).counterfactual_contribution is None


def test_the_newest_gate_of_the_slot_itself_is_shown():
    gate = GateEvaluationTrace("early", "G1", passed=True, message="isolated")
    other = GateEvaluationTrace("late", "G3", passed=True)
    made = history(gate, replace(gate, gate="G2", passed=False, message="too little learned"), other)
    completed = made.complete(TRAINING, 1, 40.0)
    assert (completed.last_gate_attempted, completed.last_gate_passed) == ("G2", False)
    assert completed.last_gate_reason == "too little learned"
    assert history(other).complete(TRAINING, 1, 40.0).last_gate_passed is None


def test_what_the_slot_says_of_itself_stays_with_or_without_a_seed_id():
    for slot in (TRAINING, replace(TRAINING, seed_id="s1")):
        completed = history(epoch(1, 40.0), MATRIX).complete(slot, 2, 42.0)
        assert replace(completed, total_improvement=None, improvement_this_epoch=None) == slot
        assert completed.improvement_this_epoch == 2.0


def test_an_empty_slot_has_no_improvement():
    assert history(epoch(1, 40.0), MATRIX).complete(EMPTY, 2, 42.0) == EMPTY
