"""Events made by hand, one line each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from karn_wandb.records import (
    CounterfactualMatrix,
    CounterfactualResult,
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    HostSnapshot,
    ShapleyEstimate,
    TelemetryEvent,
)

BEGUN = datetime(2026, 11, 22, 13, tzinfo=timezone(timedelta(hours=1)))
CONTEXT = EpisodeContext(
    "e",
    BEGUN,
    "c" * 40,
    7,
    2**64 - 1,
    7,
    "cnn_3block",
    100,
    {"early": 8},
    3,
    "classification",
    {"lr": 0.1, "opt": {"name": "sgd"}},
)
MATRIX = CounterfactualMatrix(
    epoch=4,
    configs=(
        CounterfactualResult((True, False, True), val_accuracy=60.0, val_loss=1.0),
        CounterfactualResult((False, False, False), val_accuracy=50.0),
    ),
    slot_ids=("early", "mid", "late"),
    marginal_contributions={"early": 1.0, "mid": 2.0},
    marginal_basis="factorial_main_effect",
    shapley_values={"early": ShapleyEstimate(1.5, 0.25, 8, "exact", 1.0, 2.0, exact=True)},
    complete=False,
)


def event(kind: str, data: object, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> TelemetryEvent:
    return TelemetryEvent(kind, data=data, env_id=env_id, episode_idx=episode_idx, scoped=scoped)


def context(where: tuple[int, int] = (0, 0), *, scoped: bool = False, **changes: object) -> TelemetryEvent:
    return event("EPISODE_STARTED", replace(CONTEXT, **changes), *where, scoped=scoped)


def outcome(where: tuple[int, int] = (0, 0), *, scoped: bool = False, **fields: object) -> TelemetryEvent:
    return event("EPISODE_OUTCOME", EpisodeOutcome(**({"epochs": 0} | fields)), *where, scoped=scoped)


def epoch(
    number: int, where: tuple[int, int] = (0, 0), *, slots: object = (), scoped: bool = False, **host: object
) -> TelemetryEvent:
    snapshot = EpochSnapshot(number, HostSnapshot(number, **host), {slot.slot_id: slot for slot in slots})
    return event("EPOCH_COMPLETED", snapshot, *where, scoped=scoped)


def stamped(*events: TelemetryEvent) -> tuple[TelemetryEvent, ...]:
    """The events as a collector hands them on."""
    return tuple(replace(event, sequence=i, timestamp=BEGUN) for i, event in enumerate(events))
