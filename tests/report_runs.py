"""Experiments made of records, for the tests of what is made of many runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.runs import RunData
from karn_wandb.records import (
    CounterfactualMatrix,
    CounterfactualResult,
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    FactoredAction,
    HostSnapshot,
    PolicySnapshot,
    Record,
    RunInfo,
    SeedStage,
    ShapleyEstimate,
    SlotSnapshot,
    TelemetryEvent,
    TelemetryEventType,
    encode_event,
    encode_header,
)
from karn_wandb.schema.config import claims_config

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
HOST_PARAMS, SEED_PARAMS = 100_000, 30_000


@dataclass(frozen=True)
class Made:
    """A run to be made: `finals` are the final accuracies of its episodes, None for an episode that logged none.

    `removal` are removal costs of slots, of which the disabled one stays dormant; `seconds` is how long it trained. `claims` is
    the text of the claims file it was started with, `began` when that was, in minutes after `WHEN`, and `ended` when it
    ended, None without an outcome. `decisions` are what the policy did, what the heuristic would have done, and the regret where
    that was measured. `rewards` are the sums of its episodes' rewards, of which each then has an outcome.
    """

    run_id: str
    controller: str | None = "heuristic"
    seed: int | None = 0
    finals: Sequence[float | None] = (60.0,)
    loss: float | None = None
    state: str = "finished"
    reason: str = ""
    epochs: int = 4
    shapley: Mapping[str, float] = field(default_factory=dict)
    removal: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    source: str = "./runs"
    git_commit: str = "c0ffee"
    host_params: int = HOST_PARAMS
    seconds: float = 0.0
    data_hash: str = ""
    claims: str = ""
    began: int = 0
    ended: int | None = None
    decisions: Sequence[tuple[FactoredAction, FactoredAction | None] | tuple[FactoredAction, FactoredAction | None, float]] = ()
    rewards: Sequence[float] = ()


def pairs(treatment: Sequence[float], control: Sequence[float], **slots: float) -> list[Made]:
    """A grown and a host-only run for every two values."""
    made = []
    for seed, (grown, host) in enumerate(zip(treatment, control, strict=True)):
        made.append(Made(f"grown-{seed}", "heuristic", seed, (grown,), shapley=dict(slots)))
        made.append(Made(f"host-{seed}", "none", seed, (host,)))
    return made


def controls(full: Sequence[float], without: Mapping[str, Sequence[float]], **removal: Sequence[float]) -> list[Made]:
    """For each random seed a full run with these removal costs, and a run without each slot."""
    made = []
    for seed, value in enumerate(full):
        costs = {slot: values[seed] for slot, values in removal.items()}
        made.append(Made(f"full-{seed}", seed=seed, finals=(value,), removal=costs, config={"disabled_slot": "none"}))
        made += [
            Made(f"no-{slot}-{seed}", seed=seed, finals=(values[seed],), removal=costs, config={"disabled_slot": slot})
            for slot, values in without.items()
            if seed < len(values)
        ]
    return made


def of_sizes(sizes: Mapping[int, Sequence[float]], grown: Sequence[float] = (), host: int = HOST_PARAMS) -> list[Made]:
    """Host-only runs of several sizes, a random seed each, and grown runs on one of them; time goes with size."""
    made = [
        Made(f"host-{params}-{seed}", "none", seed, (value,), host_params=params, seconds=params / 1e3 + seed)
        for params, values in sizes.items()
        for seed, value in enumerate(values)
    ]
    made += [
        Made(f"grown-{seed}", "heuristic", seed, (value,), shapley={"early": 2.0}, host_params=host, seconds=host / 500)
        for seed, value in enumerate(grown)
    ]
    return made


def experiment(made: Sequence[Made], warnings: tuple[str, ...] = ()) -> Experiment:
    """The runs as if they had been read."""
    return Experiment(tuple(map(run, made)), warnings)


def write_logs(folder: Path, made: Sequence[Made]) -> Path:
    """The runs as record logs, a folder each, to be read by the real reader."""
    for each in made:
        data = run(each)
        info = RunInfo(run_id=data.run_id, name=data.name, config=data.config, claims=each.claims)
        ends = [_event(TelemetryEventType.EPISODE_OUTCOME, _outcome(each, e), e) for e in range(len(each.finals))]
        events = [
            _event(TelemetryEventType.TRAINING_STARTED, info, 0),
            *data.telemetry,
            *(ends if each.state != "crashed" else []),
        ]
        numbered = [replace(event, sequence=number) for number, event in enumerate(events)]
        path = folder / each.run_id / "records.jsonl"
        path.parent.mkdir(parents=True)
        path.write_bytes(encode_header() + b"".join(map(encode_event, numbered)))
    return folder


def _outcome(made: Made, episode: int) -> EpisodeOutcome:
    return EpisodeOutcome(
        epochs=made.epochs,
        reward_total=made.rewards[episode] if made.rewards else None,
        state="finished" if made.state == "finished" else "failed",
        reason=made.reason,
    )


def run(made: Made) -> RunData:
    """One of them."""
    config = {**({} if made.controller is None else {"controller": made.controller}), **made.config, **claims_config(made.claims)}
    return RunData(
        run_id=made.run_id,
        source=made.source,
        name=made.name,
        config=config,
        started=WHEN,
        state=made.state,
        reason=made.reason,
        telemetry=tuple(event for episode, final in enumerate(made.finals) for event in _episode(made, episode, final)),
    )


def _episode(made: Made, episode: int, final: float | None) -> list[TelemetryEvent]:
    found = [] if made.seed is None else [_event(TelemetryEventType.EPISODE_STARTED, _context(made), episode)]
    epochs = range(made.epochs + 1)
    for epoch in epochs:
        at = WHEN + timedelta(seconds=made.seconds * epoch / made.epochs)
        found.append(replace(_event(TelemetryEventType.EPOCH_COMPLETED, _snapshot(made, epoch, final), episode), timestamp=at))
    for ours, heuristic, *regret in made.decisions:
        decision = PolicySnapshot((), ours, heuristic_action=heuristic, regret=regret[0] if regret else None)
        found.append(_event(TelemetryEventType.DECISION_MADE, decision, episode))
    if made.shapley or made.removal:
        found.append(_event(TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, _matrix(made), episode))
    if made.ended is not None or made.rewards:
        outcome = _event(TelemetryEventType.EPISODE_OUTCOME, _outcome(made, episode), episode)
        found.append(replace(outcome, timestamp=WHEN + timedelta(minutes=made.ended or 0)))
    return found


def _event(kind: TelemetryEventType, record: Record, episode: int) -> TelemetryEvent:
    return TelemetryEvent(kind, data=record, timestamp=WHEN, episode_idx=episode)


def _context(made: Made) -> EpisodeContext:
    return EpisodeContext(
        episode_id=f"{made.run_id}-episode",
        timestamp=WHEN + timedelta(minutes=made.began),
        git_commit=made.git_commit,
        data_hash=made.data_hash,
        base_seed=made.seed,
        torch_seed=made.seed,
        numpy_seed=made.seed,
        host_architecture="cnn",
        host_params=made.host_params,
        slot_config={},
        max_epochs=made.epochs,
        task_type="classification",
        hyperparameters={},
        library_versions={"torch": "2.13.0"},
    )


def _snapshot(made: Made, epoch: int, final: float | None) -> EpochSnapshot:
    share = 1 - math.exp(-3 * epoch / made.epochs)
    reached = None if final is None else final if epoch == made.epochs else 10 + (final - 10) * share
    grown = SEED_PARAMS if made.shapley else 0
    loss = made.loss if made.loss is not None else None if reached is None else 2 - reached / 100
    host = HostSnapshot(
        epoch=epoch,
        val_accuracy=reached,
        val_loss=loss,
        host_params=made.host_params,
        total_seed_params=grown,
        total_params=made.host_params + grown,
    )
    stage = SeedStage.TRAINING if epoch < made.epochs else SeedStage.FOSSILIZED
    names = [slot for slot in (*made.shapley, *made.removal) if slot != made.config.get("disabled_slot")] if epoch else []
    slots = {slot: SlotSnapshot(slot, stage, seed_params=0, alpha=share) for slot in names}
    return EpochSnapshot(epoch=epoch, host=host, slots=slots)


def _matrix(made: Made) -> CounterfactualMatrix:
    slots = (*made.shapley, *made.removal)
    values = {
        slot: ShapleyEstimate(mean, 0.4, 8, algorithm="exact", ci_low=mean - 0.8, ci_high=mean + 0.8, exact=True)
        for slot, mean in made.shapley.items()
    }
    everything = CounterfactualResult((True,) * len(slots), val_loss=1.0, val_accuracy=60.0)
    removed = tuple(
        CounterfactualResult(tuple(other != slot for other in slots), val_loss=1.0 + cost / 100, val_accuracy=60.0 - cost)
        for slot, cost in made.removal.items()
    )
    return CounterfactualMatrix(epoch=made.epochs, configs=(everything, *removed), shapley_values=values or None, slot_ids=slots)
