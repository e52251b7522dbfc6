"""What a record's fields may be: each annotation compiled once into check, encode and decode.

One mechanism serves the constructor (check: is this value allowed, and what is it as a Python value) and the
codec (encode to plain JSON values, decode back), so what can be constructed can be stored, and the other way
round: every decoded value is checked like one handed in, so decode never guesses. JSON has no NaN and no
infinities; they travel as the strings "nan", "inf" and "-inf" where a float is expected.
"""

from __future__ import annotations

import math
import numbers
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from karn_wandb.errors import RecordError

LONGEST_SHOWN = 80
"""Characters of a refused value that its error shows."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Closed interval a number must lie in; without limits it must still be finite."""

    low: float | None = None
    high: float | None = None
    hint: str = ""

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return "a finite number"
        if self.high is None:
            return f"at least {self.low}"
        if self.low is None:
            return f"at most {self.high}"
        return f"between {self.low} and {self.high}"

    def allows(self, value: float) -> bool:
        """Whether `value` is finite and inside the interval."""
        return math.isfinite(value) and (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


Finite = Annotated[float, Bounds()]
Percent = Annotated[float, Bounds(0, 100, "Accuracies are percentages, 0 to 100.")]
Fraction = Annotated[float, Bounds(0, 1)]
NonNegative = Annotated[float, Bounds(0)]
Count = Annotated[int, Bounds(0)]


@dataclass(frozen=True, slots=True)
class Kind:
    """The three functions of one annotation, and how a message names it.

    `check` takes a value and the field's path and returns the value to keep; `encode` gives plain JSON values,
    `decode` undoes it.
    """

    name: str
    check: Callable[[Any, str], Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


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


def _decode_int(value: Any) -> Any:
    # W&B's server and Parquet may give a whole number back as a float
    return int(value) if isinstance(value, float) and value.is_integer() else value


@cache
def kind_of(annotation: Any) -> Kind:
    """Compile one annotation.

    Raises:
        TypeError: The annotation is of no kind that records know.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in _GENERIC:
        return _GENERIC[origin](arguments)
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _enum(annotation)
    if hasattr(annotation, "__kind__"):
        kind: Kind = annotation.__kind__()
        return kind
    raise TypeError(f"no record field can be of type {annotation!r}")


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


def _check_bool(value: Any, path: str) -> bool:
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


def _check_path(value: Any, path: str) -> Path:
    if isinstance(value, (str, Path)):
        return Path(check_str(value if isinstance(value, str) else str(value), path))
    raise wrong(path, "a path", value, "Pass the path of a saved file, not its bytes." if isinstance(value, bytes) else "")


def _check_time(value: Any, path: str) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        offset = value.utcoffset()
        if offset is not None:  # the offset is kept, the zone's name is not stored
            return datetime.combine(value.date(), value.time().replace(fold=0), timezone(offset))
    raise wrong(path, "a datetime with a time zone", value, "Use datetime.now(UTC).")


_SIMPLE: dict[Any, Kind] = {
    float: Kind("a number", check_float, encode_float, decode_float),
    int: Kind("a whole number", check_int, same, _decode_int),
    bool: Kind("True or False", _check_bool, same, same),
    str: Kind("text", check_str, same, same),
    Path: Kind("a path", _check_path, str, same),
    datetime: Kind("a datetime", _check_time, datetime.isoformat, datetime.fromisoformat),
}


def _annotated(arguments: tuple[Any, ...]) -> Kind:
    base, rule = arguments
    return rule if isinstance(rule, Kind) else _bounded(kind_of(base), rule)


def _bounded(base: Kind, bounds: Bounds) -> Kind:
    def check(value: Any, path: str) -> Any:
        value = base.check(value, path)
        if bounds.allows(value):
            return value
        raise RecordError(f"{path} must be {bounds}", got=repr(value), do=bounds.hint)

    return Kind(f"{base.name}, {bounds}", check, same, base.decode)  # what lies in an interval is finite


def _literal(options: tuple[Any, ...]) -> Kind:
    name = "one of " + ", ".join(map(repr, options))

    def check(value: Any, path: str) -> Any:
        if isinstance(value, str) and value in options:
            return options[options.index(value)]
        raise wrong(path, name, value)

    return Kind(name, check, same, same)


def _enum(of: type[Enum]) -> Kind:
    name = f"a {of.__name__}"
    members = ", ".join(of.__members__)

    def check(value: Any, path: str) -> Enum:
        if isinstance(value, of):
            return value
        if isinstance(value, str) and value in of.__members__:
            return of[value]
        raise wrong(path, name, value, f"The members are {members}.")

    def decode(value: Any) -> Enum:
        if isinstance(value, bool):  # equal to 1 or 0, which may be members
            raise TypeError(f"{value} is no {of.__name__}")
        return of(value)

    return Kind(name, check, lambda value: value.value, decode)


def _optional(arguments: tuple[Any, ...]) -> Kind:
    inner = [a for a in arguments if a is not type(None)]
    if len(inner) != 1 or len(arguments) != 2:
        raise TypeError(f"a record field may be X or X | None, not {arguments}")
    kind = kind_of(inner[0])
    return Kind(
        f"{kind.name} or None",
        lambda value, path: None if value is None else kind.check(value, path),
        same if kind.encode is same else lambda value: None if value is None else kind.encode(value),
        lambda value: None if value is None else kind.decode(value),
    )


def _sequence(arguments: tuple[Any, ...]) -> Kind:
    item, *rest = arguments
    fixed = None if rest == [Ellipsis] else len(arguments)
    kind = kind_of(item)
    name = f"a sequence of {kind.name}" if fixed is None else f"{fixed} values, each {kind.name}"

    def check(value: Any, path: str) -> tuple[Any, ...]:
        items = _items(value)
        if items is None or fixed not in (None, len(items)):
            raise wrong(path, name, value)
        return tuple(kind.check(v, f"{path}[{i}]") for i, v in enumerate(items))

    return Kind(
        name,
        check,
        lambda value: [kind.encode(v) for v in value],
        lambda value: tuple(kind.decode(v) for v in _stored_list(value)),
    )


def _items(value: Any) -> list[Any] | None:
    """The items of anything that has them in an order; None of anything else."""
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping, set, frozenset)):
        return None
    try:
        return list(iter(value))
    except TypeError:  # an array without dimensions has __iter__, too
        return None


def _stored_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise TypeError(f"{shown(value)} is no list")


def _mapping(arguments: tuple[Any, ...]) -> Kind:
    key, item = arguments
    keys, items = kind_of(key), kind_of(item)
    name = f"a mapping from {keys.name} to {items.name}"

    def check(value: Any, path: str) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise wrong(path, name, value)
        return {keys.check(k, f"a key of {path}"): items.check(v, f"{path}[{k!r}]") for k, v in value.items()}

    if key is str:
        return Kind(
            name,
            check,
            lambda value: {k: items.encode(v) for k, v in value.items()},
            lambda value: {k: items.decode(v) for k, v in value.items()},
        )
    return Kind(  # JSON knows only text as keys; in order, for lists compare by it and mappings do not
        name,
        lambda value, path: dict(sorted(check(value, path).items())),
        lambda value: [[keys.encode(k), items.encode(v)] for k, v in value.items()],
        lambda value: {keys.decode(k): items.decode(v) for k, v in map(_stored_list, _stored_list(value))},
    )


_GENERIC: dict[Any, Callable[[tuple[Any, ...]], Kind]] = {
    Annotated: _annotated,
    Literal: _literal,
    Union: _optional,
    types.UnionType: _optional,
    tuple: _sequence,
    dict: _mapping,
}
