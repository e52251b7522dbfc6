"""Tables and histograms: the same values as the rows, laid out for people to look at in W&B."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from karn_wandb.records import (
    BatchMetrics,
    CounterfactualMatrix,
    DenseTrace,
    EpisodeOutcome,
    GateEvaluationTrace,
    PolicySnapshot,
    Record,
    SeedLayerNorm,
    TelemetryEvent,
)
from karn_wandb.schema.names import escape

Cell = int | float | bool | str | None

MAX_ROWS = 200_000
"""Rows W&B keeps of a table; a longer one is logged in parts."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One W&B table: which records fill it, its columns, and the rows of one record."""

    name: str
    record: type[Record]
    columns: tuple[str, ...]
    rows: Callable[[Any], Iterable[tuple[Cell, ...]]]


def _counterfactual(matrix: CounterfactualMatrix) -> Iterator[tuple[Cell, ...]]:
    for result in matrix.configs:
        on = [slot for slot, present in zip(matrix.slot_ids, result.config, strict=False) if present]
        config = "".join("1" if present else "0" for present in result.config)
        names = ", ".join(on) or "none" if matrix.slot_ids else None
        yield (
            matrix.epoch, config, names, result.val_accuracy, result.val_loss, matrix.strategy, matrix.complete,
            matrix.n_examples, matrix.examples_available, matrix.early_stop,
        )  # fmt: skip


def _shapley(matrix: CounterfactualMatrix) -> Iterator[tuple[Cell, ...]]:
    for slot, e in (matrix.shapley_values or {}).items():
        marginal = matrix.marginal_contributions.get(slot)
        yield (
            matrix.epoch, slot, e.mean, e.std, e.ci_low, e.ci_high, e.n_samples, e.algorithm, e.exact,
            e.sampling_std, e.evaluation_std, e.evaluation_method, marginal, matrix.marginal_basis, str(matrix.validity),
        )  # fmt: skip


def _interactions(matrix: CounterfactualMatrix) -> Iterator[tuple[Cell, ...]]:
    for pair, e in matrix.pairs().items():
        yield (
            matrix.epoch, " + ".join(pair), e.effect, e.std, e.ci_low, e.ci_high, e.regime, e.evaluation_method,
            matrix.interaction_basis,
        )  # fmt: skip


def _gates(gate: GateEvaluationTrace) -> Iterator[tuple[Cell, ...]]:
    target = gate.target_stage.name if gate.target_stage else None
    passed, failed = ", ".join(gate.checks_passed), ", ".join(gate.checks_failed)
    yield (gate.epoch, gate.slot_id, gate.gate, gate.passed, target, passed, failed, gate.message)


def _decisions(decision: PolicySnapshot) -> Iterator[tuple[Cell, ...]]:
    action, shadow = decision.action, decision.heuristic_action
    yield (
        action.op, action.slot, action.blueprint, action.blend, decision.action_was_masked, decision.value_estimate,
        decision.entropy, decision.reward_total, shadow.op if shadow else None, decision.regret, decision.explanation,
    )  # fmt: skip


def _batches(batch: BatchMetrics) -> Iterator[tuple[Cell, ...]]:
    yield (batch.epoch, batch.batch_idx, batch.loss, batch.accuracy, batch.host_grad_norm, batch.isolation_leakage)


def _layers(norm: SeedLayerNorm) -> Iterator[tuple[Cell, ...]]:
    yield (norm.epoch, norm.slot_id, norm.seed_id, norm.stage.name, norm.layer, norm.value)


def _episodes(outcome: EpisodeOutcome) -> Iterator[tuple[Cell, ...]]:
    yield (
        outcome.state, outcome.epochs, outcome.final_accuracy, outcome.accuracy_delta, outcome.total_params,
        outcome.param_ratio, outcome.germinated, outcome.fossilized, outcome.pruned, outcome.reason,
    )  # fmt: skip


TABLES: tuple[TableSpec, ...] = (
    TableSpec(
        "tables/counterfactual",
        CounterfactualMatrix,
        (
            "epoch", "config", "slots_on", "val_accuracy", "val_loss", "strategy", "complete",
            "n_examples", "examples_available", "early_stop",
        ),
        _counterfactual,
    ),
    TableSpec(
        "tables/shapley",
        CounterfactualMatrix,
        (
            "epoch", "slot", "mean", "std", "ci_low", "ci_high", "n_samples", "algorithm", "exact",
            "sampling_std", "evaluation_std", "evaluation_method", "marginal", "marginal_basis", "validity",
        ),
        _shapley,
    ),
    TableSpec(
        "tables/interactions",
        CounterfactualMatrix,
        ("epoch", "slots", "effect", "std", "ci_low", "ci_high", "regime", "evaluation_method", "basis"),
        _interactions,
    ),
    TableSpec(
        "tables/gates",
        GateEvaluationTrace,
        ("epoch", "slot", "gate", "passed", "target_stage", "checks_passed", "checks_failed", "message"),
        _gates,
    ),
    TableSpec(
        "tables/decisions",
        PolicySnapshot,
        (
            "op", "slot", "blueprint", "blend", "masked", "value", "entropy", "reward", "heuristic_op", "regret",
            "explanation",
        ),
        _decisions,
    ),
    TableSpec(
        "tables/batches",
        BatchMetrics,
        ("epoch", "batch", "loss", "accuracy", "host_grad_norm", "isolation_leakage"),
        _batches,
    ),
    TableSpec("tables/layers", SeedLayerNorm, ("epoch", "slot", "seed_id", "stage", "layer", "value"), _layers),
    TableSpec(
        "tables/episodes",
        EpisodeOutcome,
        (
            "state", "epochs", "final_accuracy", "accuracy_delta", "total_params", "param_ratio",
            "germinated", "fossilized", "pruned", "reason",
        ),
        _episodes,
    ),
)  # fmt: skip
"""Every table, in the order they are logged."""


def part_name(name: str, part: int) -> str:
    """Name of a table's first, second, ... part; the first has the table's own."""
    return name if part == 1 else f"{name}_{part}"


EVENT_COLUMNS = ("env_id", "episode_idx", "tick")
"""Columns every table starts with: which episode, and when by the record's own clock."""


def table_rows(spec: TableSpec, event: TelemetryEvent) -> Iterator[list[Cell]]:
    """The rows an event adds to a table, none when it is of another kind; a cell W&B cannot draw is left empty."""
    if isinstance(event.data, spec.record):
        for row in spec.rows(event.data):
            drawable = (None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in row)
            yield [event.env_id, event.episode_idx, event.tick, *drawable]


def histograms(record: Record) -> Iterator[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    """Histograms of a dense trace as (key, counts, edges); layers without edges have none W&B could draw."""
    if isinstance(record, DenseTrace):
        for layer, counts in record.gradient_histograms.items():
            if layer in record.histogram_edges:
                yield f"trace/gradient/{escape(layer)}", counts, record.histogram_edges[layer]
