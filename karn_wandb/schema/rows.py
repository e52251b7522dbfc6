"""An event as one W&B history row, and back, without loss.

What is a number and has a key in the table becomes a column of the row. All the rest of the event (texts, nested
parts, NaN and infinities, which W&B's scalars must not carry) travels in one text column, as JSON. So W&B draws the
numbers, nothing is said twice, and a row alone gives back the event: `decode_row(encode_row(event)) == event`. A text too
long for one row begins in rows before it: `decode_rows(encode_rows(event))` is the event, whatever its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from karn_wandb.errors import RecordError
from karn_wandb.records import (
    SCHEMA_VERSION,
    TAG,
    CounterfactualMatrix,
    EpochSnapshot,
    Record,
    SeedLayerNorm,
    TelemetryEvent,
    event_from_plain,
)
from karn_wandb.schema.keys import CLOCK_OF, EPISODE, EPOCH, KEYS, PART, PARTS, REST, scope
from karn_wandb.schema.names import escape, join, unescape

Scalar = int | float | bool
Row = dict[str, Scalar | str]
Path = tuple[str, ...]

EXACT_INT = 2**53
"""Largest integer a JSON number keeps everywhere; larger ones travel as text."""

LONGEST_TEXT = 750_000
"""Characters of text in one row. W&B's uploader skips a history row of 10 MB or more, and a character of JSON may take 12 bytes;
plain ones keep to W&B's advice of 1 MB a value."""

EXACT_KEYS = 10_000
"""Keys whose meaning is remembered: W&B's own limit of names in a project."""


def encode_row(event: TelemetryEvent) -> Row:
    """The row of an event: its columns, its clock, the keys derived from it, and the rest as JSON text."""
    prefix = scope_of(event)
    plain = event.to_plain()
    columns: Row = {}
    if isinstance(event.data, Record):
        columns = dict(_take_columns(_COLUMNS.get(type(event.data).__name__, {}), plain["data"]))
        columns |= {key: value or abs(value) for key, value in derived(event.data).items()}  # 0 for -0.0, as W&B makes it
    plain.setdefault("tick", None)
    _move(plain, "tick", columns, clock_of(type(event.data)))
    if event.scoped:
        _move(plain, "episode_idx", columns, EPISODE)
    rest = msgspec.json.encode({"karn_schema": SCHEMA_VERSION, **plain}).decode()
    return {**{prefix + key: value for key, value in columns.items()}, REST: rest}


def encode_rows(event: TelemetryEvent) -> Iterator[Row]:
    """The rows of an event, to be logged in this order: one, or more when its text is long."""
    row = encode_row(event)
    text = str(row[REST])
    *parts, last = (text[start : start + LONGEST_TEXT] for start in range(0, len(text), LONGEST_TEXT))
    for part in parts:
        yield {PART: part}
    yield {**row, REST: last, PARTS: len(parts)} if parts else row


class RowJoiner:
    """Gives each row of ours the text that began in rows before it."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def joined(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row with its whole text; rows that are not ours, or hold a part only, as they are.

        Raises:
            RecordError: A part is missing.
        """
        if isinstance(row.get(PART), str):
            self._parts.append(row[PART])
        if not isinstance(row.get(REST), str):
            return row
        parts, self._parts = self._parts, []
        said = row.get(PARTS)
        expected = int(said) if isinstance(said, int) or (isinstance(said, float) and said.is_integer()) else 0
        if expected > len(parts):
            raise RecordError("a W&B row misses the beginning of its text", got=f"{len(parts)} of {expected} parts")
        return {**row, REST: "".join([*parts[len(parts) - expected :], row[REST]])} if expected else row


def decode_row(row: Mapping[str, Any]) -> TelemetryEvent | None:
    """The event of a row; None when the row is not ours.

    Raises:
        RecordError: The row is ours and damaged.
    """
    if not isinstance(row.get(REST), str):
        return None
    try:
        plain = msgspec.json.decode(row[REST])
        version = plain.pop("karn_schema")
        if version <= SCHEMA_VERSION:
            _put_columns(plain, row)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise RecordError("a W&B row holds no readable event", got=str(error), do="The row is damaged.") from error
    return event_from_plain(plain, version)


def decode_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[TelemetryEvent]:
    """The events of a run's rows, in their order; rows that are not ours are passed over.

    Raises:
        RecordError: A row is ours and damaged.
    """
    joiner = RowJoiner()
    for row in rows:
        event = decode_row(joiner.joined(row))
        if event is not None:
            yield event


def scope_of(event: TelemetryEvent) -> str:
    """Prefix of an event's keys, "" for those of the run itself."""
    return scope(event.env_id) if event.scoped else ""


def clock_of(record: type) -> str:
    """The clock key of a class of records."""
    return CLOCK_OF.get(record, EPOCH)


def derived(record: Record) -> dict[str, float]:
    """Keys computed from a record for people to look at."""
    if isinstance(record, EpochSnapshot):
        host, total = record.host.host_params, record.host.total_params
        return {"params/ratio": total / host} if host and total is not None else {}
    if isinstance(record, SeedLayerNorm):
        key = f"layer/{escape(record.slot_id)}/{escape(record.layer)}/grad_norm"
        return {key: record.value} if math.isfinite(record.value) else {}
    if isinstance(record, CounterfactualMatrix):
        delta = record.removal_delta()
        pairs = {f"interaction/{join(pair)}": effect for pair, effect in record.interaction_effects.items()}
        return pairs | ({} if delta is None or not math.isfinite(delta) else {"claim/removal_delta": delta})
    return {}


def _put_columns(plain: dict[str, Any], row: Mapping[str, Any]) -> None:
    """Put the columns of a row back where `encode_row` took them from."""
    prefix = scope(plain["env_id"]) if plain["scoped"] else ""
    data = plain["data"]
    record = data.get(TAG, "")
    own = {key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)} if prefix else row
    for key, value in own.items():
        path = _path_of(record, key)
        if path is not None:
            _put(data, path, value)
    if "tick" not in plain:
        plain["tick"] = own[clock_of(Record.registry.get(record, Record))]
    if "episode_idx" not in plain:
        plain["episode_idx"] = own[EPISODE]


def _move(plain: dict[str, Any], name: str, columns: Row, key: str) -> None:
    if _is_scalar(plain[name]):
        columns[key] = plain.pop(name)


def _take_columns(columns: Mapping[str, Any], plain: dict[str, Any], names: Path = ()) -> Iterator[tuple[str, Scalar]]:
    """Take the values that have a column out of a plain record, as (key, value)."""
    for name, value in list(plain.items()):
        fixed = name in columns and name != "*"
        column = columns.get(name if fixed else "*")
        inner = names if fixed else (*names, name)
        if isinstance(column, dict) and isinstance(value, dict):
            yield from _take_columns(column, value, inner)
        elif isinstance(column, str) and _is_scalar(value):
            yield _fill(column, inner), plain.pop(name)


def _is_scalar(value: Any) -> bool:
    """Whether W&B carries the value exactly: it drops the sign of -0.0 and rounds integers beyond 2**53."""
    if isinstance(value, float):
        return value != 0 or math.copysign(1, value) > 0
    return isinstance(value, int) and abs(value) <= EXACT_INT


def _fill(pattern: str, names: Path) -> str:
    rest = iter(names)
    return "/".join(escape(next(rest)) if segment.startswith("<") else segment for segment in pattern.split("/"))


@lru_cache(maxsize=EXACT_KEYS)
def _path_of(record: str, key: str) -> Path | None:
    """The path in a record of the named class that a key holds; None when it holds none."""
    segments = key.split("/")
    for candidate in KEYS:
        if candidate.record.__name__ == record and candidate.path is not None:
            names = _match(candidate.pattern.split("/"), segments)
            if names is not None:
                given = iter(names)
                return tuple(next(given) if part == "*" else part for part in candidate.path)
    return None


def _match(pattern: list[str], segments: list[str]) -> list[str] | None:
    """The names a key's segments have in place of a pattern's <...>; None when they do not fit."""
    if len(pattern) != len(segments):
        return None
    names = []
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("<"):
            names.append(unescape(segment))
        elif expected != segment:
            return None
    return names


def _put(tree: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _columns() -> dict[str, dict[str, Any]]:
    """By record class, the paths of its columns as nested mappings, the key pattern at each leaf."""
    columns: dict[str, dict[str, Any]] = {}
    for key in KEYS:
        if key.path is not None:
            _put(columns, (key.record.__name__, *key.path), key.pattern)
    return columns


_COLUMNS = _columns()
