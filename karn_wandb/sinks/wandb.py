"""Events into a real W&B run: a history row each; tables, artifacts and charts when the run ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import wandb

from karn_wandb.pipeline.history import back_to, standing
from karn_wandb.records import Alert, Record, TelemetryEvent
from karn_wandb.schema import CLOCKS, EPISODE, FAMILIES, PART, PARTS, REST, USER_STEP, encode_rows, scope
from karn_wandb.schema.tables import histograms
from karn_wandb.sinks.luggage import Luggage
from karn_wandb.sinks.views import Views

if TYPE_CHECKING:
    from wandb import Run as WandbRun

try:
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
except ImportError:  # they have no public name
    PROCESS_GONE: tuple[type[Exception], ...] = (ConnectionError,)
else:
    PROCESS_GONE = (ConnectionError, HandleAbandonedError, MailboxClosedError)
"""What W&B raises when its own process is gone."""

MAX_BINS = 512
LEVELS = MappingProxyType({"info": "INFO", "warning": "WARN", "error": "ERROR"})
"""W&B's names of an alert's levels."""
NO_WAIT = 0.001
"""Seconds of W&B's own cooldown of alerts, for they come with one; it takes 0 for its default of a minute."""


class LogGate:
    """Keeps a user's rows and ours apart.

    W&B has one pending row a run: `log({...}, commit=False)` adds to it and the next commit sends it, whoever makes
    it. So while a user's row is open, ours wait; and both never write at the same time.

    W&B has one step a run, too: each row moves it on, and a row whose `step=` lies behind it is dropped. Ours move it, so
    a user's `step=` would soon lie behind. It becomes the column `user_step` of the row instead, and no row is dropped.
    """

    def __init__(self, run: WandbRun) -> None:
        self._log: Callable[..., None] = run.log
        self._open_step: int | None = None
        self.begin()
        setattr(run, "log", self._user_log)  # noqa: B010 -- the one place every call of the user passes
        if wandb.run is run:
            setattr(wandb, "log", self._user_log)  # noqa: B010 -- W&B put the run's own method there; its finish takes ours away

    def begin(self) -> None:
        """Begin with no row open; again in a forked process, whose copy a thread of the other may hold."""
        self._free = threading.Condition(threading.RLock())
        self._open = False
        self._open_step = None
        self._closing = False

    def _user_log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        with self._free:
            if step is not None:
                if self._open and self._open_step not in (None, step):
                    self._commit()
                data = {USER_STEP: step, **data}
                self._open_step = step
            self._log(data, commit=commit)
            self._open = commit is False
            if not self._open:
                self._open_step = None
            self._free.notify_all()

    def _commit(self) -> None:
        """Send the user's row as it is; an empty row adds nothing to it."""
        self._log({}, commit=True)
        self._open, self._open_step = False, None

    def log(self, row: dict[str, Any]) -> None:
        """Log a row of ours as soon as no user's row is open."""
        with self._free:
            self._free.wait_for(lambda: not self._open or self._closing)
            self._log(row)

    @contextmanager
    def still(self) -> Iterator[None]:
        """While it lasts, no other thread logs a row."""
        with self._free:
            yield

    def close(self) -> None:
        """The run ends: a user's row that is still open is sent, and ours wait no longer."""
        with self._free:
            self._closing = True
            if self._open:
                with suppress(wandb.errors.UsageError, *PROCESS_GONE):  # the user has finished the W&B run already
                    self._commit()
            self._free.notify_all()


class WandbSink:
    """Writes events to one W&B run.

    Args:
        run: The run; the global `wandb.run` is never used.
        gate: The run's gate between the user's rows and ours.
        events: Gives all events of the run again, for the tables and artifacts made when it ends.
        log_path: The record log, to become an artifact.
        present: Sequence numbers of the events that the run in W&B already has; they are passed over.
        told: Sequence number up to which alerts were sent when they were raised; their rows are logged, nothing else.
        chart_presets: As in `KarnConfig`.
    """

    name = "wandb"

    def __init__(
        self,
        run: WandbRun,
        gate: LogGate,
        events: Callable[[], Iterable[TelemetryEvent]],
        log_path: Path | None,
        *,
        present: Container[int] = (),
        told: int = 0,
        chart_presets: str | None = None,
    ) -> None:
        self._run = run
        self._chart_presets = chart_presets
        self._gate = gate
        self._events = events
        self._log_path = log_path
        self._present = present
        self._told = told
        self._scopes: set[str] = set()
        self._went_back = False
        if run.offline:
            Luggage(run)
        self._define("")

    def write(self, event: TelemetryEvent) -> None:
        """Log the event as a row (a very long one as several), with its histograms beside it."""
        self._went_back = self._went_back or back_to(event) is not None
        if event.scoped:
            self._define(scope(event.env_id))
        if event.sequence in self._present:
            return
        *parts, row = map(dict[str, Any], encode_rows(event))
        for part in parts:
            self._gate.log(part)
        if isinstance(event.data, Record):
            row |= {key: _histogram(counts, edges) for key, counts, edges in histograms(event.data) if _drawable(counts, edges)}
        self._gate.log(row)
        if isinstance(event.data, Alert) and (event.sequence or 0) >= self._told:
            self._alert(event.data)

    def _alert(self, alert: Alert) -> None:
        self._run.alert(title=alert.kind.replace("_", " "), text=alert.text, level=LEVELS[alert.level], wait_duration=NO_WAIT)

    def _define(self, prefix: str) -> None:
        if prefix in self._scopes:
            return
        self._scopes.add(prefix)
        for clock in CLOCKS:
            self._run.define_metric(prefix + clock, hidden=True)
        for family, clock in FAMILIES.items():
            self._run.define_metric(f"{prefix}{family}/*", step_metric=prefix + clock)
        if prefix:
            self._run.define_metric(prefix + EPISODE, hidden=True)
        else:
            self._run.define_metric(USER_STEP, hidden=True)
            for key in (REST, PART, PARTS):
                self._run.define_metric(key, hidden=True, summary="none")

    def close(self) -> Iterator[None]:
        """Log tables, summary and artifacts, step by step."""
        views = Views(self._run, self._gate.log, self._chart_presets)
        events = self._events()
        for event in standing(events) if self._went_back else events:
            views.add(event)
            yield
        yield from views.finish(self._log_path)


def _drawable(counts: tuple[float, ...], edges: tuple[float, ...]) -> bool:
    return 0 < len(counts) <= MAX_BINS and bool(np.isfinite([*counts, *edges]).all())


def _histogram(counts: tuple[float, ...], edges: tuple[float, ...]) -> wandb.Histogram:
    return wandb.Histogram(np_histogram=(np.asarray(counts), np.asarray(edges)))
