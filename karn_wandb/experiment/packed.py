"""A run's events as one Parquet file, from which frames read only the columns they need.

A row an event, as a line of a record log, under the columns one would look for it by. Beside it an epoch has its measurements
as columns of their own. Epochs, the last evaluated coalitions, earlier ones and all other events are a row group each, so that
the first are read without the lines, and the second without the rest. What the events say of the run is in the file's metadata.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from karn_wandb.errors import RecordError, SourceError
from karn_wandb.experiment.agreement import Agreement
from karn_wandb.experiment.telemetry import Episode, Facts, Held, Matrix, Telemetry, chosen
from karn_wandb.records import (
    SCHEMA_VERSION,
    CounterfactualMatrix,
    EpisodeContext,
    EpisodeOutcome,
    Record,
    RunInfo,
    TelemetryEvent,
    decode_event,
    encode_event,
)

VERSION = 6
"""Version of the files' form."""

_KEY, _CHECK = b"karn_wandb", b"karn_checksum"
_UNCHECKED = b"karn-crc32:00000000"
"""Stands in the file's metadata until its checksum is known: nothing less than all of a file can be trusted in part."""

_MARK = _UNCHECKED.partition(b":")[0] + b":"
_EPOCHS, _LAST, _EARLIER = 0, 1, 2
_OWN = ("place", "sequence", "event_type", "event")


@dataclass(frozen=True, slots=True)
class About:
    """What a packed file says of itself.

    Attributes:
        version: Version of its events.
        length: How many there are.
        checksum: Of all of them, in their order.
        facts: What they say of the run.
        notes: What whoever packed it added.
    """

    version: int
    length: int
    checksum: int
    facts: Facts
    notes: Mapping[str, Any]


def pack(telemetry: Telemetry, notes: Mapping[str, Any]) -> bytes:
    """The file of a run's events.

    Args:
        telemetry: The events.
        notes: JSON values to be kept beside them.
    """
    held = telemetry if isinstance(telemetry, Held) else Held(telemetry)
    events = tuple(held)
    lines = [encode_event(event) for event in events]
    last = held.last_matrix_places
    earlier = [place for place in held.matrix_places if place not in set(last)]
    others = sorted(set(range(len(events))) - {*held.epoch_places, *last, *earlier})
    measured = held.epochs()
    groups = [_rows(events, lines, places) for places in (held.epoch_places, last, earlier, others)]
    about = {
        "version": SCHEMA_VERSION,
        "length": len(events),
        "checksum": _checksum(lines),
        "facts": _plain(held.facts),
        "notes": notes,
    }
    schema = pa.schema([*groups[0].schema, *measured.schema], {_KEY: json.dumps(about).encode(), _CHECK: _UNCHECKED})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd", write_statistics=False) as writer:
        for number, group in enumerate(groups):
            beside = measured.columns if number == _EPOCHS else [pa.nulls(len(group), of) for of in measured.schema.types]
            writer.write_table(pa.table([*group.columns, *beside], schema=schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content.replace(_UNCHECKED, _MARK + b"%08x" % zlib.crc32(content))


def _rows(events: Sequence[TelemetryEvent], lines: Sequence[bytes], places: Sequence[int]) -> pa.Table:
    return pa.table(
        {
            "place": pa.array(places, pa.int32()),
            "sequence": pa.array([events[place].sequence for place in places], pa.uint64()),
            "event_type": pa.array([events[place].event_type.name for place in places], pa.string()),
            "event": pa.array([lines[place] for place in places], pa.binary()),
        }
    )


def _checksum(lines: Iterable[bytes]) -> int:
    checksum = 0
    for line in lines:
        checksum = zlib.crc32(line, checksum)
    return checksum


def _check(content: bytes) -> None:
    """Refuse what is not, byte for byte, as it was packed."""
    at = content.rfind(_MARK)
    found = content[at : at + len(_UNCHECKED)]
    if at < 0 or found != _MARK + b"%08x" % zlib.crc32(content.replace(found, _UNCHECKED)):
        raise ValueError("its checksum does not fit")


class Packed(Telemetry):
    """Events in a packed file, which is read anew each time something is wanted of it: many runs together need no memory.

    Args:
        content: Gives the file's bytes.
        about: What it says of itself.
    """

    def __init__(self, content: Callable[[], bytes], about: About) -> None:
        self._content = content
        self.about = about

    def __len__(self) -> int:
        return self.about.length

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Packed):
            mine, others = self.about, other.about
            return (mine.length, mine.checksum, mine.version) == (others.length, others.checksum, others.version)
        return super().__eq__(other)

    __hash__ = None

    def __iter__(self) -> Iterator[TelemetryEvent]:
        table = self._file().read(columns=["place", "event"], use_threads=False).sort_by("place")
        return (decode_event(line, self.about.version) for line in table["event"].to_pylist())

    @property
    def facts(self) -> Facts:
        """See `Telemetry`."""
        return self.about.facts

    def epochs(self, columns: Sequence[str] | None = None) -> pa.Table:
        """See `Telemetry`."""
        file = self._file()
        measured = [name for name in file.schema_arrow.names if name not in _OWN]
        wanted = measured if columns is None else chosen(measured, columns)
        return file.read_row_group(_EPOCHS, columns=wanted, use_threads=False).replace_schema_metadata()

    def matrices(self, *, last: bool = False) -> Iterable[Matrix]:
        """See `Telemetry`."""
        groups = [_LAST] if last else [_LAST, _EARLIER]
        table = self._file().read_row_groups(groups, columns=["place", "event"], use_threads=False).sort_by("place")
        for line in table["event"].to_pylist():
            event = decode_event(line, self.about.version)
            if isinstance(event.data, CounterfactualMatrix):
                yield Matrix(event.env_id, event.episode_idx, event.data)

    def _file(self) -> pq.ParquetFile:
        try:
            file, about = _opened(self._content())
        except _UNUSABLE as error:
            raise SourceError("what was kept of a run is gone", got=str(error), do="Load the runs again.") from error
        if about["checksum"] != self.about.checksum:
            raise SourceError("a run was read again by another process, and has changed", do="Load the runs again.")
        return file


def unpack(content: bytes, source: Callable[[], bytes] | None = None) -> Packed:
    """What `pack` made.

    Args:
        content: The file's bytes.
        source: Gives them again later; when None, they are kept.

    Raises:
        ValueError: It is not, byte for byte, what was packed, or was packed by another version.
    """
    try:
        _, about = _opened(content)
        return Packed(source or (lambda: content), About(facts=_facts(about.pop("facts")), **about))
    except _UNUSABLE as error:
        raise ValueError(str(error)) from error


_UNUSABLE = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, RecordError)
"""What opening a file raises that is not what was packed."""


def _opened(content: bytes) -> tuple[pq.ParquetFile, dict[str, Any]]:
    _check(content)
    file = pq.ParquetFile(pa.BufferReader(content))
    about: dict[str, Any] = json.loads(file.schema_arrow.metadata[_KEY])
    if about["version"] != SCHEMA_VERSION:
        raise ValueError(f"it is of version {about['version']}, this package of {SCHEMA_VERSION}")
    return file, about


_RECORDS: Mapping[str, type[Record | Agreement]] = {
    "context": EpisodeContext,
    "outcome": EpisodeOutcome,
    "info": RunInfo,
    "policy": Agreement,
}
_TIMES = ("began", "trained", "ended")


def _plain(facts: Facts | Episode) -> dict[str, Any]:
    """Facts as JSON values."""
    plain = {f.name: getattr(facts, f.name) for f in fields(facts)}
    plain |= {name: plain[name].to_plain() for name in plain.keys() & _RECORDS.keys() if plain[name] is not None}
    plain |= {name: plain[name].isoformat() for name in plain.keys() & set(_TIMES) if plain[name] is not None}
    return plain | ({"episodes": list(map(_plain, facts.episodes))} if isinstance(facts, Facts) else {})


def _made(plain: dict[str, Any]) -> dict[str, Any]:
    """Undoes `_plain`, but for the class."""
    made = {name: _RECORDS[name].from_plain(plain[name]) for name in plain.keys() & _RECORDS.keys() if plain[name] is not None}
    times = {name: datetime.fromisoformat(plain[name]) for name in plain.keys() & set(_TIMES) if plain[name] is not None}
    return plain | made | times


def _facts(plain: dict[str, Any]) -> Facts:
    episodes = tuple(Episode(**_made(episode)) for episode in plain["episodes"])
    return Facts(**_made(plain) | {"episodes": episodes})
