"""What live analysis looks at: the newest records of an episode, bounded."""

from __future__ import annotations

from collections import deque

from karn_wandb.records import (
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpochSnapshot,
    GateEvaluationTrace,
    HostBaseline,
    KarnConfig,
    PolicySnapshot,
    Record,
    StageTransition,
)


class TelemetryStore:
    """Ring buffers of one episode's records (review, P2-11); log and W&B keep them all.

    Args:
        max_dense_traces: Dense traces kept.
        max_epochs: Epoch snapshots, matrices, decisions and lifecycle records kept of each kind.
    """

    def __init__(self, max_dense_traces: int = 10, max_epochs: int = 1000) -> None:
        self.context: EpisodeContext | None = None
        self.baseline: HostBaseline | None = None
        self.epochs: deque[EpochSnapshot] = deque(maxlen=max_epochs)
        self.matrices: deque[CounterfactualMatrix] = deque(maxlen=max_epochs)
        self.decisions: deque[PolicySnapshot] = deque(maxlen=max_epochs)
        self.stages: deque[StageTransition] = deque(maxlen=max_epochs)
        self.gates: deque[GateEvaluationTrace] = deque(maxlen=max_epochs)
        self.dense_traces: deque[DenseTrace] = deque(maxlen=max_dense_traces)

    @classmethod
    def for_config(cls, config: KarnConfig) -> TelemetryStore:
        """A store as large as the configuration says."""
        return cls(config.max_dense_traces, config.max_epochs_in_memory)

    def add(self, record: Record) -> None:
        """Keep a record, if it is of a kind that is looked at."""
        match record:
            case EpisodeContext():
                self.context = record
            case HostBaseline():
                self.baseline = record
            case EpochSnapshot():
                self.epochs.append(record)
            case CounterfactualMatrix():
                self.matrices.append(record)
            case PolicySnapshot():
                self.decisions.append(record)
            case StageTransition():
                self.stages.append(record)
            case GateEvaluationTrace():
                self.gates.append(record)
            case DenseTrace():
                self.dense_traces.append(record)
            case _:
                pass
