"""The `log_*` methods of one episode: records, or their fields as keywords, into the collector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from karn_wandb.analysis import BatchMeans, episode_outcome
from karn_wandb.errors import UsageError
from karn_wandb.keywords import record_of
from karn_wandb.outbox import Outbox, event_of
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
    SlotSnapshot,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from karn_wandb.capture import PendingBatches, SlotLike
    from karn_wandb.capture.gradients import GradientNorms
    from karn_wandb.instrument import Instrument

FEWEST_PENDING, MOST_PENDING = 4, 32
"""Batches that wait on their device before they are brought to the host together: few where dense traces are short."""

R = TypeVar("R", bound=Record)


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
        self._outbox = Outbox(collector, env_id, episode_idx, scoped=scoped)
        self._news = True
        self._means = BatchMeans()
        self._batch_idx = 0
        self._outcome: EpisodeOutcome | None = None

    @property
    def current_epoch(self) -> int:
        """The epoch in training: one after the last that was logged, from 1."""
        return max(self._state.last_epoch, 0) + 1

    @property
    def concluded(self) -> bool:
        """Whether the episode has ended."""
        return self._outcome is not None

    def log_context(self, context: EpisodeContext) -> EpisodeContext:
        """Say what is trained; a later context completes an earlier one."""
        return self._keep(self.collector.without_secrets(record_of(EpisodeContext, context, {})))

    def log_baseline(self, baseline: HostBaseline | None = None, /, **values: Any) -> HostBaseline:
        """Say how the host does alone: at epoch 0, and at the end of a paired host-only run."""
        return self._keep(record_of(HostBaseline, baseline, values))

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

        No device is waited for: its tensors become numbers together with those of other batches, at the latest when the
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
            record = record_of(BatchMetrics, metrics, {name: value for name, value in given.items() if value is not None})
            if self._state.resumed:
                self._go_back_for(record.epoch)
            self._batch_idx = record.batch_idx + 1
            self._keep(record)
            return
        if loss is None:
            raise UsageError("log_batch needs a loss", got="None", do="Pass loss=, or a BatchMetrics.")
        if self._state.resumed:
            self._go_back_for(epoch)
        index = self._batch_idx if batch_idx is None else batch_idx
        self._batch_idx = index + 1
        gradients = self._measure(values)
        pending = self._pending_batches()
        pending.add(self.current_epoch if epoch is None else epoch, index, values, seed_grad_norms or {}, gradients)
        if pending.due:
            self._flush()

    def log_epoch(self, snapshot: EpochSnapshot | None = None, /, **values: Any) -> EpochSnapshot:
        """Log the end of an epoch; returns when it is on disk.

        Args:
            snapshot: The finished record, kept as it is.
            **values: Fields of `HostSnapshot` (train_loss, val_accuracy, ...), and `slots`, `policy` and `epoch` of
                `EpochSnapshot`. What is not given is filled in: the epoch is counted, losses and gradient norms are
                means over the batches, parameters and slots come from the attached model.
        """
        if snapshot is not None:
            snapshot = record_of(EpochSnapshot, snapshot, values)
        if self._state.resumed:
            self._go_back_for(values.get("epoch") if snapshot is None else snapshot.epoch)
        self._flush_batches()
        if snapshot is None:
            snapshot = self._snapshot(values)
        if self._instrument is not None:
            self._state.check_epoch(snapshot.epoch)  # before anything is measured for it
            for top in self._instrument.seed_layers(snapshot.epoch):
                self._outbox.add(top)
            self._instrument.begin_epoch()
        return self._keep(snapshot)

    def rewind(self, epoch: int) -> None:
        """Say that training goes on from the checkpoint of an earlier epoch, before anything of the next one is logged.

        What was logged of this episode after that epoch is superseded: it stays in the record log and in W&B's history, and
        analytics, triggers, tables and reports leave it out. Epochs are counted from there; other clocks go on.

        Args:
            epoch: The checkpoint's epoch, 0 for the untrained host; one that was logged, else `UsageError`.
        """
        self._check_open(TelemetryEventType.CHECKPOINT_LOADED)
        self._state.check_checkpoint(epoch)
        self._flush()
        self._go_back(epoch)
        self._means.restart()
        self._batch_idx = 0

    def _go_back_for(self, epoch: int | None) -> None:
        """A resumed episode that logs an epoch again was resumed from an older checkpoint."""
        if isinstance(epoch, int) and 0 < epoch <= self._state.last_epoch:
            self._go_back(epoch - 1)

    def _go_back(self, epoch: int) -> None:
        self.collector.rewind(epoch, self.env_id, self.episode_idx, scoped=self._scoped)
        self._news = True
        if self._instrument is not None:
            self._state.declare(self._instrument.slot_ids)

    def log_decision(self, decision: PolicySnapshot | None = None, /, **values: Any) -> PolicySnapshot:
        """Log a decision of the policy; keywords are the fields of `PolicySnapshot`."""
        return self._keep(record_of(PolicySnapshot, decision, values))

    def log_ppo_update(self, update: PPOUpdate | None = None, /, **values: Any) -> PPOUpdate:
        """Log a PPO update; keywords are the fields of `PPOUpdate`."""
        return self._keep(record_of(PPOUpdate, update, values))

    def log_counterfactual(self, matrix: CounterfactualMatrix) -> CounterfactualMatrix:
        """Log a counterfactual matrix."""
        return self._keep(record_of(CounterfactualMatrix, matrix, {}))

    def log_trace(self, trace: DenseTrace | None = None, /, **values: Any) -> DenseTrace:
        """Log a dense trace; keywords are the fields of `DenseTrace`."""
        return self._keep(record_of(DenseTrace, trace, values))

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
            change = record_of(StageTransition, slot_id, values)
        else:
            named = {"slot_id": slot_id, "from_stage": from_stage, "to_stage": to_stage, "epoch": self.current_epoch - 1}
            change = record_of(StageTransition, None, named | values)
        return self._keep(change)

    def log_gate(self, gate: GateEvaluationTrace | None = None, /, **values: Any) -> GateEvaluationTrace:
        """Log a check of a gate; keywords are the fields of `GateEvaluationTrace`."""
        if gate is None:
            values.setdefault("epoch", self.current_epoch - 1)
        return self._keep(record_of(GateEvaluationTrace, gate, values))

    def emit(self, event: TelemetryEvent) -> TelemetryEvent:
        """Log any event as one of this episode."""
        self._check_open(event.event_type)
        if self._state.resumed and isinstance(event.data, (BatchMetrics, EpochSnapshot)):
            self._go_back_for(event.data.epoch)
        self._flush_batches()
        own = self._outbox.add_event(event)
        self._send()
        self._observe(own.data)
        return own

    def attach(self, model: nn.Module, *, slots: Mapping[str, SlotLike] | None = None, val_loader: Any = None) -> None:
        """Let the model itself say its parameters, stages, alphas and gradient norms.

        Args:
            model: The network; a model without slots is a host alone.
            slots: Its slots; its `seed_slots` when None.
            val_loader: Batches (inputs, targets) on which coalitions of slots are evaluated at each epoch's end.
        """
        from karn_wandb.instrument import Instrument  # noqa: PLC0415 -- loads torch, which logging alone does not need

        self._check_open(TelemetryEventType.EPISODE_STARTED)
        self.detach()
        self._instrument = Instrument(self.collector.config, model, slots, val_loader)
        self._instrument.dense = self._state.desk.dense
        self._state.declare(self._instrument.slot_ids)
        context = self._state.store.context
        if context is not None:
            completed = self._instrument.complete(context)
            if completed != context:
                self.log_context(completed)

    def detach(self) -> None:
        """Forget the attached model, and take all hooks off it."""
        try:
            self._flush()
        finally:
            if self._instrument is not None:
                self._instrument.remove()
            self._instrument = None

    def conclude(self, *, state: Literal["finished", "failed"] = "finished", reason: str = "") -> EpisodeOutcome:
        """Log how the episode ended; once, later calls return the same outcome."""
        if self._outcome is None:
            self.detach()
            self.collector.settle(self.env_id, self.episode_idx, scoped=self._scoped)
            self._outcome = self._keep(self._outcome_now(state, reason))
        return self._outcome

    def become_copy(self) -> None:
        """This process is a fork of the one that logs: what waits there, on a device too, is that one's to emit."""
        self._pending = None
        self._outbox = Outbox(self.collector, self.env_id, self.episode_idx, scoped=self._scoped)

    def interrupt(self, reason: str) -> None:
        """Log that the episode ends here because its process does; hooks and pending batches are left as they are."""
        if self._outcome is None:
            self.collector.settle(self.env_id, self.episode_idx, scoped=self._scoped)
            outbox = Outbox(self.collector, self.env_id, self.episode_idx, scoped=self._scoped)
            outbox.add(self._outcome_now("failed", reason))
            outbox.send()

    def _outcome_now(self, state: Literal["finished", "failed"], reason: str) -> EpisodeOutcome:
        return episode_outcome(
            self._state.analytics,
            self._state.desk.lifecycle,
            state=state,
            reason=reason,
            dropped_records=self.collector.dropped_records,
        )

    def _snapshot(self, values: dict[str, Any]) -> EpochSnapshot:
        slots, policy = values.pop("slots", None), values.pop("policy", None)
        measured = self._means.fields()
        if self._instrument is not None:
            measured |= self._instrument.parameter_counts()
        for name, value in measured.items():
            values.setdefault(name, value)
        values.setdefault("epoch", self.current_epoch)
        host = record_of(HostSnapshot, None, values)
        found = {} if self._instrument is None else self._measured_slots(self._instrument, host)
        return EpochSnapshot(host.epoch, host, found if slots is None else slots, policy)

    def _measured_slots(self, instrument: Instrument, host: HostSnapshot) -> dict[str, SlotSnapshot]:
        """The attached model's slots after the epoch; their coalitions are evaluated first, for the removal costs."""
        self._state.check_epoch(host.epoch)  # before anything is evaluated for it
        matrix = instrument.evaluate(host.epoch, per_class=self._state.desk.research)
        if matrix is not None:
            self.log_counterfactual(matrix)
        history, found = self._state.desk.slots, instrument.slot_snapshots()
        return {name: history.complete(slot, host.epoch, host.val_accuracy) for name, slot in found.items()}

    def _measure(self, values: dict[str, Any]) -> GradientNorms | None:
        """What the attached model says of the batch; its leakage goes into `values` unless it was passed."""
        if self._instrument is None:
            return None
        if self._news:  # between two batches, so that where dense capture begins does not depend on how fast a thread is
            self._instrument.dense = self._state.desk.dense
            self._news = False
        measured = self._instrument.measure()
        if values["isolation_leakage"] is None:
            values["isolation_leakage"] = measured.leakage
        return measured.gradients

    def _pending_batches(self) -> PendingBatches:
        if self._pending is None:
            from karn_wandb.capture import PendingBatches  # noqa: PLC0415 -- loads torch, which logging alone does not need

            half = self.collector.config.trace_batches // 2  # a trigger sees batches late, and its trace must not be over by then
            self._pending = PendingBatches(min(max(half, FEWEST_PENDING), MOST_PENDING))
        return self._pending

    def _flush_batches(self) -> None:
        """Turn the pending batches into events that go ahead of the next one.

        Raises:
            RecordError: A batch has a bad value; it is left out, all others are emitted before this is raised.
        """
        if self._pending is None:
            return
        flushed = self._pending.flush()
        for batch in flushed.batches:
            self._means.observe(batch)
            self._outbox.add(batch)
        layers = flushed.layers
        if self._instrument is not None:
            layers = self._instrument.complete_layers(layers, flushed.layer_norms)
        for statistics in layers:
            self._outbox.add(statistics)
        if flushed.refused is not None:
            self._send()
            raise flushed.refused

    def _keep(self, record: R) -> R:
        self._check_open(record)
        self._flush_batches()
        self._outbox.add(record)
        self._send()
        self._observe(record)
        return record

    def _observe(self, record: object) -> None:
        """Keep up with what was logged other than by keywords of a batch."""
        match record:
            case BatchMetrics() as batch:
                self._means.observe(batch)
            case EpochSnapshot():
                self._means.restart()
                self._batch_idx = 0

    def _send(self) -> None:
        self._news = True
        self._outbox.send()

    def _flush(self) -> None:
        """Emit the batches that are pending."""
        self._flush_batches()
        self._send()

    def _check_open(self, what: Record | TelemetryEventType) -> None:
        if self._outcome is not None:
            event_type = event_of(what) if isinstance(what, Record) else what
            raise UsageError("nothing can be logged after the episode ended", got=event_type.name, do="Conclude it last.")
