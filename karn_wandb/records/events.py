"""The envelope every record travels in."""

from __future__ import annotations

from dataclasses import field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Annotated, Literal

from karn_wandb.errors import RecordError
from karn_wandb.records._kinds import Bounds, Count
from karn_wandb.records._record import Payload, Record, record
from karn_wandb.records.counterfactual import CounterfactualMatrix
from karn_wandb.records.episode import EpisodeContext, EpisodeOutcome, HostBaseline, RunInfo
from karn_wandb.records.layers import LayerStatistics, SeedLayerNorm, SeedLayerNorms
from karn_wandb.records.policy import PolicySnapshot, PPOUpdate
from karn_wandb.records.readings import Alert, ClaimReading, HealthReport
from karn_wandb.records.snapshots import EpochSnapshot
from karn_wandb.records.traces import BatchMetrics, DenseTrace, GateEvaluationTrace, StageTransition


class TelemetryEventType(Enum):
    """What happened.

    The requirement leaves the members open. Where the original project (esper-lite, leyline/telemetry) emits an
    event for the same thing, its name is used, so that an adapter maps names one to one; the second group has no
    counterpart there. Only members above the third group carry a record of their own; the others are a user's to
    emit, with free-form data.
    """

    TRAINING_STARTED = "TRAINING_STARTED"
    EPOCH_COMPLETED = "EPOCH_COMPLETED"
    SEED_GERMINATED = "SEED_GERMINATED"
    SEED_STAGE_CHANGED = "SEED_STAGE_CHANGED"
    SEED_FOSSILIZED = "SEED_FOSSILIZED"
    SEED_PRUNED = "SEED_PRUNED"
    SEED_GATE_EVALUATED = "SEED_GATE_EVALUATED"
    COUNTERFACTUAL_MATRIX_COMPUTED = "COUNTERFACTUAL_MATRIX_COMPUTED"
    PPO_UPDATE_COMPLETED = "PPO_UPDATE_COMPLETED"
    EPISODE_OUTCOME = "EPISODE_OUTCOME"

    EPISODE_STARTED = "EPISODE_STARTED"
    BASELINE_RECORDED = "BASELINE_RECORDED"
    BATCH_COMPLETED = "BATCH_COMPLETED"
    DECISION_MADE = "DECISION_MADE"
    DENSE_TRACE_RECORDED = "DENSE_TRACE_RECORDED"
    CLAIM_READ = "CLAIM_READ"
    HEALTH_READ = "HEALTH_READ"
    ALERT_RAISED = "ALERT_RAISED"
    LAYERS_MEASURED = "LAYERS_MEASURED"
    SEED_LAYER_NORM_MEASURED = "SEED_LAYER_NORM_MEASURED"
    SEED_LAYER_NORMS_MEASURED = "SEED_LAYER_NORMS_MEASURED"

    BATCH_EPOCH_COMPLETED = "BATCH_EPOCH_COMPLETED"
    ANALYTICS_SNAPSHOT = "ANALYTICS_SNAPSHOT"
    CHECKPOINT_LOADED = "CHECKPOINT_LOADED"
    TOPOLOGY_MANIFEST_RECORDED = "TOPOLOGY_MANIFEST_RECORDED"
    TAMIYO_INITIATED = "TAMIYO_INITIATED"
    PLATEAU_DETECTED = "PLATEAU_DETECTED"
    DEGRADATION_DETECTED = "DEGRADATION_DETECTED"
    IMPROVEMENT_DETECTED = "IMPROVEMENT_DETECTED"
    RATIO_EXPLOSION_DETECTED = "RATIO_EXPLOSION_DETECTED"
    RATIO_COLLAPSE_DETECTED = "RATIO_COLLAPSE_DETECTED"
    VALUE_COLLAPSE_DETECTED = "VALUE_COLLAPSE_DETECTED"
    NUMERICAL_INSTABILITY_DETECTED = "NUMERICAL_INSTABILITY_DETECTED"
    GRADIENT_PATHOLOGY_DETECTED = "GRADIENT_PATHOLOGY_DETECTED"
    GRADIENT_ANOMALY = "GRADIENT_ANOMALY"
    GOVERNOR_ROLLBACK = "GOVERNOR_ROLLBACK"
    PERFORMANCE_DEGRADATION = "PERFORMANCE_DEGRADATION"
    MEMORY_WARNING = "MEMORY_WARNING"
    REWARD_HACKING_SUSPECTED = "REWARD_HACKING_SUSPECTED"
    ALLOCATOR_STATS = "ALLOCATOR_STATS"
    PHASE_PROFILE_COMPLETED = "PHASE_PROFILE_COMPLETED"
    MORPHOLOGY_CAUSAL_LOG = "MORPHOLOGY_CAUSAL_LOG"


_STAGE_EVENTS = (
    TelemetryEventType.SEED_STAGE_CHANGED,
    TelemetryEventType.SEED_GERMINATED,
    TelemetryEventType.SEED_FOSSILIZED,
    TelemetryEventType.SEED_PRUNED,
)

RECORD_OF = MappingProxyType(
    {
        TelemetryEventType.TRAINING_STARTED: RunInfo,
        TelemetryEventType.EPISODE_STARTED: EpisodeContext,
        TelemetryEventType.BASELINE_RECORDED: HostBaseline,
        TelemetryEventType.BATCH_COMPLETED: BatchMetrics,
        TelemetryEventType.EPOCH_COMPLETED: EpochSnapshot,
        TelemetryEventType.DECISION_MADE: PolicySnapshot,
        TelemetryEventType.PPO_UPDATE_COMPLETED: PPOUpdate,
        TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED: CounterfactualMatrix,
        TelemetryEventType.DENSE_TRACE_RECORDED: DenseTrace,
        TelemetryEventType.CLAIM_READ: ClaimReading,
        TelemetryEventType.HEALTH_READ: HealthReport,
        TelemetryEventType.ALERT_RAISED: Alert,
        TelemetryEventType.LAYERS_MEASURED: LayerStatistics,
        TelemetryEventType.SEED_LAYER_NORM_MEASURED: SeedLayerNorm,
        TelemetryEventType.SEED_LAYER_NORMS_MEASURED: SeedLayerNorms,
        TelemetryEventType.SEED_GATE_EVALUATED: GateEvaluationTrace,
        TelemetryEventType.EPISODE_OUTCOME: EpisodeOutcome,
        **dict.fromkeys(_STAGE_EVENTS, StageTransition),
    }
)
"""The record each event carries; an event that is not listed carries free-form data."""


utc_now = partial(datetime.now, UTC)
"""The present moment, with time zone."""


@record
class TelemetryEvent(Record):
    """One thing that happened: the envelope of any record (review, P0-2 for the three rank fields).

    Attributes:
        event_type: What happened.
        rank: Rank of the process that saw it, from 0.
        world_size: Number of processes.
        is_reduced: Whether the values are aggregated across ranks.
        data: What was measured: a record, or free-form JSON values.
        sequence: Position in the run's record log, from 0; stamped by the collector, and with the run id the
            identity of the event.
        timestamp: When, with time zone.
        env_id: Environment, for a process that trains several hosts.
        episode_idx: Episode in that environment, from 0.
        scoped: Whether it was logged through `run.episode`, so that its W&B keys start with env/<env_id>/.
        tick: Value of the clock of the record's family: epoch, batch_step, decision or ppo_update. It goes on
            across the episodes of an environment, and back only where training went back to a checkpoint.
        slot_id: Slot it concerns, "" for none.
        seed_id: Seed module it concerns, "" for none.
        severity: How bad.
        message: In words.
    """

    event_type: TelemetryEventType
    rank: Count = 0
    world_size: Annotated[int, Bounds(1)] = 1
    is_reduced: bool = False
    data: Payload = field(default_factory=dict)
    sequence: Count | None = None
    timestamp: datetime = field(default_factory=utc_now)
    env_id: Count = 0
    episode_idx: Count = 0
    scoped: bool = False
    tick: Count | None = None
    slot_id: str = ""
    seed_id: str = ""
    severity: Literal["debug", "info", "warning", "error", "critical"] = "info"
    message: str = ""

    def _check(self) -> None:
        expected = RECORD_OF.get(self.event_type)
        if expected and isinstance(self.data, Record) and not isinstance(self.data, expected):
            raise RecordError(
                f"an event {self.event_type.name} carries a {expected.__name__}",
                got=type(self.data).__name__,
                do="Choose the event type that fits the record.",
            )

    def copy(self) -> TelemetryEvent:
        """An equal event that is another object."""
        return self._changed()

    def stamp(self, sequence: int, tick: int | None) -> None:
        """Complete an event that nobody has seen yet with its place in the log and its clock's value."""
        _put_sequence(self, sequence)
        _put_tick(self, tick)

    def locate(self, rank: int, world_size: int) -> None:
        """Say which of several processes an event is of that nobody has seen yet, unless it says so itself."""
        if self.world_size == 1:
            object.__setattr__(self, "rank", rank)
            object.__setattr__(self, "world_size", world_size)

    def amend(self, data: Record) -> None:
        """Put another record in place of the one that an event which nobody has seen yet carries."""
        object.__setattr__(self, "data", data)

    @property
    def payload(self) -> Record:
        """What was handed in: the record, or the event itself when it carries free-form data only."""
        return self.data if isinstance(self.data, Record) else self


_put_sequence, _put_tick = (TelemetryEvent.__dict__[name].__set__ for name in ("sequence", "tick"))
"""What every event is stamped with, at half the time of `object.__setattr__`."""
