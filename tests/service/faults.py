"""Faults: what the service does, when a test says so, instead of answering."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "hang", "trickle", "drop"]


@dataclass
class Fault:
    """One fault; made by the methods of `Faults`."""

    kind: Kind
    where: frozenset[str] | None
    left: int | None
    status: int = 0
    seconds: float = 0.0
    retry_after: float | None = None
    met: int = field(default=0)


class Faults:
    """The faults that are switched on; the first that fits a request is what it meets.

    `where` names operations (`Runs`, `UpsertBucket`, ...) or routes (`file_stream`, `upload`, `download`); when it is left
    out, everything fails. `times` is how often; when it is left out, until `clear`. Each method gives the fault, whose
    `met` counts the requests it has met.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.over = threading.Event()

    def answer(
        self, status: int, *, where: Iterable[str] | None = None, times: int | None = None, retry_after: float | None = None
    ) -> Fault:
        """Answer with a status such as 429 or 500, and a `Retry-After` in seconds when one is given."""
        return self._add(Fault("status", _names(where), times, status=status, retry_after=retry_after))

    def hang(self, *, where: Iterable[str] | None = None, times: int | None = None) -> Fault:
        """Take the request and never answer; `clear` drops the connections that wait."""
        return self._add(Fault("hang", _names(where), times))

    def trickle(self, seconds: float, *, where: Iterable[str] | None = None, times: int | None = None) -> Fault:
        """Answer rightly, but with this pause before every few bytes."""
        return self._add(Fault("trickle", _names(where), times, seconds=seconds))

    def drop(self, *, where: Iterable[str] | None = None, times: int | None = None) -> Fault:
        """Do what was asked and drop the connection without an answer, so that the client asks again."""
        return self._add(Fault("drop", _names(where), times))

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()
            self.over.set()
            self.over = threading.Event()

    def meet(self, operation: str) -> Fault | None:
        """The fault that a request meets."""
        with self._lock:
            for fault in self._faults:
                if fault.left != 0 and (fault.where is None or operation in fault.where):
                    fault.left = None if fault.left is None else fault.left - 1
                    fault.met += 1
                    return fault
        return None

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault


def _names(where: Iterable[str] | None) -> frozenset[str] | None:
    return None if where is None else frozenset([where] if isinstance(where, str) else where)
