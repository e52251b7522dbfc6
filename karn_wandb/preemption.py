"""SIGTERM: what schedulers send before they take a machine away. Runs save what they hold, then the signal has its effect.

A process has one handler of a signal, so this module has one list of the runs that are open. The handler is there
while a run is; a user's own handler is called after ours.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Protocol

SECONDS = 10.0
"""How long a run may take to save what it holds; schedulers give 30 seconds or more."""


class Saveable(Protocol):
    """What is told of the signal."""

    def save(self, *, ending: bool) -> None:
        """Save what it holds; `ending` when the process ends right after."""


class Watch:
    """Handles SIGTERM for the runs that are open."""

    def __init__(self) -> None:
        self._runs: list[Saveable] = []
        self._previous: Any = None
        self._process = 0

    def add(self, run: Saveable) -> None:
        """A run begins. Nothing is done outside the main thread, or where the signal is ignored or handled outside Python."""
        if threading.current_thread() is not threading.main_thread():
            return
        present = signal.getsignal(signal.SIGTERM)
        if present != self._handle:
            if present is None or present is signal.SIG_IGN:
                return
            self._previous = present
            signal.signal(signal.SIGTERM, self._handle)
        self._process = os.getpid()
        self._runs.append(run)

    def forget(self) -> None:
        """The process is a fork of the one that the runs are of."""
        self._runs.clear()

    def remove(self, run: Saveable) -> None:
        """A run ends; with the last one the signal is what it was before."""
        if run in self._runs:
            self._runs.remove(run)
        in_main = threading.current_thread() is threading.main_thread()
        if not self._runs and in_main and signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._previous)

    def _handle(self, number: int, frame: Any) -> None:
        ends = not callable(self._previous)
        if os.getpid() == self._process:  # a forked worker has nothing of its own to save
            # On a thread, for the main one may have been interrupted while it held a lock that saving needs.
            saving = threading.Thread(target=self._save, args=(ends,), name="karn-sigterm", daemon=True)
            saving.start()
            saving.join(SECONDS)
        if callable(self._previous):
            self._previous(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _save(self, ending: bool) -> None:
        for run in tuple(self._runs):
            run.save(ending=ending)


WATCH = Watch()
"""The process's own."""
