"""What a record's fields may be: each annotation compiled once into check, encode and decode.

One mechanism serves the constructor (check: is this value allowed, and what is it as a Python value) and the
codec (encode to plain JSON values, decode back), so what can be constructed can be stored, and the other way
round. JSON has no NaN and no infinities; they travel as the strings "nan", "inf" and "-inf" where a float is
expected, and as {"$": "nan"} inside free-form values.
"""

from __future__ import annotations

import math
import numbers
import types
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from karn_wandb.errors import RecordError

TAG = "$"
"""Key that marks a record, or a float JSON cannot say, among plain values."""


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
    return RecordError(f"{path} must be {name}", got=f"{value!r} ({type(value).__name__})", do=do)


def encode_float(value: float) -> float | str:
    """A float as JSON can carry it."""
    return value if math.isfinite(value) else str(value)


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


def _check_float(value: Any, path: str) -> float:
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise wrong(path, "a number", value)
    return float(value)


def _check_int(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise wrong(path, "a whole number", value)
    whole = int(value)
    if not -(2**63) <= whole < 2**64:
        raise wrong(path, "a whole number of at most 64 bits", value)
    return whole


def _check_bool(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    if type(value).__name__ in ("bool_", "bool") and hasattr(value, "item"):  # NumPy's, without importing NumPy
        return bool(value)
    raise wrong(path, "True or False", value)


def _instance(of: type, name: str) -> Callable[[Any, str], Any]:
    def check(value: Any, path: str) -> Any:
        if isinstance(value, of):
            return value
        raise wrong(path, name, value)

    return check


def _check_str(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise wrong(path, "text", value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise wrong(path, "text that UTF-8 can carry", value, "Remove lone surrogates.") from None
    return str(value)


def _check_path(value: Any, path: str) -> Path:
    if isinstance(value, (str, Path)):
        return Path(value)
    raise wrong(path, "a path", value, "Pass the path of a saved file, not its bytes." if isinstance(value, bytes) else "")


def _check_time(value: Any, path: str) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    raise wrong(path, "a datetime with a time zone", value, "Use datetime.now(UTC).")


_SIMPLE: dict[Any, Kind] = {
    float: Kind("a number", _check_float, encode_float, float),
    int: Kind("a whole number", _check_int, same, int),
    bool: Kind("True or False", _check_bool, same, bool),
    str: Kind("text", _check_str, same, same),
    bytes: Kind("bytes", _instance(bytes, "bytes"), lambda v: b64encode(v).decode(), b64decode),
    Path: Kind("a path", _check_path, str, Path),
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

    return Kind(f"{base.name}, {bounds}", check, base.encode, base.decode)


def _literal(options: tuple[Any, ...]) -> Kind:
    name = "one of " + ", ".join(map(repr, options))

    def check(value: Any, path: str) -> Any:
        if isinstance(value, str) and value in options:
            return value
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

    def encode(value: Enum) -> Any:
        return int(value) if isinstance(value, IntEnum) else value.value

    return Kind(name, check, encode, of)


def _optional(arguments: tuple[Any, ...]) -> Kind:
    inner = [a for a in arguments if a is not type(None)]
    if len(inner) != 1 or len(arguments) != 2:
        raise TypeError(f"a record field may be X or X | None, not {arguments}")
    kind = kind_of(inner[0])
    return Kind(
        f"{kind.name} or None",
        lambda value, path: None if value is None else kind.check(value, path),
        lambda value: None if value is None else kind.encode(value),
        lambda value: None if value is None else kind.decode(value),
    )


def _sequence(arguments: tuple[Any, ...]) -> Kind:
    item, *rest = arguments
    fixed = None if rest == [Ellipsis] else len(arguments)
    kind = kind_of(item)
    name = f"a sequence of {kind.name}" if fixed is None else f"{fixed} values, each {kind.name}"

    def check(value: Any, path: str) -> tuple[Any, ...]:
        if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__") or (fixed and len(value) != fixed):
            raise wrong(path, name, value)
        return tuple(kind.check(v, f"{path}[{i}]") for i, v in enumerate(value))

    return Kind(
        name,
        check,
        lambda value: [kind.encode(v) for v in value],
        lambda value: tuple(kind.decode(v) for v in value),
    )


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
    return Kind(  # JSON knows only text as keys
        name,
        check,
        lambda value: [[keys.encode(k), items.encode(v)] for k, v in sorted(value.items())],
        lambda value: {keys.decode(k): items.decode(v) for k, v in value},
    )


_GENERIC: dict[Any, Callable[[tuple[Any, ...]], Kind]] = {
    Annotated: _annotated,
    Literal: _literal,
    Union: _optional,
    types.UnionType: _optional,
    tuple: _sequence,
    dict: _mapping,
}


def check_json(value: Any, path: str) -> Any:
    """Free-form values: sequences become lists, mappings dicts, NumPy scalars Python numbers."""
    if value is None or isinstance(value, bool):
        return value
    for of, check in _JSON_SCALARS:
        if isinstance(value, of):
            return check(value, path)
    if isinstance(value, Mapping):
        return {_json_key(k, path): check_json(v, f"{path}[{k!r}]") for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [check_json(v, f"{path}[{i}]") for i, v in enumerate(value)]
    raise wrong(path, "JSON values", value, "Use None, numbers, text, lists and mappings with text keys.")


_JSON_SCALARS: tuple[tuple[Any, Callable[[Any, str], Any]], ...] = (
    (str, _check_str),
    (numbers.Integral, _check_int),
    (numbers.Real, _check_float),
    (Path, lambda value, path: str(value)),  # noqa: ARG005 -- one signature for all checks
)


def _json_key(key: Any, path: str) -> str:
    if key == TAG:
        raise RecordError(f"{path} may not hold the key {TAG!r}", do="It is reserved for the codec: rename it.")
    return _check_str(key, f"a key of {path}")


def encode_json(value: Any) -> Any:
    """Free-form values with what JSON cannot say tagged."""
    if isinstance(value, float) and not math.isfinite(value):
        return {TAG: str(value)}
    if isinstance(value, dict):
        return {k: encode_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [encode_json(v) for v in value]
    return value


def decode_json(value: Any) -> Any:
    """Undo `encode_json`."""
    if isinstance(value, dict):
        return float(value[TAG]) if TAG in value else {k: decode_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [decode_json(v) for v in value]
    return value


Json = Annotated[Any, Kind("JSON values", check_json, encode_json, decode_json)]
"""None, bool, int, float, str, and lists and string-keyed mappings of these."""
