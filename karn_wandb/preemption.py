"""SIGTERM: what schedulers send before they take a machine away. Runs save what they hold, then the signal has its effect.

A process has one handler of a signal, so this module has one list of the runs that are open. The handler is there
while a run is; a user's own handler is called after ours.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol

SECONDS = 10.0
"""How long a run may take to save what it holds; schedulers give 30 seconds or more."""

LOOK_SECONDS = 0.1
"""How long the main thread waits to hear that it is outside of all calls of a run."""


class Saveable(Protocol):
    """What is told of the signal."""

    def still(self) -> AbstractContextManager[None]:
        """While it lasts, no other thread is inside a call of the run."""

    def save(self, *, ending: bool) -> None:
        """Save what it holds; `ending` when the process ends right after."""


class _Saving(threading.Thread):
    """Saves runs while the main thread waits in the signal's handler.

    The handler may have interrupted the main thread in a call of a run, where it holds locks that saving needs. Then the
    handler returns, the call ends, and the signal is sent again while this thread holds those locks.

    Args:
        runs: The runs.
        handler: The signal's handler.
        ending: Whether the process ends right after.
    """

    def __init__(self, runs: Sequence[Saveable], handler: Any, *, ending: bool) -> None:
        super().__init__(name="karn-sigterm", daemon=True)
        self._runs, self._handler, self._ending = runs, handler, ending
        self._changed = threading.Condition()
        self._still = self._given_up = False
        self._waited_for, self._saved = threading.Event(), threading.Event()

    def run(self) -> None:
        for _ in range(round(SECONDS / LOOK_SECONDS)):
            if self._main_waits():
                break
            if signal.getsignal(signal.SIGTERM) != self._handler:  # another one took over, and has got the signal
                return
        else:  # Python does not come to run ours
            return
        for run in self._runs:
            run.save(ending=self._ending)
        self._saved.set()

    def _main_waits(self) -> bool:
        """Hold all locks for a moment; whether the handler said meanwhile that it waits, so that the main thread has none."""
        with ExitStack() as calls:
            for run in self._runs:
                calls.enter_context(run.still())
            with self._changed:
                self._still, again = True, self._given_up
                self._changed.notify_all()
            if again:
                os.kill(os.getpid(), signal.SIGTERM)
            waits = self._waited_for.wait(LOOK_SECONDS)  # not for ever: a condition gets its lock back without heeding signals
            with self._changed:
                self._still = waits
            return waits

    def wait(self) -> bool:
        """Wait in the handler until all is saved or time is up; False, soon, when the handler must return first."""
        with self._changed:
            self._given_up = False
            self._given_up = not self._changed.wait_for(lambda: self._still, LOOK_SECONDS)
            if self._given_up:
                return False
            self._waited_for.set()
        self._saved.wait(SECONDS)
        return True


class Watch:
    """Handles SIGTERM for the runs that are open."""

    def __init__(self) -> None:
        self._runs: list[Saveable] = []
        self._saving: _Saving | None = None
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
        self._saving = None

    def remove(self, run: Saveable) -> None:
        """A run ends; with the last one the signal is what it was before."""
        if run in self._runs:
            self._runs.remove(run)
        in_main = threading.current_thread() is threading.main_thread()
        if not self._runs and in_main and signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._previous)

    def _handle(self, number: int, frame: Any) -> None:
        if os.getpid() == self._process:  # a forked worker has nothing of its own to save
            if self._saving is None:
                self._saving = _Saving(tuple(self._runs), self._handle, ending=not callable(self._previous))
                self._saving.start()
            if not self._saving.wait():
                return
            self._saving = None
        if callable(self._previous):
            self._previous(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


WATCH = Watch()
"""The process's own."""
