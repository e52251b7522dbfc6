"""Single values a field may hold, whatever is built of them: what is taken for one, what is refused, how it is stored."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timezone
from pathlib import Path
from typing import Any, cast

import msgspec

from karn_wandb.errors import RecordError

_encoder = msgspec.json.Encoder()

LONGEST_SHOWN = 80
"""Characters of a refused value that its error shows."""


def same(value: Any) -> Any:
    """The identity: most values are their own plain form."""
    return value


def wrong(path: str, name: str, value: Any, do: str = "") -> RecordError:
    """The error for a field that is not of its kind."""
    return RecordError(f"{path} must be {name}", got=f"{shown(value)} ({type(value).__name__})", do=do)


def shown(value: Any) -> str:
    """A value as an error shows it: short, whatever was handed in (a checkpoint's bytes, a tensor)."""
    text = repr(value[:LONGEST_SHOWN] if isinstance(value, bytes) else value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def encode_float(value: float) -> float | str:
    """A float as JSON can carry it."""
    return value if math.isfinite(value) else str(value)


def decode_float(value: Any) -> Any:
    """Undo `encode_float`; what no float was encoded to is left for the check to refuse."""
    return float(value) if value in ("nan", "inf", "-inf") else value


def decode_int(value: Any) -> Any:
    """A whole number that W&B's server or Parquet gave back as a float; what is none is left for the check to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check_float(value: Any, path: str) -> float:
    """Any number but True and False, as a float."""
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise wrong(path, "a number", value)
    try:
        return float(value)
    except OverflowError:
        raise wrong(path, "a number that a float can hold", value) from None


def check_int(value: Any, path: str) -> int:
    """A whole number that 64 bits can hold, signed or not."""
    if type(value) is int and -(2**63) <= value < 2**64:
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise wrong(path, "a whole number", value)
    whole = int(value)
    if not -(2**63) <= whole < 2**64:
        raise wrong(path, "a whole number of at most 64 bits", value)
    return whole


def is_bool(value: Any) -> bool:
    """Whether it is True or False, Python's or NumPy's (recognised without importing NumPy)."""
    return isinstance(value, bool) or (type(value).__name__ in ("bool", "bool_") and hasattr(value, "item"))


def check_bool(value: Any, path: str) -> bool:
    """True or False, as Python's."""
    if is_bool(value):
        return bool(value)
    raise wrong(path, "True or False", value)


def check_str(value: Any, path: str) -> str:
    """Text that UTF-8 can carry, as a plain `str`."""
    if type(value) is str and value.isascii():
        return value
    if not isinstance(value, str):
        raise wrong(path, "text", value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise wrong(path, "text that UTF-8 can carry", value, "Remove lone surrogates.") from None
    return str.__str__(value)  # not str(): a text enum's own would say Class.MEMBER


def check_path(value: Any, path: str) -> Path:
    """A path, or the text of one."""
    if isinstance(value, (str, Path)):
        return Path(check_str(value if isinstance(value, str) else str(value), path))
    raise wrong(path, "a path", value, "Pass the path of a saved file, not its bytes." if isinstance(value, bytes) else "")


def check_time(value: Any, path: str) -> datetime:
    """A moment whose distance from UTC is known."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        offset = value.utcoffset()
        if offset is not None:  # the offset is kept, the zone's name is not stored
            return datetime.combine(value.date(), value.time().replace(fold=0), timezone(offset))
    raise wrong(path, "a datetime with a time zone", value, "Use datetime.now(UTC).")


def encode_time(value: datetime) -> str:
    """A moment as ISO 8601 has it; msgspec writes those of UTC in half the time, and rounds the offsets of others."""
    return _encoder.encode(value)[1:-1].decode() if value.tzinfo is UTC else value.isoformat()


def items_of(value: Any) -> Sequence[Any] | None:
    """The items of anything that has them in an order; None of anything else."""
    if type(value) in (tuple, list):
        return cast("Sequence[Any]", value)
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping, set, frozenset)):
        return None
    try:
        return list(iter(value))
    except TypeError:  # an array without dimensions has __iter__, too
        return None


def stored_list(value: Any) -> list[Any]:
    """A list as JSON gives it; raises `TypeError` for anything else."""
    if isinstance(value, list):
        return value
    raise TypeError(f"{shown(value)} is no list")
