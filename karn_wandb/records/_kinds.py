"""What a record's fields may be: each annotation compiled once into check, encode and decode.

One mechanism serves the constructor (check: is this value allowed, and what is it as a Python value) and the
codec (encode to plain JSON values, decode back), so what can be constructed can be stored, and the other way
round: every decoded value is checked like one handed in, so decode never guesses. JSON has no NaN and no
infinities; they travel as the strings "nan", "inf" and "-inf" where a float is expected.

Nearly every value is as it should be. So each kind has two Python expressions beside its functions, which go into the
straight code of everything that holds such values, where they cost a fifth of a call: `sure`, is the value allowed and kept
as it is, and `plain`, what is its plain form.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from karn_wandb.errors import RecordError
from karn_wandb.records._values import (
    check_bool,
    check_float,
    check_int,
    check_path,
    check_str,
    check_time,
    decode_float,
    decode_int,
    encode_float,
    encode_time,
    items_of,
    same,
    stored_list,
    wrong,
)

LARGEST = sys.float_info.max

ITSELF = "{v}"
"""The expression of values that are their own plain form."""


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

    def test(self, kind: Kind) -> str:
        """The expression for numbers of the kind that `allows` allows."""
        of, least, most = ("int", -(2**63), 2**64 - 1) if kind is kind_of(int) else ("float", -LARGEST, LARGEST)
        low, high = least if self.low is None else self.low, most if self.high is None else self.high
        return f"type({{v}}) is {of} and {low!r} <= {{v}} <= {high!r}"


Finite = Annotated[float, Bounds()]
Percent = Annotated[float, Bounds(0, 100, "Accuracies are percentages, 0 to 100.")]
Fraction = Annotated[float, Bounds(0, 1)]
NonNegative = Annotated[float, Bounds(0)]
Count = Annotated[int, Bounds(0)]


@dataclass(frozen=True, slots=True)
class Kind:
    """The three functions of one annotation, two expressions that stand for them, and how a message names it.

    Attributes:
        name: In messages.
        check: Takes a value and the field's path; returns the value to keep.
        encode: Gives plain JSON values.
        decode: Undoes it.
        sure: Expression of `{v}`: when it is true, `check` would return that very value. It may be false for others.
        plain: Expression of `{v}` and `{encode}`: what `encode` would return.
        of: What `{of}` is in `sure`.
    """

    name: str
    check: Callable[[Any, str], Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    sure: str = "False"
    plain: str = "{encode}({v})"
    of: Any = None


def straight(head: str, lines: Iterable[str], **names: Any) -> Callable[..., Any]:
    """A function in straight code, as `dataclass` makes its own, for nested calls are what takes time."""
    exec("\n    ".join([f"def {head}:", *lines]), names)  # noqa: S102 -- of kinds' and fields' expressions and names alone
    function: Callable[..., Any] = names[head.partition("(")[0]]
    return function


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


_SIMPLE: dict[Any, Kind] = {
    float: Kind(
        "a number",
        check_float,
        encode_float,
        decode_float,
        "type({v}) is float",
        "{v} if {v} - {v} == 0 else {encode}({v})",  # neither NaN nor infinite
    ),
    int: Kind("a whole number", check_int, same, decode_int, f"type({{v}}) is int and {-(2**63)} <= {{v}} < {2**64}", ITSELF),
    bool: Kind("True or False", check_bool, same, same, "type({v}) is bool", ITSELF),
    str: Kind("text", check_str, same, same, "type({v}) is str and {v}.isascii()", ITSELF),
    Path: Kind("a path", check_path, str, same),
    datetime: Kind("a datetime", check_time, encode_time, datetime.fromisoformat),
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

    return Kind(
        f"{base.name}, {bounds}", check, same, base.decode, bounds.test(base), ITSELF
    )  # what lies in an interval is finite


def _literal(options: tuple[Any, ...]) -> Kind:
    name = "one of " + ", ".join(map(repr, options))

    def check(value: Any, path: str) -> Any:
        if isinstance(value, str) and value in options:
            return options[options.index(value)]
        raise wrong(path, name, value)

    return Kind(name, check, same, same, "type({v}) is str and {v} in {of}", ITSELF, frozenset(options))


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

    # .value takes twice the time
    return Kind(name, check, attrgetter("_value_"), decode, "type({v}) is {of}", "{v}._value_", of)


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
        f"{{v}} is None or {kind.sure}",
        ITSELF if kind.plain == ITSELF else f"None if {{v}} is None else {kind.plain}",
        kind.of,
    )


def _sequence(arguments: tuple[Any, ...]) -> Kind:
    item, *rest = arguments
    fixed = None if rest == [Ellipsis] else len(arguments)
    kind = kind_of(item)
    name = f"a sequence of {kind.name}" if fixed is None else f"{fixed} values, each {kind.name}"

    def check(value: Any, path: str) -> tuple[Any, ...]:
        items = items_of(value)
        if items is None or fixed not in (None, len(items)):
            raise wrong(path, name, value)
        kept: tuple[Any, ...] = keep(items, path)
        return kept

    sure, plain = kind.sure.format(v="v", of="of"), kind.plain.format(v="v", encode="encode")
    keep = straight(
        "keep(items, path)",
        [f"return tuple([v if {sure} else check(v, f'{{path}}[{{i}}]') for i, v in enumerate(items)])"],
        check=kind.check,
        of=kind.of,
    )
    return Kind(
        name,
        check,
        straight("encoded(value)", [f"return [{plain} for v in value]"], encode=kind.encode),
        lambda value: tuple(kind.decode(v) for v in stored_list(value)),
    )


def _mapping(arguments: tuple[Any, ...]) -> Kind:
    key, item = arguments
    keys, items = kind_of(key), kind_of(item)
    name = f"a mapping from {keys.name} to {items.name}"

    check = straight(
        "check(value, path)",
        [
            "if not isinstance(value, mappings): raise wrong(path, name, value)",
            "kept = {}",
            "for k, v in value.items():",
            f"    if not ({keys.sure.format(v='k', of='key_of')}): k = check_key(k, f'a key of {{path}}')",
            f"    kept[k] = v if {items.sure.format(v='v', of='of')} else check_item(v, f'{{path}}[{{k!r}}]')",
            "return kept",
        ],
        mappings=(dict, Mapping),  # a dict is found at once, without asking all other mappings
        wrong=wrong,
        name=name,
        check_key=keys.check,
        check_item=items.check,
        key_of=keys.of,
        of=items.of,
    )
    if key is str:
        plain = items.plain.format(v="v", encode="encode")
        return Kind(
            name,
            check,
            straight(
                "encoded(value)",
                ["plain = {}", f"for k, v in value.items(): plain[k] = {plain}", "return plain"],
                encode=items.encode,
            ),
            lambda value: {k: items.decode(v) for k, v in value.items()},
        )
    return Kind(  # JSON knows only text as keys; in order, for lists compare by it and mappings do not
        name,
        lambda value, path: dict(sorted(check(value, path).items())),
        lambda value: [[keys.encode(k), items.encode(v)] for k, v in value.items()],
        lambda value: {keys.decode(k): items.decode(v) for k, v in map(stored_list, stored_list(value))},
    )


_GENERIC: dict[Any, Callable[[tuple[Any, ...]], Kind]] = {
    Annotated: _annotated,
    Literal: _literal,
    Union: _optional,
    types.UnionType: _optional,
    tuple: _sequence,
    dict: _mapping,
}
