"""The record log: one file a run, one line an event, and the queue that every sink follows.

Appending puts the line into a buffer; flushing writes the buffer to the file, after which the events survive a killed
process. Readers ask for events by their sequence number: recent ones come from memory, older ones from the file. When
the disk refuses, the torn piece is cut off again, the lines wait in memory for the next flush, and only when too many
wait are the oldest given up, and counted.
"""

from __future__ import annotations

import gzip
import os
import threading
import time
import warnings
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from karn_wandb.errors import KarnWarning, RecordError, SourceError, UsageError
from karn_wandb.records import TelemetryEvent, decode_event, decode_header, encode_event, encode_header

LOG_NAME = "records.jsonl"
"""Name of the record log in a run's folder."""

PACKED = b"\x1f\x8b"
"""First bytes of a record log that was packed by gzip, as artifacts are."""

FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 1.0
WAITING_BYTES = 16 * 1024 * 1024
TAIL_EVENTS = 2048

Mark = tuple[int, int]
"""A place to start reading from: sequence number of an event, and the offset its line has."""


class RecordLog:
    """Append-only log of a run's events.

    Safe to append from one thread and to read from others.

    Args:
        path: The file, made with its folder when missing and continued when it exists; None keeps nothing but the
            newest events in memory.
        remember_all: Keep all events in memory, not only the newest.
    """

    def __init__(self, path: Path | None, *, remember_all: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        self.next_sequence = 0
        self.dropped = 0
        self.last_error: OSError | None = None
        self._tail: deque[TelemetryEvent] = deque(maxlen=None if remember_all else TAIL_EVENTS)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._flushed_at = time.monotonic()
        self._marks: list[Mark] = []
        self._size = 0
        self._file: int | None = None
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _ends_in_header(path):
            found = read_log(path)
            if found.damage:
                warnings.warn(f"{path} is continued: {'; '.join(found.damage)}", KarnWarning, stacklevel=4)
            self.next_sequence, self._size, self._marks = found.next_sequence, found.whole_bytes, list(found.marks)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, self._size)

    def append(self, event: TelemetryEvent, *, flush: bool = False) -> None:
        """Add an event whose `sequence` is `next_sequence`; written at the next flush, which may be now.

        Args:
            event: The event.
            flush: Whether to write it, and what waits, at once.

        Raises:
            UsageError: It has another sequence.
        """
        if event.sequence != self.next_sequence:
            raise UsageError(
                "an event is appended at its own place only", got=f"sequence {event.sequence}, not {self.next_sequence}"
            )
        line = encode_event(event)
        with self._lock:
            self._tail.append(event)
            self.next_sequence += 1
            if self._file is None:
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            if self.last_error is not None:
                self._give_up_oldest()
            enough = self._waiting_bytes >= FLUSH_BYTES and self.last_error is None  # a refusing disk is asked now and then
            if flush or enough or time.monotonic() - self._flushed_at > FLUSH_SECONDS:
                self._write(self._file)

    def flush(self) -> None:
        """Write what waits. A disk that refuses is remembered in `last_error`."""
        with self._lock:
            if self._waiting and self._file is not None:
                self._write(self._file)

    def _write(self, file: int) -> None:
        self._flushed_at = time.monotonic()
        header = b"" if self._size else encode_header()
        data = header + b"".join(self._waiting)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(file, data[written:], self._size + written)
        except OSError as error:
            self.last_error = error
            with suppress(OSError):  # a torn piece that stays is written over by the next try, or left out by readers
                os.ftruncate(file, self._size)
            self._give_up_oldest()
            return
        if not self._marks or self._size - self._marks[-1][1] >= FLUSH_BYTES:
            self._marks.append((self.next_sequence - len(self._waiting), self._size))
        self._size += len(data)
        self._waiting.clear()
        self._waiting_bytes = 0
        self.last_error = None

    def _give_up_oldest(self) -> None:
        while self._waiting_bytes > WAITING_BYTES:
            self._waiting_bytes -= len(self._waiting.popleft())
            self.dropped += 1

    def read(self, sequence: int, limit: int) -> list[TelemetryEvent]:
        """Up to `limit` events from `sequence` on, in order; those that were given up are missing."""
        with self._lock:
            remembered = self.next_sequence - len(self._tail)
            start = max(sequence - remembered, 0)
            recent = list(islice(self._tail, start, start + limit))
            if sequence >= remembered:
                return recent
            start = max(sequence - (self.next_sequence - len(self._waiting)), 0)
            waiting = list(islice(self._waiting, start, start + limit))
            offset, stop = self._offset_before(sequence), self._size
        written = [] if self.path is None else list(islice(_events_between(self.path, offset, stop, sequence), limit))
        return written or list(map(decode_event, waiting)) or recent

    def _offset_before(self, sequence: int) -> int:
        at = bisect_right(self._marks, sequence, key=lambda mark: mark[0]) - 1
        return self._marks[at][1] if at >= 0 else 0

    def events(self) -> Iterator[TelemetryEvent]:
        """All events so far, from the file; when there is none, the newest, from memory."""
        self.flush()
        with self._lock:
            if self.path is None:
                return iter(tuple(self._tail))
            waiting, stop = tuple(self._waiting), self._size
        return chain(_events_between(self.path, 0, stop, 0), map(decode_event, waiting))

    def let_go(self) -> None:
        """Close the file without a write or a lock: in the copy that a forked process has of the log."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def close(self) -> None:
        """Flush for the last time, count what the disk still refuses as dropped, and close the file."""
        self.flush()
        with self._lock:
            self.dropped += len(self._waiting)
            self._waiting.clear()
            if self._file is not None:
                os.close(self._file)
                self._file = None


def _ends_in_header(path: Path) -> bool:
    """Whether a log was begun and nothing written yet, or only a part of the header."""
    header = encode_header()
    with path.open("rb") as file:
        begun = file.read(len(header))
    return begun != header and header.startswith(begun)


def _events_between(path: Path, offset: int, stop: int, sequence: int) -> Iterator[TelemetryEvent]:
    """Events from `sequence` on whose lines begin between two offsets."""
    with path.open("rb") as file:
        file.seek(offset)
        while file.tell() < stop:
            try:
                event = decode_event(file.readline())
            except RecordError:  # the header, or a damaged line that was said when the log was opened
                continue
            if event.sequence is not None and event.sequence >= sequence:
                yield event


def write_log(path: Path, events: Iterable[TelemetryEvent]) -> None:
    """Write a whole record log of events that have their sequence numbers; it is there whole or not at all.

    Raises:
        OSError: The disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(encode_header())
        file.writelines(map(encode_event, events))
    new.replace(path)


@dataclass(frozen=True, slots=True)
class ReadLog:
    """A record log as read from disk.

    Attributes:
        events: The events, in order.
        damage: What could not be read, in words; empty for a sound log.
        whole_bytes: Length up to the end of the last whole line.
        next_sequence: Sequence number that comes after the last event.
        marks: Places to start reading from, one every 64 KiB.
    """

    events: tuple[TelemetryEvent, ...]
    damage: tuple[str, ...]
    whole_bytes: int
    next_sequence: int
    marks: tuple[Mark, ...]


def read_log(path: Path) -> ReadLog:
    """Read a record log that another process wrote, may have been killed while writing, or is still writing.

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
    return parse_log(content)


def parse_log(content: bytes) -> ReadLog:
    """The events of a record log's bytes, packed by gzip or not.

    A torn last line is left out and said; a damaged line in the middle is left out and said.

    Raises:
        RecordError: It is no record log, or one of a newer version.
    """
    if content.startswith(PACKED):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise RecordError("the packed record log is damaged", got=str(error), do="Fetch it again.") from None
    *lines, torn = content.split(b"\n")
    if not lines:
        raise RecordError(
            "the file is no record log", got=repr(content[:60]), do='Its first line must be {"karn_records": VERSION}.'
        )
    version = decode_header(lines[0])
    events: list[TelemetryEvent] = []
    damage: list[str] = []
    marks: list[Mark] = []
    last, offset = -1, len(lines[0]) + 1
    for number, line in enumerate(lines[1:], start=2):
        try:
            event = decode_event(line, version)
        except RecordError as error:
            damage.append(f"line {number} of the record log is left out: {error}")
        else:
            events.append(event)
            if event.sequence is not None and event.sequence > last:
                last = event.sequence
                if not marks or offset - marks[-1][1] >= FLUSH_BYTES:
                    marks.append((last, offset))
        offset += len(line) + 1
    if torn:
        damage.append(f"the last line of the record log is torn ({len(torn)} bytes) and left out")
    return ReadLog(tuple(events), tuple(damage), offset, last + 1, tuple(marks))
