"""The `log_*` methods of one episode: records, or their fields as keywords, into the collector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from karn_wandb.analysis import BatchMeans, episode_outcome
from karn_wandb.errors import RecordError, UsageError
from karn_wandb.pipeline import KarnCollector
from karn_wandb.records import (
    BatchMetrics,
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    GateEvaluationTrace,
    HostBaseline,
    HostSnapshot,
    PolicySnapshot,
    PPOUpdate,
    Record,
    SeedStage,
    SlotSnapshot,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from karn_wandb.capture import PendingBatches, SlotLike
    from karn_wandb.instrument import Instrument

R = TypeVar("R", bound=Record)

STAGE_EVENTS = {
    SeedStage.GERMINATED: TelemetryEventType.SEED_GERMINATED,
    SeedStage.FOSSILIZED: TelemetryEventType.SEED_FOSSILIZED,
    SeedStage.PRUNED: TelemetryEventType.SEED_PRUNED,
}


class EpisodeLog:
    """Logs one episode: one host trained from start to end.

    Every `log_*` method takes the record, or its fields as keywords, and returns the record that was kept.

    Args:
        collector: Where everything goes.
        env_id: Environment of the episode.
        episode_idx: Index of the episode in that environment.
        scoped: Whether W&B keys start with env/<env_id>/.
    """

    def __init__(self, collector: KarnCollector, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> None:
        self.collector = collector
        self.env_id = env_id
        self.episode_idx = episode_idx
        self._scoped = scoped
        self._state = collector.episode(env_id, episode_idx, scoped=scoped)
        self._instrument: Instrument | None = None
        self._pending: PendingBatches | None = None
        self._means = BatchMeans()
        self._batch_idx = 0
        self._outcome: EpisodeOutcome | None = None

    @property
    def current_epoch(self) -> int:
        """The epoch in training: one after the last that was logged, from 1."""
        return max(self._state.last_epoch, 0) + 1

    def log_context(self, context: EpisodeContext) -> EpisodeContext:
        """Say what is trained; a later context completes an earlier one."""
        return self._keep(TelemetryEventType.EPISODE_STARTED, _record(EpisodeContext, context, {}))

    def log_baseline(self, baseline: HostBaseline | None = None, /, **values: Any) -> HostBaseline:
        """Say how the host does alone: at epoch 0, and at the end of a paired host-only run."""
        return self._keep(TelemetryEventType.BASELINE_RECORDED, _record(HostBaseline, baseline, values))

    def log_batch(
        self,
        metrics: BatchMetrics | None = None,
        /,
        *,
        loss: float | Tensor | None = None,
        accuracy: float | Tensor | None = None,
        epoch: int | None = None,
        batch_idx: int | None = None,
        host_grad_norm: float | Tensor | None = None,
        seed_grad_norms: Mapping[str, float | Tensor] | None = None,
        isolation_leakage: float | Tensor | None = None,
    ) -> None:
        """Log a training batch.

        Tensors stay on their device and become numbers together with those of other batches, at the latest when the
        epoch is logged; a bad value is then reported with its epoch and batch.

        Args:
            metrics: The finished record, instead of keywords.
            loss: Training loss.
            accuracy: Training accuracy, percent.
            epoch: Epoch, the one in training when None.
            batch_idx: Index in the epoch, counted when None.
            host_grad_norm: L2 norm of the host's gradients; measured when a model is attached.
            seed_grad_norms: The same for each slot's seed module.
            isolation_leakage: L2 norm of the gradient that crossed an isolation barrier.
        """
        self._check_open(TelemetryEventType.BATCH_COMPLETED)
        values = {
            "loss": loss,
            "accuracy": accuracy,
            "host_grad_norm": host_grad_norm,
            "isolation_leakage": isolation_leakage,
        }
        if metrics is not None:
            given = {**values, "epoch": epoch, "batch_idx": batch_idx, "seed_grad_norms": seed_grad_norms}
            record = _record(BatchMetrics, metrics, {name: value for name, value in given.items() if value is not None})
            self._batch_idx = record.batch_idx + 1
            self._keep(TelemetryEventType.BATCH_COMPLETED, record)
            return
        if loss is None:
            raise UsageError("log_batch needs a loss", got="None", do="Pass loss=, or a BatchMetrics.")
        norms = dict(seed_grad_norms or {})
        if host_grad_norm is None and self._instrument is not None:
            values["host_grad_norm"], measured = self._instrument.gradient_norms()
            norms = {**measured, **norms}
        index = self._batch_idx if batch_idx is None else batch_idx
        self._batch_idx = index + 1
        self._pending_batches().add(self.current_epoch if epoch is None else epoch, index, values, norms)

    def log_epoch(self, snapshot: EpochSnapshot | None = None, /, **values: Any) -> EpochSnapshot:
        """Log the end of an epoch; returns when it is on disk.

        Args:
            snapshot: The finished record, kept as it is.
            **values: Fields of `HostSnapshot` (train_loss, val_accuracy, ...), and `slots`, `policy` and `epoch` of
                `EpochSnapshot`. What is not given is filled in: the epoch is counted, losses and gradient norms are
                means over the batches, parameters and slots come from the attached model.
        """
        self._flush_batches()
        snapshot = self._snapshot(values) if snapshot is None else _record(EpochSnapshot, snapshot, values)
        return self._keep(TelemetryEventType.EPOCH_COMPLETED, snapshot)

    def log_decision(self, decision: PolicySnapshot | None = None, /, **values: Any) -> PolicySnapshot:
        """Log a decision of the policy; keywords are the fields of `PolicySnapshot`."""
        return self._keep(TelemetryEventType.DECISION_MADE, _record(PolicySnapshot, decision, values))

    def log_ppo_update(self, update: PPOUpdate | None = None, /, **values: Any) -> PPOUpdate:
        """Log a PPO update; keywords are the fields of `PPOUpdate`."""
        return self._keep(TelemetryEventType.PPO_UPDATE_COMPLETED, _record(PPOUpdate, update, values))

    def log_counterfactual(self, matrix: CounterfactualMatrix) -> CounterfactualMatrix:
        """Log a counterfactual matrix."""
        return self._keep(TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, _record(CounterfactualMatrix, matrix, {}))

    def log_trace(self, trace: DenseTrace | None = None, /, **values: Any) -> DenseTrace:
        """Log a dense trace; keywords are the fields of `DenseTrace`."""
        return self._keep(TelemetryEventType.DENSE_TRACE_RECORDED, _record(DenseTrace, trace, values))

    def log_stage(
        self, slot_id: str | StageTransition, from_stage: Any = None, to_stage: Any = None, **values: Any
    ) -> StageTransition:
        """Log a seed module's change of stage, which must be a legal one.

        Args:
            slot_id: The slot, or the finished record.
            from_stage: A `SeedStage` or its name.
            to_stage: A `SeedStage` or its name.
            **values: Other fields of `StageTransition`; the epoch is the last one logged unless given.

        Raises:
            TransitionError: The change is not legal.
        """
        if isinstance(slot_id, StageTransition):
            change = _record(StageTransition, slot_id, values)
        else:
            named = {"slot_id": slot_id, "from_stage": from_stage, "to_stage": to_stage, "epoch": self.current_epoch - 1}
            change = _record(StageTransition, None, named | values)
        return self._keep(STAGE_EVENTS.get(change.to_stage, TelemetryEventType.SEED_STAGE_CHANGED), change)

    def log_gate(self, gate: GateEvaluationTrace | None = None, /, **values: Any) -> GateEvaluationTrace:
        """Log a check of a gate; keywords are the fields of `GateEvaluationTrace`."""
        if gate is None:
            values.setdefault("epoch", self.current_epoch - 1)
        return self._keep(TelemetryEventType.SEED_GATE_EVALUATED, _record(GateEvaluationTrace, gate, values))

    def emit(self, event: TelemetryEvent) -> TelemetryEvent:
        """Log any event as one of this episode."""
        self._flush_batches()
        return self._send(event)

    def attach(
        self,
        model: nn.Module,
        *,
        slots: Mapping[str, SlotLike] | None = None,
        val_loader: Any = None,
    ) -> None:
        """Let the model itself say its parameters, stages, alphas and gradient norms.

        Args:
            model: The network; a model without slots is a host alone.
            slots: Its slots; its `seed_slots` when None.
            val_loader: Batches (inputs, targets) on which coalitions of slots are evaluated at each epoch's end.
        """
        from karn_wandb.instrument import Instrument  # noqa: PLC0415 -- loads torch, which logging alone does not need

        self.detach()
        self._instrument = Instrument(self.collector.config, model, slots, val_loader)
        self._state.lifecycle.declare(self._instrument.slot_ids)
        context = self._state.store.context
        if context is not None:
            completed = self._instrument.complete(context)
            if completed != context:
                self.log_context(completed)

    def detach(self) -> None:
        """Forget the attached model."""
        self._flush_batches()
        self._instrument = None

    def conclude(self, *, state: Literal["finished", "failed"] = "finished", reason: str = "") -> EpisodeOutcome:
        """Log how the episode ended; once, later calls return the same outcome."""
        if self._outcome is None:
            self._flush_batches()
            outcome = episode_outcome(
                self._state.analytics,
                self._state.lifecycle,
                state=state,
                reason=reason,
                dropped_records=self.collector.dropped_records,
            )
            self._outcome = self._keep(TelemetryEventType.EPISODE_OUTCOME, outcome)
        return self._outcome

    def _snapshot(self, values: dict[str, Any]) -> EpochSnapshot:
        epoch = values.pop("epoch", self.current_epoch)
        slots, policy = values.pop("slots", None), values.pop("policy", None)
        measured = self._means.fields()
        if self._instrument is not None:
            measured |= self._instrument.parameter_counts()
        host = _record(HostSnapshot, None, {"epoch": epoch, **measured, **values})
        found = self._measured_slots(host)
        return EpochSnapshot(epoch=host.epoch, host=host, slots=found if slots is None else slots, policy=policy)

    def _measured_slots(self, host: HostSnapshot) -> dict[str, SlotSnapshot]:
        """The attached model's slots after the epoch; their coalitions are evaluated first, for the removal costs."""
        if self._instrument is None:
            return {}
        matrix = self._instrument.evaluate(host.epoch)
        if matrix is not None:
            self.log_counterfactual(matrix)
        history, found = self._state.slots, self._instrument.slot_snapshots()
        return {name: history.complete(slot, host.epoch, host.val_accuracy) for name, slot in found.items()}

    def _pending_batches(self) -> PendingBatches:
        if self._pending is None:
            from karn_wandb.capture import PendingBatches  # noqa: PLC0415 -- loads torch, which logging alone does not need

            self._pending = PendingBatches(lambda batch: self._emit(TelemetryEventType.BATCH_COMPLETED, batch))
        return self._pending

    def _flush_batches(self) -> None:
        if self._pending is not None:
            self._pending.flush()

    def _keep(self, event_type: TelemetryEventType, record: R) -> R:
        self._flush_batches()
        self._emit(event_type, record)
        return record

    def _emit(self, event_type: TelemetryEventType, record: Record) -> None:
        slot_id, seed_id = getattr(record, "slot_id", ""), getattr(record, "seed_id", None) or ""
        self._send(TelemetryEvent(event_type=event_type, data=record, slot_id=slot_id, seed_id=seed_id))

    def _send(self, event: TelemetryEvent) -> TelemetryEvent:
        self._check_open(event.event_type)
        kept = self.collector.emit(replace(event, env_id=self.env_id, episode_idx=self.episode_idx, scoped=self._scoped))
        match event.data:
            case BatchMetrics() as batch:
                self._means.observe(batch)
            case EpochSnapshot():
                self._means.restart()
                self._batch_idx = 0
            case _:
                pass
        return kept

    def _check_open(self, event_type: TelemetryEventType) -> None:
        if self._outcome is not None:
            raise UsageError("nothing can be logged after the episode ended", got=event_type.name, do="Conclude it last.")


def _record(cls: type[R], given: R | None, values: dict[str, Any]) -> R:
    """The record that was given, or one made of keywords; a wrong keyword names those there are."""
    if given is not None:
        if values:
            raise UsageError(f"pass a {cls.__name__} or keywords, not both", got=", ".join(values), do="Drop one.")
        if not isinstance(given, cls):
            raise RecordError(f"expected a {cls.__name__}", got=type(given).__name__, do="Pass the record or its fields.")
        return given
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    unknown = [name for name in values if name not in names]
    if unknown:
        raise RecordError(f"{cls.__name__} has no field {unknown[0]!r}", do=f"Its fields are {', '.join(names)}.")
    try:
        return cls(**{name: _plain(value) for name, value in values.items()})
    except TypeError as error:
        raise RecordError(f"{cls.__name__} is incomplete", got=str(error), do="Pass the missing fields.") from None


def _plain(value: Any) -> Any:
    """Tensors and arrays as Python numbers and lists, inside mappings and sequences too; all else as it is."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
