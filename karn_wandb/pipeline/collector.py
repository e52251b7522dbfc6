"""The collector: every record passes here once, to be validated, stamped and routed."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from karn_wandb.analysis import Lifecycle, MorphogeneticAnalytics, Sanity, SlotHistory
from karn_wandb.errors import KarnWarning, RecordError, UsageError
from karn_wandb.pipeline.delivery import Follower, Sink
from karn_wandb.pipeline.log import RecordLog
from karn_wandb.pipeline.store import TelemetryStore
from karn_wandb.records import (
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpochSnapshot,
    GateEvaluationTrace,
    HealthReport,
    KarnConfig,
    Record,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.schema import CLOCK_OF, scope_of

EpisodeKey = tuple[int, int, bool]
"""env_id, episode_idx, and whether it was logged through `run.episode`: the run's own records are apart from those."""


@dataclass(slots=True)
class EpisodeState:
    """What the collector keeps of one episode."""

    store: TelemetryStore
    analytics: MorphogeneticAnalytics
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    slots: SlotHistory = field(default_factory=SlotHistory)
    sanity: Sanity = field(default_factory=Sanity)
    tick_offset: int | None = None
    last_epoch: int = -1

    def observe(self, record: Record) -> None:
        """Bring everything that is kept of the episode up to date."""
        self.store.add(record)
        self.analytics.observe(record)
        self.slots.observe(record)
        self.sanity.observe(record)


class KarnCollector:
    """Validates, stamps and routes events; the only way into store, analysis and record log.

    Args:
        config: Settings of the instrument.
        log: The record log; None keeps events in memory only.
        sinks: Where events go from the log.
    """

    def __init__(self, config: KarnConfig | None = None, log: RecordLog | None = None, sinks: Iterable[Sink] = ()) -> None:
        self.config = config or KarnConfig()
        self.log = log or RecordLog(None)
        self.followers: list[Follower] = []
        self.closed = False
        self._lock = threading.RLock()
        self._episodes: dict[EpisodeKey, EpisodeState] = {}
        self._ticks: dict[tuple[str, str], int] = {}
        self._epoch_ticks: dict[str, int] = {}
        self._warned: set[str] = set()
        for sink in sinks:
            self.follow(sink)

    def follow(self, sink: Sink) -> None:
        """Deliver the log to one more sink, from its beginning."""
        path = self.log.path
        self.followers.append(Follower(self.log, sink, path and Path(f"{path}.{sink.name}.offset")))

    def episode(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> EpisodeState:
        """State of one episode, begun when it is first asked for; `scoped` for those logged through `run.episode`."""
        key = (env_id, episode_idx, scoped)
        with self._lock:
            if key not in self._episodes:
                analytics = MorphogeneticAnalytics(self.config.max_epochs_in_memory)
                self._episodes[key] = EpisodeState(TelemetryStore.for_config(self.config), analytics)
            return self._episodes[key]

    @property
    def episodes(self) -> tuple[EpisodeKey, ...]:
        """(env_id, episode_idx, scoped) of the episodes begun so far."""
        return tuple(self._episodes)

    def epoch_snapshot(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> EpochSnapshot | None:
        """The newest epoch snapshot of an episode; None before the first."""
        epochs = self.episode(env_id, episode_idx, scoped=scoped).store.epochs
        return epochs[-1] if epochs else None

    @property
    def dropped_records(self) -> int:
        """Records that could not be kept."""
        return self.log.dropped

    def emit(self, event: TelemetryEvent) -> TelemetryEvent:
        """Take one event: validate, stamp, analyse, keep, and hand to the log.

        After an epoch snapshot the readings that follow from it are taken too, and the log is flushed: what this
        returned from survives a killed process.

        Returns:
            The event as it is kept, with `sequence` and `tick`.

        Raises:
            UsageError: The run is finished.
            RecordError: The event contradicts what was logged before.
        """
        with self._lock:
            if self.closed:
                raise UsageError("nothing can be logged after finish", got=event.event_type.name, do="Call finish() last.")
            state = self.episode(event.env_id, event.episode_idx, scoped=event.scoped)
            self._validate(state, event)
            kept = self._keep(state, event)
            if isinstance(event.data, EpochSnapshot):
                self._read_off(state, kept)
                self.flush()
        return kept

    def _validate(self, state: EpisodeState, event: TelemetryEvent) -> None:
        match event.data:
            case EpochSnapshot() as snapshot:
                if snapshot.epoch <= state.last_epoch:
                    raise RecordError(
                        "epochs must go up",
                        got=f"epoch {snapshot.epoch} after epoch {state.last_epoch}",
                        do="Log each epoch once; a new episode goes through run.episode(env_id, episode_idx).",
                    )
                state.lifecycle.observe(snapshot)
                state.last_epoch = snapshot.epoch
            case StageTransition() as change:
                state.lifecycle.transition(change)
            case GateEvaluationTrace(slot_id=slot_id):
                state.lifecycle.check_slot(slot_id)
            case CounterfactualMatrix(slot_ids=slot_ids):
                for slot_id in slot_ids:
                    state.lifecycle.check_slot(slot_id)
            case EpisodeContext(slot_config=slots):
                state.lifecycle.declare(slots)
            case _:
                pass

    def _keep(self, state: EpisodeState, event: TelemetryEvent) -> TelemetryEvent:
        stamped = replace(event, sequence=self.log.next_sequence, tick=self._tick(state, event))
        self.log.append(stamped)
        if isinstance(event.data, Record):
            state.observe(event.data)
            self._warn_once("accuracies", state.sanity.doubt)
        return stamped

    def _tick(self, state: EpisodeState, event: TelemetryEvent) -> int | None:
        prefix = scope_of(event)
        clock = CLOCK_OF.get(type(event.data))
        if clock is not None:
            key = (prefix, clock)
            self._ticks[key] = self._ticks.get(key, -1) + 1
            return self._ticks[key]
        epoch = _epoch_of(event.data)
        if epoch is None:
            return event.tick
        if state.tick_offset is None:  # the episode begins: it goes on where the environment's last one ended
            state.tick_offset = self._epoch_ticks.get(prefix, 0)
        tick = state.tick_offset + epoch
        self._epoch_ticks[prefix] = max(tick, self._epoch_ticks.get(prefix, 0))
        return tick

    def _read_off(self, state: EpisodeState, event: TelemetryEvent) -> None:
        claim = state.analytics.claim_reading()
        if claim is not None:
            self._keep(state, _reading(event, TelemetryEventType.CLAIM_READ, claim))
        self._keep(state, _reading(event, TelemetryEventType.HEALTH_READ, self._health(state)))

    def health(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> HealthReport:
        """State of the instrument, and of an episode's numbers, now."""
        return self._health(self.episode(env_id, episode_idx, scoped=scoped))

    def _health(self, state: EpisodeState) -> HealthReport:
        return HealthReport(
            epoch=max(state.last_epoch, 0),
            dropped_records=self.dropped_records,
            non_finite_values=state.sanity.non_finite_values,
            sink_lag=max((f.lag for f in self.followers), default=0),
            alerts=tuple(f"sink {f.sink.name} failed: {f.failure}" for f in self.followers if f.failure),
        )

    def flush(self) -> None:
        """Write the log to the file and wake the sinks; says once what has failed, or raises it when strict."""
        self.log.flush()
        if self.log.last_error is not None:
            self._trouble("the record log", self.log.last_error, "Records wait in memory until the disk takes them.")
        self._report_sinks()

    def _report_sinks(self) -> None:
        for follower in self.followers:
            if follower.failure is not None:
                kept = f"What it missed is kept in {self.log.path}." if self.log.path else "What it missed is lost."
                self._trouble(f"the {follower.sink.name} sink", follower.failure, kept)

    def _trouble(self, where: str, error: Exception, consequence: str) -> None:
        if self.config.strict:
            raise error
        goes_on = "" if self.closed else " Training goes on."
        self._warn_once(where, f"{where} failed: {error!r}. {consequence}{goes_on}")

    def _warn_once(self, what: str, text: str) -> None:
        if text and what not in self._warned:
            self._warned.add(what)
            warnings.warn(text, KarnWarning, stacklevel=5)

    def close(self) -> bool:
        """Flush, let every sink catch up, close all; False when a sink could not take everything in time.

        What failed is said once, or raised when strict, after everything is closed.
        """
        with self._lock:
            if self.closed:
                return True
            self.closed = True
        self.log.flush()
        for follower in self.followers:
            follower.finish()
        delivered = self._delivered()
        self.log.close()
        if self.log.last_error is not None:
            lost = f"{self.dropped_records} records could not be kept."
            self._trouble("the last write to the record log", self.log.last_error, lost)
        self._report_sinks()
        return delivered

    def _delivered(self) -> bool:
        """Wait for the sinks together for as long as any of them gets on; whether all took everything."""
        reached = -1
        closed = False
        while not closed and reached < sum(follower.cursor for follower in self.followers):
            reached = sum(follower.cursor for follower in self.followers)
            deadline = time.monotonic() + self.config.finish_timeout
            each = [follower.close(max(0.0, deadline - time.monotonic())) for follower in self.followers]
            closed = all(each)
        return closed


def _reading(event: TelemetryEvent, event_type: TelemetryEventType, reading: Record) -> TelemetryEvent:
    return replace(event, event_type=event_type, data=reading, slot_id="", seed_id="", severity="info", message="")


def _epoch_of(data: object) -> int | None:
    if isinstance(data, DenseTrace):
        return data.window_end_epoch
    epoch = getattr(data, "epoch", None)
    return epoch if isinstance(epoch, int) else None
