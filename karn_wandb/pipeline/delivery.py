"""Delivery: each sink follows the record log on a thread of its own, at its own pace.

This is the boundary where other people's code (W&B, a terminal, a disk) may fail in any way; nothing that fails here
reaches the training loop. A failure is tried again, then the sink is parked: the record log keeps what it missed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from karn_wandb.pipeline.log import RecordLog
from karn_wandb.records import TelemetryEvent

BATCH = 256
ATTEMPTS = 3
BACKOFF_SECONDS = (0.1, 1.0)
LOOK_SECONDS = 0.05
"""How often a follower that has come to the end looks for more. Nobody is woken by an append: on the training thread that
costs as much as a fifth of `log_epoch`."""


class Sink(Protocol):
    """Where events go. All methods are called from one thread, never the training thread.

    `name` is unique in a run; it names the file that holds how far the sink has come.
    """

    name: str

    def write(self, event: TelemetryEvent) -> None:
        """Take one event; raise whatever goes wrong."""

    def close(self) -> Iterator[None] | None:
        """All events were written, or the sink was given up; let go of what it holds.

        A sink with much left to do does it step by step, as a generator: each step shows that it gets on.
        """


class Delivery(Protocol):
    """How a sink gets its events: by a `Follower`, or `Immediate`."""

    sink: Sink
    failure: Exception | None

    @property
    def lag(self) -> int:
        """Events appended and not delivered yet."""

    def offer(self, event: TelemetryEvent) -> None:
        """An event was appended."""

    def drain(self, timeout: float) -> bool:
        """Wait until everything appended so far is delivered; False when it is not in `timeout` seconds or parked."""

    def close(self, timeout: float) -> bool:
        """Deliver what is left and end; False when `timeout` seconds were not enough, or the sink failed."""


class Guard:
    """Does what may fail, until it does.

    Attributes:
        failure: What was raised; None while all is well.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def attempt(self, work: Callable[[], None]) -> None:
        """Do it, unless something has failed before; raises nothing."""
        if self.failure is None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 -- the boundary, as below
                self.failure = error


class Immediate(Guard):
    """Hands each event to a sink on the thread that appends it: for analysis without a record log.

    Args:
        sink: Where the events go.
    """

    lag = 0

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.sink = sink

    def offer(self, event: TelemetryEvent) -> None:
        """Write the event, unless the sink has failed before."""
        self.attempt(lambda: self.sink.write(event))

    def drain(self, timeout: float) -> bool:  # noqa: ARG002 -- nothing to wait for
        """Everything is delivered."""
        return self.failure is None

    def close(self, timeout: float) -> bool:  # noqa: ARG002 -- nothing to wait for
        """Close the sink."""
        for _ in _closing(self.sink):
            pass
        return self.failure is None


class Follower:
    """Hands the log's events to one sink, in order, each once.

    Args:
        log: The log to follow.
        sink: Where the events go.
        offset_path: File that keeps the sequence number of the next event, so that a resumed run goes on there; None
            keeps it in memory only.
        attempts: How often an event is tried before the sink is parked.
        start: Sequence number of the first event to deliver when no file says another.
    """

    def __init__(
        self, log: RecordLog, sink: Sink, offset_path: Path | None = None, attempts: int = ATTEMPTS, start: int = 0
    ) -> None:
        self.log = log
        self.sink = sink
        self.failure: Exception | None = None
        self.failed_writes = 0
        self._closing_steps = 0
        self._offset_path = offset_path
        self._attempts = attempts
        reached = _stored(offset_path) or start
        self.cursor = min(reached, log.next_sequence)  # a killed process may have delivered more than it wrote
        self._closing = False
        self._thread = threading.Thread(target=self._follow, name=f"karn-{sink.name}", daemon=True)
        self._thread.start()

    @property
    def lag(self) -> int:
        """Events appended and not delivered yet."""
        return self.log.next_sequence - self.cursor

    @property
    def ended(self) -> bool:
        """Whether its sink is closed and its thread has come to an end."""
        return not self._thread.is_alive()

    @property
    def progress(self) -> int:
        """A number that grows as long as the follower gets on: events delivered, and steps of the sink's end."""
        return self.cursor + self._closing_steps

    def offer(self, event: TelemetryEvent) -> None:
        """Nothing to do: the follower reads the log."""

    def drain(self, timeout: float) -> bool:
        """Wait until everything appended so far is delivered; False when it is not in `timeout` seconds or parked."""
        appended = self.log.next_sequence
        if self.cursor < appended and self.failure is None:
            with self.log.changed:
                self.log.changed.notify_all()
                self.log.changed.wait_for(lambda: self.cursor >= appended or self.failure is not None, timeout)
        return self.cursor >= appended

    def finish(self) -> None:
        """Deliver what is left, then close the sink and end the thread; returns at once."""
        with self.log.changed:
            self._closing = True
            self.log.changed.notify_all()

    def close(self, timeout: float) -> bool:
        """Finish and wait for it; False when `timeout` seconds were not enough, or the sink failed."""
        self.finish()
        self._thread.join(timeout)
        return self.ended and self.failure is None

    def _follow(self) -> None:
        while self.failure is None:
            with self.log.changed:
                while self.lag <= 0 and not self._closing:
                    self.log.changed.wait(LOOK_SECONDS)
                if self.lag <= 0:
                    break
            self._deliver(self._next_events())
        self._close_sink()
        with self.log.changed:
            self.log.changed.notify_all()

    def _next_events(self) -> list[TelemetryEvent]:
        try:
            return self.log.read(self.cursor, BATCH)
        except OSError as error:  # the log's file is gone or cannot be read
            self.failure = error
            return []

    def _deliver(self, events: list[TelemetryEvent]) -> None:
        for event in events:
            if not self._try(event):
                break
            self.cursor = 1 + (self.cursor if event.sequence is None else event.sequence)
        _store(self._offset_path, self.cursor)
        with self.log.changed:
            self.log.changed.notify_all()

    def _try(self, event: TelemetryEvent) -> bool:
        for attempt in range(self._attempts):
            if attempt:
                threading.Event().wait(BACKOFF_SECONDS[attempt - 1])
            try:
                self.sink.write(event)
            except Exception as error:  # noqa: BLE001 -- the boundary: counted, kept, reported by the collector
                self.failed_writes += 1
                failure = error
            else:
                return True
        self.failure = failure
        return False

    def _close_sink(self) -> None:
        try:
            for _ in _closing(self.sink):
                self._closing_steps += 1
        except Exception as error:  # noqa: BLE001 -- the boundary, as above
            self.failure = self.failure or error


def _closing(sink: Sink) -> Iterator[None]:
    """Close a sink, in the steps it takes."""
    steps = sink.close()
    if isinstance(steps, Iterator):
        yield from steps


def _stored(path: Path | None) -> int:
    if path is None or not path.exists():
        return 0
    content = path.read_bytes().strip()
    return int(content) if content.isdigit() else 0


def _store(path: Path | None, cursor: int) -> None:
    if path is None:
        return
    new = path.with_name(f"{path.name}.new")
    try:
        new.write_text(f"{cursor}\n")
        new.replace(path)  # at once, so that a killed process leaves the old number or the new one
    except OSError:  # a full disk: the log counts it; a resumed run then delivers some events again
        return
