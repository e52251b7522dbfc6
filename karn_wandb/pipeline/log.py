"""The record log: one file a run, one line an event, and the queue that every sink follows.

Appending puts the line into a buffer; flushing writes the buffer to the file, after which the events survive a killed
process. Readers ask for events by their sequence number: recent ones come from memory, older ones from the file. When
the disk refuses, the torn piece is cut off again, the lines wait in memory for the next flush, and only when too many
wait are the oldest given up, and counted.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from karn_wandb.errors import RecordError, SourceError
from karn_wandb.records import TelemetryEvent, decode_event, decode_header, encode_event, encode_header

LOG_NAME = "records.jsonl"
"""Name of the record log in a run's folder."""

FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 1.0
WAITING_BYTES = 16 * 1024 * 1024
TAIL_EVENTS = 2048


class RecordLog:
    """Append-only log of a run's events.

    Safe to append from one thread and to read from others.

    Args:
        path: The file, made with its folder when missing and continued when it exists; None keeps nothing but the
            newest events in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.changed = threading.Condition()
        self.next_sequence = 0
        self.dropped = 0
        self.last_error: OSError | None = None
        self._tail: deque[TelemetryEvent] = deque(maxlen=TAIL_EVENTS)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._flushed_at = time.monotonic()
        self._marks: list[tuple[int, int]] = []
        self._size = 0
        self._file: int | None = None
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = read_log(path) if path.exists() and path.stat().st_size else None
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if found is None:
            self._waiting.append(encode_header())
            self._waiting_bytes = len(self._waiting[0])
        else:
            self.next_sequence = found.next_sequence
            self._size = found.whole_bytes
            os.ftruncate(self._file, self._size)

    def append(self, event: TelemetryEvent) -> None:
        """Add an event whose `sequence` is `next_sequence`; written at the next flush, which may be now."""
        line = encode_event(event)
        with self.changed:
            self._tail.append(event)
            self.next_sequence += 1
            if self._file is None:
                self.changed.notify_all()
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
        if self._waiting_bytes >= FLUSH_BYTES or time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits, and wake the readers. A disk that refuses is remembered in `last_error`."""
        with self.changed:
            self._flushed_at = time.monotonic()
            if self._waiting and self._file is not None:
                self._write(self._file)
            self.changed.notify_all()

    def _write(self, file: int) -> None:
        data = b"".join(self._waiting)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(file, data[written:], self._size + written)
        except OSError as error:
            self.last_error = error
            self._give_back(file)
            return
        self._marks.append((self.next_sequence, self._size + len(data)))
        self._size += len(data)
        self._waiting.clear()
        self._waiting_bytes = 0
        self.last_error = None

    def _give_back(self, file: int) -> None:
        """Cut off a torn piece; beyond the limit give up the oldest waiting events (never the header)."""
        os.ftruncate(file, self._size)
        header = [self._waiting.popleft()] if self._size == 0 else []
        while self._waiting_bytes > WAITING_BYTES:
            self._waiting_bytes -= len(self._waiting.popleft())
            self.dropped += 1
        self._waiting.extendleft(header)

    def read(self, sequence: int, limit: int) -> list[TelemetryEvent]:
        """Up to `limit` events from `sequence` on, in order; those the disk refused may be missing."""
        with self.changed:
            recent = [e for e in self._tail if e.sequence is not None and e.sequence >= sequence]
            remembered = not self._tail or self._tail[0].sequence is None or self._tail[0].sequence <= sequence
            offset, stop = self._offset_before(sequence), self._size
        older: list[TelemetryEvent] = []
        if not remembered and self.path is not None:
            older = list(islice(_events_between(self.path, offset, stop, sequence), limit))
        return older or recent[:limit]

    def _offset_before(self, sequence: int) -> int:
        at = bisect_right(self._marks, (sequence, self._size + 1)) - 1
        return self._marks[at][1] if at >= 0 else 0

    def events(self) -> Iterator[TelemetryEvent]:
        """All events so far, from the file; from memory when there is none."""
        self.flush()
        if self.path is None:
            return iter(tuple(self._tail))
        return _events_between(self.path, 0, self._size, 0)

    def close(self) -> None:
        """Flush for the last time, count what the disk still refuses as dropped, and close the file."""
        self.flush()
        with self.changed:
            self.dropped += len(self._waiting)
            self._waiting.clear()
            if self._file is not None:
                os.close(self._file)
                self._file = None


def _events_between(path: Path, offset: int, stop: int, sequence: int) -> Iterator[TelemetryEvent]:
    with path.open("rb") as file:
        file.seek(offset)
        while file.tell() < stop:
            line = file.readline()
            if line.startswith(b'{"karn_records"'):
                continue
            event = decode_event(line)
            if event.sequence is not None and event.sequence >= sequence:
                yield event


@dataclass(frozen=True, slots=True)
class ReadLog:
    """A record log as read from disk.

    Attributes:
        events: The events, in order.
        damage: What could not be read, in words; empty for a sound log.
        whole_bytes: Length up to the end of the last whole line.
        next_sequence: Sequence number that comes after the last event.
    """

    events: tuple[TelemetryEvent, ...]
    damage: tuple[str, ...]
    whole_bytes: int
    next_sequence: int


def read_log(path: Path) -> ReadLog:
    """Read a record log that another process wrote, may have been killed while writing, or is still writing.

    A torn last line is left out and said; a damaged line in the middle is left out and said.

    Raises:
        SourceError: The file cannot be opened.
        RecordError: It is no record log, or one of a newer version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"the record log {path} cannot be read", got=str(error), do="Check that it is there and readable."
        ) from None
    *lines, torn = content.split(b"\n")
    if not lines:
        raise RecordError(
            "the file is no record log", got=repr(content[:60]), do='Its first line must be {"karn_records": VERSION}.'
        )
    version = decode_header(lines[0])
    events, damage = [], []
    for number, line in enumerate(lines[1:], start=2):
        try:
            events.append(decode_event(line, version))
        except RecordError as error:
            damage.append(f"line {number} of the record log is left out: {error}")
    if torn:
        damage.append(f"the last line of the record log is torn ({len(torn)} bytes) and left out")
    last = max((e.sequence for e in events if e.sequence is not None), default=-1)
    return ReadLog(tuple(events), tuple(damage), len(content) - len(torn), last + 1)
