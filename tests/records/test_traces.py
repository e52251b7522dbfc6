"""Tier 3: triggers, batches, gates, stage transitions, dense traces."""

from __future__ import annotations

import math
from itertools import product

import pytest

from karn_wandb.errors import RecordError, TransitionError
from karn_wandb.records import (
    LEGAL_TRANSITIONS,
    BatchMetrics,
    DenseTrace,
    DenseTraceTrigger,
    GateEvaluationTrace,
    SeedStage,
    StageTransition,
)

# Fields and defaults as in the requirement, tier 3
TRIGGER = {
    "stage_transition": True,
    "loss_spike_threshold": 2.0,
    "accuracy_drop_threshold": 5.0,
    "gradient_explosion": 100.0,
    "gate_failure": True,
    "value_collapse": True,
    "entropy_collapse": True,
    "force_dense": False,
}
BATCH = {
    "epoch": 3,
    "batch_idx": 17,
    "loss": 0.7,
    "accuracy": 71.9,
    "host_grad_norm": 1.2,
    "seed_grad_norms": {"early": 0.3},
    "isolation_leakage": None,
}
TRACE = {
    "trigger_reason": "loss_spike",
    "window_start_epoch": 3,
    "window_end_epoch": 4,
    "batch_metrics": (BatchMetrics(**BATCH),),
    "gradient_histograms": {"conv1": (1.0, 4.0, 2.0)},
    "gradient_flow": {"conv1": 0.02},
    "activation_means": {"conv1": 0.1},
    "activation_stds": {"conv1": 0.9},
    "dead_neuron_counts": {"conv1": 3},
    "gate_evaluation_details": GateEvaluationTrace(slot_id="early", gate="G2", passed=False),
}
GATE = {"slot_id": "early", "gate": "G2", "passed": False, "checks_failed": ("gradient_health",)}
CHANGE = {"slot_id": "early", "from_stage": "DORMANT", "to_stage": "GERMINATED"}


@pytest.mark.parametrize(("cls", "given"), [(DenseTraceTrigger, TRIGGER), (BatchMetrics, BATCH), (DenseTrace, TRACE)])
def test_the_requirements_fields_alone_make_the_record(cls, given):
    record = cls(**given)
    assert {name: getattr(record, name) for name in given} == given


def test_triggers_have_the_requirements_defaults():
    trigger = DenseTraceTrigger()
    assert {name: getattr(trigger, name) for name in TRIGGER} == TRIGGER


@pytest.mark.parametrize(
    ("cls", "given", "bad", "message"),
    [
        (
            BatchMetrics,
            BATCH,
            {"accuracy": math.nan},
            "BatchMetrics.accuracy must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100.",
        ),
        (BatchMetrics, BATCH, {"loss": None}, "BatchMetrics.loss must be a number; got None (NoneType)."),
        (BatchMetrics, BATCH, {"batch_idx": -1}, "BatchMetrics.batch_idx must be at least 0; got -1."),
        (
            BatchMetrics,
            BATCH,
            {"seed_grad_norms": {"early": None}},
            "BatchMetrics.seed_grad_norms['early'] must be a number; got None (NoneType).",
        ),
        (
            DenseTraceTrigger,
            TRIGGER,
            {"loss_spike_threshold": math.inf},
            "DenseTraceTrigger.loss_spike_threshold must be at least 0; got inf.",
        ),
        (
            GateEvaluationTrace,
            GATE,
            {"gate": "g2"},
            "GateEvaluationTrace.gate must be one of 'G0', 'G1', 'G2', 'G3', 'G4', 'G5'; got 'g2' (str).",
        ),
        (
            GateEvaluationTrace,
            GATE,
            {"passed": True, "checks_failed": ("alpha", "host_hurt")},
            (
                "gate G2 of slot 'early' cannot be passed with failed checks; got alpha, host_hurt. "
                "A gate is passed when all of its checks hold."
            ),
        ),
        (StageTransition, CHANGE, {"alpha": -0.1}, "StageTransition.alpha must be between 0 and 1; got -0.1."),
        (
            StageTransition,
            CHANGE,
            {"to_stage": "FOSSILIZED"},
            "slot 'early' cannot go from DORMANT to FOSSILIZED. After DORMANT comes GERMINATED.",
        ),
        (
            DenseTrace,
            TRACE,
            {"window_end_epoch": 2},
            "DenseTrace's window must not end before it starts; got epochs 3 to 2.",
        ),
        (
            DenseTrace,
            TRACE,
            {"histogram_edges": {"conv1": (0.0, 1.0, 2.0)}},
            "DenseTrace.histogram_edges['conv1'] must have one edge more than there are bins; got 3 edges for 3 bins.",
        ),
        (
            DenseTrace,
            TRACE,
            {"histogram_edges": {"conv2": (0.0, 1.0)}},
            "DenseTrace.histogram_edges['conv2'] must have one edge more than there are bins; got 2 edges for 0 bins.",
        ),
        (
            DenseTrace,
            TRACE,
            {"dead_neuron_counts": {"conv1": -1}},
            "DenseTrace.dead_neuron_counts['conv1'] must be at least 0; got -1.",
        ),
        (
            DenseTrace,
            TRACE,
            {"batch_metrics": [{"loss": 1.0}]},
            "DenseTrace.batch_metrics[0] must be a BatchMetrics; got {'loss': 1.0} (dict).",
        ),
    ],
)
def test_bad_input_is_refused_in_words(cls, given, bad, message):
    with pytest.raises(RecordError) as raised:
        cls(**{**given, **bad})
    assert str(raised.value) == message


@pytest.mark.parametrize(("before", "after"), list(product(SeedStage, SeedStage)), ids=lambda stage: stage.name)
def test_a_stage_transition_that_can_be_recorded_is_legal(before, after):
    if after in LEGAL_TRANSITIONS[before]:
        assert StageTransition(slot_id="early", from_stage=before, to_stage=after).to_stage is after
        return
    with pytest.raises(TransitionError):
        StageTransition(slot_id="early", from_stage=before, to_stage=after)


def test_losses_and_gradients_may_be_anything():
    batch = BatchMetrics(epoch=1, batch_idx=0, loss=math.nan, host_grad_norm=math.inf)
    trace = DenseTrace(trigger_reason="non_finite", window_start_epoch=1, window_end_epoch=1, activation_means={"a": math.nan})
    assert math.isnan(batch.loss)
    assert math.isnan(trace.activation_means["a"])


def test_edges_that_fit_their_bins_are_kept():
    trace = DenseTrace(**TRACE, histogram_edges={"conv1": (-1.0, 0.0, 0.5, 1.0)})
    assert trace.histogram_edges["conv1"] == (-1.0, 0.0, 0.5, 1.0)
