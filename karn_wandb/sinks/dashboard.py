"""The live dashboard: on a terminal a box that stays at its bottom, elsewhere a few lines an epoch."""

from __future__ import annotations

import io
import sys
import threading
import time
from typing import TextIO

from rich.console import Console

from karn_wandb.errors import UsageError
from karn_wandb.records import HealthReport, TelemetryEvent
from karn_wandb.sinks.dashboard_state import NOT_SHOWN, DashboardState
from karn_wandb.sinks.dashboard_terminal import PinnedLines, is_terminal, open_terminal
from karn_wandb.sinks.dashboard_text import plain, render

WIDEST = 100
"""Columns of the box on a wide terminal."""


class Dashboard:
    """A sink that shows how the run is doing: accuracy against the host alone, why, slots, policy, alerts.

    On a terminal it is drawn past W&B's capture of the console, so that output.log holds what the training prints and
    nothing of the box (`open_terminal` says how), and what the training prints scrolls above it. Without a terminal,
    on a dumb one and on Windows, `plain` lines are printed after each epoch, which output.log holds as it holds any.
    NO_COLOR is respected.

    It is a view: when its terminal or stream is gone it shows nothing more, and says so to nobody.

    Args:
        stream: Where to show it; standard output when None. A terminal given here is written to as it is.
        refresh_per_second: How often it is drawn at most, above 0. Nothing is drawn while nothing changes.

    Raises:
        UsageError: `refresh_per_second` is not above 0.
    """

    name = "dashboard"

    def __init__(self, stream: TextIO | None = None, refresh_per_second: float = 4) -> None:
        if not refresh_per_second > 0:
            raise UsageError("refresh_per_second must be above 0", got=str(refresh_per_second), do="4 is the default.")
        self.state = DashboardState()
        self._stream = stream
        self._interval = 1 / refresh_per_second
        self._lock = threading.Lock()
        self._pinned: PinnedLines | None = None
        # Asked before W&B redirects standard output, which makes a terminal of any file.
        self._may_draw = is_terminal(stream or sys.stdout) and not _console(80).is_dumb_terminal
        self._timer: threading.Timer | None = None
        self._drawn_at = -self._interval
        self._gone = False

    def write(self, event: TelemetryEvent) -> None:
        """Take the event into account and show it, now or within the interval."""
        if isinstance(event.data, NOT_SHOWN):
            return
        with self._lock:
            self.state.observe(event)
            if self._gone:
                return
            if self._on_terminal():
                self._schedule()
            elif isinstance(event.data, HealthReport):  # the last reading of an epoch
                self._print()

    def close(self) -> None:
        """Draw a last time below what was printed, and give the terminal back."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            pinned, self._pinned, self._may_draw, self._gone = self._pinned, None, False, True
            if pinned is not None:
                try:
                    pinned.close(self._lines(pinned.columns))
                except OSError:  # the terminal is gone
                    return

    def _on_terminal(self) -> bool:
        if self._may_draw and self._pinned is None:
            descriptor = open_terminal(self._stream)
            self._may_draw = descriptor is not None
            self._pinned = None if descriptor is None else PinnedLines(descriptor)
        return self._may_draw

    def _schedule(self) -> None:
        if self._timer is None:
            wait = self._drawn_at + self._interval - time.monotonic()
            self._timer = threading.Timer(max(0.0, wait), self._draw)
            self._timer.daemon = True
            self._timer.start()

    def _draw(self) -> None:
        with self._lock:
            self._timer = None
            self._drawn_at = time.monotonic()
            if self._pinned is not None and not self._gone:
                try:
                    self._pinned.show(self._lines(self._pinned.columns, self._pinned.room))
                except OSError:  # the terminal is gone
                    self._gone = True

    def _lines(self, columns: int, rows: int | None = None) -> list[str]:
        console = _console(columns)
        with console.capture() as drawn:
            console.print(render(self.state, min(columns, WIDEST), rows), end="")
        return drawn.get().splitlines()

    def _print(self) -> None:
        stream = self._stream or sys.stdout
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            for line in plain(self.state):
                print(line.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
        except (OSError, ValueError):  # the stream is gone or closed
            self._gone = True


def _console(columns: int) -> Console:
    """A console like the terminal's: colours, NO_COLOR and TERM are for rich to find out."""
    return Console(file=io.StringIO(), force_terminal=True, width=columns)
