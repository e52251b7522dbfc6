"""Tables and histograms: the records' values laid out for people, never one that was not measured."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from strategies import events, records

from karn_wandb.records import (
    BatchMetrics,
    CounterfactualMatrix,
    CounterfactualResult,
    DenseTrace,
    EpisodeOutcome,
    FactoredAction,
    GateEvaluationTrace,
    InteractionEstimate,
    PolicySnapshot,
    SeedLayerNorm,
    SeedStage,
    ShapleyEstimate,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.schema.tables import EVENT_COLUMNS, TABLES, histograms, table_rows

SPEC = {spec.name: spec for spec in TABLES}

MATRIX = CounterfactualMatrix(
    epoch=7,
    configs=(
        CounterfactualResult((True, True), val_accuracy=65.0, val_loss=math.nan),
        CounterfactualResult((False, True), val_accuracy=62.0),
        CounterfactualResult((False, False)),
    ),
    slot_ids=("early", "late"),
    shapley_values={"early": ShapleyEstimate(mean=2.5, std=None, n_samples=4, algorithm="exact", exact=True)},
    marginal_contributions={"early": 3.0},
    marginal_basis="removal_cost",
    interaction_effects={("early", "late"): 2.0},
    interaction_basis="empty_corner",
    n_examples=500,
    examples_available=2000,
    early_stop="every claim is decided",
)


def drawn(name, event_type, record, tick=7):
    """The table's rows for a record, as mappings, without the columns every table starts with."""
    spec = SPEC[name]
    event = TelemetryEvent(event_type, data=record, env_id=1, episode_idx=2, tick=tick)
    rows = [dict(zip((*EVENT_COLUMNS, *spec.columns), row, strict=True)) for row in table_rows(spec, event)]
    assert all([row.pop(c) for c in EVENT_COLUMNS] == [1, 2, tick] for row in rows)
    return rows


def test_the_tables_are_those_of_the_contract():
    names = ("counterfactual", "shapley", "interactions", "gates", "decisions", "batches", "layers", "episodes")
    assert [spec.name for spec in TABLES] == [f"tables/{name}" for name in names]


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_any_record_fills_each_column_with_a_value_wandb_can_draw(spec):
    @settings(max_examples=25)
    @given(records(spec.record))
    def check(record):
        for row in table_rows(spec, TelemetryEvent(TelemetryEventType.MEMORY_WARNING, data=record)):
            assert len(row) == len(EVENT_COLUMNS) + len(spec.columns)
            assert all(cell is None or type(cell) in (int, float, bool, str) for cell in row)
            assert all(math.isfinite(cell) for cell in row if isinstance(cell, float))

    check()


@settings(max_examples=50)
@given(events())
def test_an_event_adds_rows_and_histograms_of_its_own_record_only(event):
    for spec in TABLES:
        assert isinstance(event.data, spec.record) or not list(table_rows(spec, event))
    assert isinstance(event.data, DenseTrace) or not list(histograms(event.data))


def test_coalitions_are_named_and_nan_is_an_empty_cell():
    same = {"epoch": 7, "strategy": "full_factorial", "complete": True}
    same |= {"n_examples": 500, "examples_available": 2000, "early_stop": "every claim is decided"}
    assert drawn("tables/counterfactual", TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, MATRIX) == [
        {"config": "11", "slots_on": "early, late", "val_accuracy": 65.0, "val_loss": None, **same},
        {"config": "01", "slots_on": "late", "val_accuracy": 62.0, "val_loss": None, **same},
        {"config": "00", "slots_on": "none", "val_accuracy": None, "val_loss": None, **same},
    ]


def test_coalitions_of_a_matrix_that_does_not_name_its_slots_stay_unnamed():
    matrix = CounterfactualMatrix(epoch=1, configs=(CounterfactualResult((True, False), val_accuracy=1.0),))
    (row,) = drawn("tables/counterfactual", TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, matrix)
    assert (row["config"], row["slots_on"]) == ("10", None)


def test_a_shapley_value_comes_with_its_basis_and_its_validity_note():
    (row,) = drawn("tables/shapley", TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, MATRIX)
    assert row.pop("validity") == str(MATRIX.validity)
    assert row == {
        "epoch": 7, "slot": "early", "mean": 2.5, "std": None, "ci_low": None, "ci_high": None, "n_samples": 4,
        "algorithm": "exact", "exact": True, "sampling_std": None, "evaluation_std": None, "evaluation_method": None,
        "marginal": 3.0, "marginal_basis": "removal_cost",
    }  # fmt: skip


def test_an_estimate_says_where_its_error_comes_from():
    parts = {"sampling_std": 0.3, "evaluation_std": 0.4, "evaluation_method": "group_jackknife"}
    matrix = replace(MATRIX, shapley_values={"early": ShapleyEstimate(mean=2.5, std=0.5, n_samples=4, **parts)})
    (row,) = drawn("tables/shapley", TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, matrix)
    assert parts.items() <= row.items()


def test_an_interaction_names_the_corner_it_is_seen_from_and_is_undecided_without_an_interval():
    (row,) = drawn("tables/interactions", TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, MATRIX)
    assert row == {
        "epoch": 7, "slots": "early + late", "effect": 2.0, "std": None, "ci_low": None, "ci_high": None, "regime": "undecided",
        "evaluation_method": None, "basis": "empty_corner",
    }  # fmt: skip


def test_an_interaction_with_an_interval_shows_it_and_its_regime():
    known = InteractionEstimate(2.0, 0.5, 1.0, 3.0, "synergy", "per_example")
    matrix = replace(MATRIX, interactions={("early", "late"): known})
    (row,) = drawn("tables/interactions", TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, matrix)
    assert (row["effect"], row["std"], row["ci_low"], row["ci_high"]) == (2.0, 0.5, 1.0, 3.0)
    assert (row["regime"], row["evaluation_method"]) == ("synergy", "per_example")


def test_a_gate_shows_its_checks():
    gate = GateEvaluationTrace("early", "G2", False, SeedStage.BLENDING, 3, checks_failed=("a", "b"), message="no")  # noqa: FBT003 -- the record's own order
    assert drawn("tables/gates", TelemetryEventType.SEED_GATE_EVALUATED, gate) == [
        {
            "epoch": 3, "slot": "early", "gate": "G2", "passed": False, "target_stage": "BLENDING", "checks_passed": "",
            "checks_failed": "a, b", "message": "no",
        }
    ]  # fmt: skip


def test_a_decision_shows_the_shadow_heuristic_s_beside_it():
    decision = PolicySnapshot(
        (), FactoredAction("WAIT"), heuristic_action=FactoredAction("PRUNE"), explanation="too early", regret=-0.25
    )
    assert drawn("tables/decisions", TelemetryEventType.DECISION_MADE, decision) == [
        {
            "op": "WAIT", "slot": None, "blueprint": None, "blend": None, "masked": False, "value": None, "entropy": None,
            "reward": None, "heuristic_op": "PRUNE", "regret": -0.25, "explanation": "too early",
        }
    ]  # fmt: skip


def test_a_batch_and_an_outcome_are_one_row_each():
    assert drawn("tables/batches", TelemetryEventType.BATCH_COMPLETED, BatchMetrics(1, 4, 0.5)) == [
        {"epoch": 1, "batch": 4, "loss": 0.5, "accuracy": None, "host_grad_norm": None, "isolation_leakage": None}
    ]
    (row,) = drawn("tables/episodes", TelemetryEventType.EPISODE_OUTCOME, EpisodeOutcome(epochs=9, fossilized=1, germinated=2))
    assert row == {
        "state": "finished", "epochs": 9, "final_accuracy": None, "accuracy_delta": None, "total_params": None,
        "param_ratio": None, "germinated": 2, "fossilized": 1, "pruned": 0, "reason": "",
    }  # fmt: skip


@pytest.mark.parametrize(("value", "cell"), [(0.25, 0.25), (math.nan, None)])
def test_a_seed_module_s_layer_is_one_row_with_its_stage_by_name(value, cell):
    norm = SeedLayerNorm("early", "early-1", SeedStage.TRAINING, "conv.0", value, epoch=4)
    assert drawn("tables/layers", TelemetryEventType.SEED_LAYER_NORM_MEASURED, norm) == [
        {"epoch": 4, "slot": "early", "seed_id": "early-1", "stage": "TRAINING", "layer": "conv.0", "value": cell}
    ]


def test_a_dense_trace_gives_a_histogram_for_each_layer_with_edges():
    trace = DenseTrace(
        "loss_spike", 1, 2, gradient_histograms={"conv.1": (3.0, 4.0), "fc": (1.0,)}, histogram_edges={"conv.1": (0.0, 1.0, 2.0)}
    )
    assert list(histograms(trace)) == [("trace/gradient/conv_x2e_1", (3.0, 4.0), (0.0, 1.0, 2.0))]


def test_a_layer_with_a_lone_edge_has_no_histogram():
    trace = DenseTrace("loss_spike", 1, 2, histogram_edges={"fc": (0.0,)})
    assert list(histograms(trace)) == []
