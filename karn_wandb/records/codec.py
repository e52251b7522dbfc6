"""Events as lines of JSON: exact, versioned, one line an event.

The first line of a record log says what it is and in which version it was written. Older versions are brought up
step by step by `MIGRATIONS`; a newer one is refused rather than half understood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from karn_wandb.errors import RecordError
from karn_wandb.records.events import TelemetryEvent

SCHEMA_VERSION = 1
"""Version of everything stored: record logs and W&B runs (config `karn_schema`)."""

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From each older version, the function that turns a plain event into one of the next version."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_DAMAGE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoder raises on bytes that are no JSON."""


def encode_header() -> bytes:
    """First line of a record log."""
    return _encoder.encode({"karn_records": SCHEMA_VERSION}) + b"\n"


def decode_header(line: bytes) -> int:
    """Version a record log was written in.

    Raises:
        RecordError: The line is no header, or of a version this package does not know.
    """
    try:
        version = _decoder.decode(line)["karn_records"]
    except (*_DAMAGE, KeyError, TypeError):
        raise RecordError(
            "the file is no record log", got=repr(line[:60]), do='Its first line must be {"karn_records": VERSION}.'
        ) from None
    _check_version(version, "the record log")
    known: int = version
    return known


def encode_event(event: TelemetryEvent) -> bytes:
    """One line of a record log, newline included."""
    return _encoder.encode(event.to_plain()) + b"\n"


def decode_event(line: bytes, version: int = SCHEMA_VERSION) -> TelemetryEvent:
    """The event a line holds.

    Raises:
        RecordError: The line is no event of that version.
    """
    try:
        plain = _decoder.decode(line)
    except _DAMAGE as error:
        raise RecordError("a line of the record log is not JSON", got=str(error), do="The line is damaged.") from None
    return event_from_plain(plain, version)


def event_from_plain(plain: Any, version: int = SCHEMA_VERSION) -> TelemetryEvent:
    """The event whose `to_plain` this is, in any version that can be read.

    Raises:
        RecordError: It is no event of that version.
    """
    _check_version(version, "a stored event")
    if not isinstance(plain, dict):
        raise RecordError("a stored event must be a mapping", got=repr(plain)[:60], do="The stored record is damaged.")
    for step in range(version, SCHEMA_VERSION):
        plain = MIGRATIONS[step](plain)
    return TelemetryEvent.from_plain(plain)


def _check_version(version: Any, what: str) -> None:
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise RecordError(
            f"{what} is of version {version!r}",
            do=f"This karn_wandb reads versions 1 to {SCHEMA_VERSION}: install a newer one.",
        )
