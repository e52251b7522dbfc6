"""The journal of a local sweep: what was proposed, begun and ended, one line each, on the disk before it counts."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

from karn_wandb.errors import SweepError

JOURNAL, LOCK = "journal.jsonl", "lock"
State = Literal["waiting", "running", "finished", "failed", "stopped"]
ENDED: tuple[State, ...] = ("finished", "failed", "stopped")
"""States that last; "stopped" is early termination. A run that was interrupted waits again."""


@dataclass(slots=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        index: Its place, from 0.
        parameters: What the sweep sets in it.
        point: Where that is in the space a Bayesian search goes through.
        state: How far it is.
        run_id: Of its last attempt; "" before the first.
        attempts: How often it was begun.
        exit_code: Of its process; None before it has ended.
        value: The sweep's metric; None when it was not logged.
        why: What there is to say of its end.
    """

    index: int
    parameters: Mapping[str, Any]
    point: Mapping[str, float] = field(default_factory=dict)
    state: State = "waiting"
    run_id: str = ""
    attempts: int = 0
    exit_code: int | None = None
    value: float | None = None
    why: str = ""


class Journal:
    """The journal of a folder, read back when there is one.

    Attributes:
        runs: The runs, as far as they are.
        token: What the ids of this sweep's runs begin with.

    Args:
        folder: The sweep's folder.
        what: What identifies the sweep, plain JSON: the same each time it is opened.

    Raises:
        SweepError: The folder holds another sweep, or its journal is damaged.
    """

    def __init__(self, folder: Path, what: Mapping[str, Any]) -> None:
        self.runs: list[SweepRun] = []
        self.token = token_hex(3)
        path = folder / JOURNAL
        whole = self._read(path, dict(what)) if path.exists() else 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, whole)  # a line that a power cut tore counts as not written
        if not whole:
            self._append({"event": "sweep", **what, "token": self.token})

    def _read(self, path: Path, what: dict[str, Any]) -> int:
        *lines, torn = (content := path.read_bytes()).split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                event = entry.pop("event")
                if event == "sweep":
                    _check_same(path.parent, entry, what)
                    self.token = entry["token"]
                else:
                    self._take(event, entry)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                if isinstance(error, SweepError):
                    raise
                raise SweepError(
                    f"{path}, line {number}: the journal is damaged", got=repr(line[:60]), do="Give another folder with --out."
                ) from error
        return len(content) - len(torn)

    def proposed(self, run: SweepRun) -> SweepRun:
        """A run more, in the place after the last."""
        self._note("proposed", {"index": run.index, "parameters": dict(run.parameters), "point": dict(run.point)})
        return self.runs[-1]

    def started(self, run: SweepRun, run_id: str) -> None:
        """An attempt begins."""
        self._note("started", {"index": run.index, "run_id": run_id})

    def ended(self, run: SweepRun, state: State, exit_code: int | None, value: float | None, why: str) -> None:
        """An attempt is over; in the state "waiting" when the run is to be begun again."""
        what = {"index": run.index, "state": state, "exit_code": exit_code, "value": value, "why": why}
        self._note("ended", what)

    def _note(self, event: str, entry: dict[str, Any]) -> None:
        self._append({"event": event, **entry})
        self._take(event, entry)

    def _take(self, event: str, entry: Mapping[str, Any]) -> None:
        if event == "proposed":
            self.runs.append(SweepRun(**entry))
            return
        run = self.runs[entry["index"]]
        if event == "started":
            run.state, run.run_id, run.attempts = "running", entry["run_id"], run.attempts + 1
        else:
            run.state, run.exit_code, run.value, run.why = (entry[key] for key in ("state", "exit_code", "value", "why"))

    def _append(self, entry: Mapping[str, Any]) -> None:
        os.write(self._file, json.dumps(entry).encode() + b"\n")
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _check_same(folder: Path, found: Mapping[str, Any], what: Mapping[str, Any]) -> None:
    for key, value in what.items():
        if found.get(key) != value:
            raise SweepError(
                f"the folder {str(folder)!r} holds another sweep: its {key} differs",
                got=f"{found.get(key)!r} there, {value!r} now",
                do="Give another folder with --out.",
            )


@contextmanager
def locked(folder: Path, patience: float, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the folder's lock; the runs' guards share it, so it is free only when nothing of an earlier call is left.

    Args:
        folder: The sweep's folder.
        patience: Seconds to wait for it.
        waiting: Called once when it is not free at once.

    Yields:
        The lock's file descriptor.

    Raises:
        SweepError: Another process holds it.
    """
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        give_up_at = time.monotonic() + patience
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise SweepError(
                        f"the sweep in {str(folder)!r} is run by another process", do="Wait until that has ended."
                    ) from None
                if not told:
                    waiting()
                    told = True
                time.sleep(0.1)
        yield lock
    finally:
        os.close(lock)
