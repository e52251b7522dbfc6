"""The collector: every record passes here once, to be validated, stamped and routed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Never, TypeVar

from karn_wandb.errors import UsageError
from karn_wandb.pipeline.clocks import Clocks
from karn_wandb.pipeline.delivery import LOOK_SECONDS, Delivery, Follower, Immediate, Sink
from karn_wandb.pipeline.desk import READINGS, Analyst, Condition, Desk, EpisodeKey, key_of
from karn_wandb.pipeline.history import back_to, standing, went_back
from karn_wandb.pipeline.log import RecordLog
from karn_wandb.pipeline.state import EpisodeState
from karn_wandb.pipeline.troubles import Troubles
from karn_wandb.records import (
    RECORD_OF,
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    HealthReport,
    KarnConfig,
    Record,
    RunInfo,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.schema import scope
from karn_wandb.schema.secrets import record_without_secrets, removal_notice

ANALYSIS_SECONDS = 60.0

_EVENT_OF: dict[type[Record], TelemetryEventType] = {
    record: event_type for event_type, record in RECORD_OF.items() if record in READINGS
}


CONFIGURED = (EpisodeContext, RunInfo)
"""Records that hold a user's configuration."""

R = TypeVar("R", bound=Record)


class KarnCollector:
    """Validates, stamps and routes events; the only way into live analysis and record log.

    Live analysis follows the log as the sinks do, on a thread of its own, so that the training thread does not wait
    for it; the readings of an event come before the next event that is emitted. Without a record log it runs at once.

    A log that already holds events is continued: they are replayed, so that clocks, stores, analytics and triggers are
    where they were.

    Args:
        config: Settings of the instrument.
        log: The record log; None keeps events in memory only.
        sinks: Where events go from the log; of one that is continued, what comes from now on, unless a sink's stored
            offset says another.

    Attributes:
        concluded: Outcomes of episodes logged through `run.episode` that an earlier process finished.
    """

    def __init__(self, config: KarnConfig | None = None, log: RecordLog | None = None, sinks: Iterable[Sink] = ()) -> None:
        self.config = config or KarnConfig()
        self.log = log or RecordLog(None)
        self.followers: list[Follower] = []
        self.closed = False
        self._lock = threading.RLock()
        self._episodes: dict[EpisodeKey, EpisodeState] = {}
        self._desks: dict[EpisodeKey, Desk] = {}
        self._begun: dict[EpisodeKey, None] = {}
        self._clocks = Clocks()
        self._troubles = Troubles(strict=self.config.strict)
        self._reported = False
        self._analyst = Analyst(self._desks, self._keep_reading)
        self.concluded: dict[EpisodeKey, EpisodeOutcome] = {}
        start = self.log.next_sequence
        untold = self._replay() if start else ()
        memory_only = self.log.path is None
        if memory_only:
            self._analysis: Delivery = Immediate(self._analyst)
        else:
            self._analysis = Follower(self.log, self._analyst, attempts=1, start=start)
        for event, reading in untold:
            self._keep_reading(event, reading)
        for sink in sinks:
            self.follow(sink, start)

    def follow(self, sink: Sink, start: int = 0) -> None:
        """Deliver the log to one more sink, from a sequence number or, where one is stored, from its own offset."""
        path = self.log.path
        self.followers.append(Follower(self.log, sink, path and Path(f"{path}.{sink.name}.offset"), start=start))

    def _replay(self) -> Sequence[tuple[TelemetryEvent, Record]]:
        """Bring everything to where the log ends.

        Returns:
            The last readings, which a killed process came to and did not log, each with the event it follows from.
        """
        untold: list[tuple[TelemetryEvent, Record]] = []
        for event in self.log.events():
            state = self.episode(event.env_id, event.episode_idx, scoped=event.scoped)
            self._clocks.restore(state, event)
            if back_to(event) is not None:
                self._rebuild(state, event)
            else:
                readings = self._restore(state, event)
                if isinstance(event.data, (*READINGS, EpisodeOutcome)):
                    untold.clear()
                untold.extend((event, reading) for reading in readings)
            self._restore_end(event)
        for state in self._episodes.values():
            state.resumed = True
        return untold

    def _restore(self, state: EpisodeState, event: TelemetryEvent) -> tuple[Record, ...]:
        """Take an event of the log into account; gives the readings that follow from it."""
        state.observe(event.data)
        return self._analyst.replay(event)

    def _rebuild(self, state: EpisodeState, last: TelemetryEvent) -> None:
        """Bring an episode that went back to a checkpoint to where its standing events leave it, up to the last given."""
        key, end = key_of(last), last.sequence or 0
        self._desks[key] = Desk(self.config, self._condition)
        state.begin(self._desks[key])
        own = (event for event in self.log.events() if key_of(event) == key and (event.sequence or 0) <= end)
        for event in standing(own):
            self._restore(state, event)

    def _restore_end(self, event: TelemetryEvent) -> None:
        """An episode that was finished stays so; one that failed, or the run's own, may go on."""
        if isinstance(event.data, EpisodeOutcome) and event.scoped and event.data.state == "finished":
            key = key_of(event)
            self.concluded[key] = event.data
            del self._episodes[key], self._desks[key]

    def episode(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> EpisodeState:
        """State of one episode, begun when it is first asked for; `scoped` for those logged through `run.episode`."""
        key = (env_id, episode_idx, scoped)
        with self._lock:
            if key not in self._episodes:
                self._desks[key] = Desk(self.config, self._condition)
                self._episodes[key] = EpisodeState(self._desks[key], self.catch_up, scope(env_id) if scoped else "")
                self._begun[key] = None
            return self._episodes[key]

    @property
    def episodes(self) -> tuple[EpisodeKey, ...]:
        """(env_id, episode_idx, scoped) of the episodes begun so far."""
        return tuple(self._begun)

    def epoch_snapshot(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> EpochSnapshot | None:
        """The newest epoch snapshot of an episode; None before the first."""
        epochs = self.episode(env_id, episode_idx, scoped=scoped).store.epochs
        return epochs[-1] if epochs else None

    @property
    def dropped_records(self) -> int:
        """Records that could not be kept."""
        return self.log.dropped

    def emit(self, event: TelemetryEvent) -> TelemetryEvent:
        """Take one event; `emit_all` says how.

        Returns:
            The event as it is kept, with `sequence` and `tick`.
        """
        taken = event.copy()
        self.emit_all((taken,))
        return taken

    def emit_all(self, events: Sequence[TelemetryEvent]) -> None:
        """Take over events that belong together: validate, stamp, and hand to the log, which analysis and sinks follow.

        An epoch snapshot is written to the file, with all before it: it survives a killed process.

        Args:
            events: New events that nobody else holds; they get their `sequence` and `tick`.

        Raises:
            UsageError: The run is finished.
            RecordError: An event contradicts what was logged before; those ahead of it are kept.
        """
        self.catch_up()
        with self._lock:
            for event in events:
                self._take(event)
        self._report_failures()

    def rewind(self, epoch: int, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> None:
        """An episode goes on from the checkpoint of an earlier epoch; what was logged of it since is superseded."""
        marker = self.emit(went_back(env_id, episode_idx, epoch, scoped=scoped))
        self.catch_up()
        with self._lock:
            self._rebuild(self._episodes[key_of(marker)], marker)

    def catch_up(self) -> None:
        """Wait until live analysis has seen everything emitted so far."""
        self._analysis.drain(ANALYSIS_SECONDS)

    def _take(self, event: TelemetryEvent) -> None:
        if self.closed:
            raise UsageError("nothing can be logged after finish", got=event.event_type.name, do="Call finish() last.")
        if isinstance(event.data, CONFIGURED):
            event.amend(self.without_secrets(event.data))
        state = self._episodes.get(key_of(event)) or self.episode(event.env_id, event.episode_idx, scoped=event.scoped)
        if isinstance(event.data, EpochSnapshot):
            state.check_epoch(event.data.epoch)
        state.observe(event.data)
        self._append(state, event)

    def without_secrets(self, record: R) -> R:
        """The record as it is kept: what looks like a key is removed from its configuration, and said once."""
        found: list[str] = []
        clean = record_without_secrets(record, found)
        if found:
            self._troubles.say("secrets", removal_notice(found))
        return clean

    def _append(self, state: EpisodeState, event: TelemetryEvent) -> None:
        event.stamp(self.log.next_sequence, self._clocks.tick(state, event))
        if self.config.rank is not None and self.config.world_size is not None:
            event.locate(self.config.rank, self.config.world_size)
        self.log.append(event, flush=isinstance(event.data, EpochSnapshot))
        self._analysis.offer(event)

    def _keep_reading(self, cause: TelemetryEvent, reading: Record) -> None:
        event = TelemetryEvent.trusted(
            event_type=_EVENT_OF[type(reading)],
            data=reading,
            rank=cause.rank,
            world_size=cause.world_size,
            timestamp=cause.timestamp,
            env_id=cause.env_id,
            episode_idx=cause.episode_idx,
            scoped=cause.scoped,
        )
        with self._lock:
            self._append(self._episodes[key_of(cause)], event)

    def settle(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> None:
        """An episode ends: keep the readings that were waiting for more of it."""
        self.episode(env_id, episode_idx, scoped=scoped)
        self.catch_up()
        last = TelemetryEvent(TelemetryEventType.EPISODE_OUTCOME, env_id=env_id, episode_idx=episode_idx, scoped=scoped)
        self._analyst.settle(last)

    def release(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> None:
        """Forget an episode that is over; log and W&B keep it."""
        self.catch_up()
        with self._lock:
            self._episodes.pop((env_id, episode_idx, scoped), None)
            self._desks.pop((env_id, episode_idx, scoped), None)

    def health(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> HealthReport:
        """State of the instrument, and of an episode's numbers, now."""
        return self.episode(env_id, episode_idx, scoped=scoped).desk.report()

    def _condition(self) -> Condition:
        return Condition(
            dropped_records=self.dropped_records,
            sink_lag=max((f.lag for f in self.followers), default=0),
            failures=tuple(f"sink {f.sink.name} failed: {f.failure}" for f in self.followers if f.failure),
        )

    def flush(self) -> None:
        """Write the log to the file; says once what has failed, or raises it when strict."""
        self.log.flush()
        self._report_failures()

    def _report_failures(self) -> None:
        if self.log.last_error is not None:
            self._troubles.tell("the record log", self.log.last_error, "Records wait in memory until the disk takes them.")
        self._report_followers()

    def _report_followers(self) -> None:
        for follower in self.followers:
            failure = follower.failure
            if failure is None and self.closed and not follower.ended:
                failure = TimeoutError(f"it did not get on for {self.config.finish_timeout:g} seconds")
            if failure is not None:
                kept = f"What it missed is kept in {self.log.path}." if self.log.path else "What it missed is lost."
                self._troubles.tell(f"the {follower.sink.name} sink", failure, kept)
        failure = self._analyst.failure or self._analysis.failure
        if failure is not None:
            lost = "Claims, health, triggers and dense traces end here; what is logged is kept."
            self._troubles.tell("live analysis", failure, lost)
        if self._analyst.doubt:
            self._troubles.say("accuracies", self._analyst.doubt)

    @contextmanager
    def still(self) -> Iterator[None]:
        """While it lasts, no other thread emits, flushes or waits for a follower."""
        with self._lock, self.log.changed:
            yield

    def become_copy(self) -> None:
        """This process is a fork of the one that logs: go on in memory, and leave log and sinks to that one.

        What held a lock and what emptied a queue was a thread of that process, and is not here.
        """
        self._lock = threading.RLock()
        self.log.let_go()
        self.log = RecordLog(None)
        self.followers = []
        self._analysis = Immediate(self._analyst)

    def __reduce__(self) -> Never:
        raise UsageError(
            "a run cannot be sent to another process, or be copied",
            do="Log in the process that began it; what a worker found, let it return.",
        )

    def close(self) -> bool:
        """Close everything (`shut`), then say what failed (`report`); False when a sink could not take everything in time."""
        delivered = self.shut()
        self.report()
        return delivered

    def shut(self) -> bool:
        """Flush, let analysis and every sink catch up, close all; False when a sink could not take everything in time."""
        with self._lock:
            if self.closed:
                return True
            self.closed = self._troubles.collects = True
        for env_id, episode_idx, scoped in tuple(self._episodes):
            self.settle(env_id, episode_idx, scoped=scoped)
        self.log.flush()
        self._analysis.close(ANALYSIS_SECONDS)
        for follower in self.followers:
            follower.finish()
        delivered = self._delivered()
        self.log.close()
        return delivered

    def report(self, also: str = "") -> None:
        """After `shut`: say in one warning what failed and was not said before, or raise it when strict. Once only.

        Args:
            also: What else is to be said.
        """
        if self._reported:
            return
        self._reported = True
        if self.log.last_error is not None:
            lost = f"{self.dropped_records} records could not be kept."
            self._troubles.tell("the last write to the record log", self.log.last_error, lost)
        self._report_followers()
        self._troubles.say_at_last(also)

    def _delivered(self) -> bool:
        """Wait for the sinks together for as long as any of them gets on; whether all took everything."""
        reached, moved_at = -1, time.monotonic()
        while not all([follower.close(LOOK_SECONDS) or follower.ended for follower in self.followers]):  # noqa: C419 -- each is closed
            now = sum(follower.progress for follower in self.followers)
            if now > reached:
                reached, moved_at = now, time.monotonic()
            elif time.monotonic() - moved_at > self.config.finish_timeout:
                return False
        return all(follower.failure is None for follower in self.followers)
