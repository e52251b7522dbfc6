"""The base of every record: frozen, slotted, checked when constructed, known by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self, TypeVar, dataclass_transform, get_type_hints

import msgspec

from karn_wandb.errors import RecordError
from karn_wandb.records._json import TAG, check_json, decode_json, encode_json
from karn_wandb.records._kinds import Kind, kind_of, same, shown, wrong

T = TypeVar("T")


def cached(make: Callable[[type[Any]], T]) -> Callable[[type[Any]], T]:
    """A function of a record class that is computed once for each."""
    return cache(make)  # type: ignore[return-value]  # mypy asks a class for the hash of its instances


class Record:
    """What telemetry is made of: an immutable value whose every field was checked.

    Subclasses are decorated with `record`. A rule that concerns several fields is a method `_check`.

    Raises:
        RecordError: From every constructor, when a field is of a wrong type or out of range; the message
            names the field, what was found and what to do.
    """

    __slots__ = ()
    registry: ClassVar[dict[str, type[Record]]] = {}

    def __post_init__(self) -> None:
        for name, kind, _ in kinds(type(self)):
            value = getattr(self, name)
            kept = kind.check(value, f"{type(self).__name__}.{name}")
            if kept is not value:
                object.__setattr__(self, name, kept)
        self._check()

    def __eq__(self, other: object) -> bool:
        """Equal when stored equal: NaN is NaN and 0.0 is not -0.0, unlike IEEE 754, so that what is read back can be compared."""
        if not isinstance(other, Record):
            return NotImplemented
        return type(self) is type(other) and self._stored() == other._stored()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._stored()))

    def _stored(self) -> bytes:
        return msgspec.json.encode(self.to_plain(), order="sorted")

    def _check(self) -> None:
        """Rules that concern several fields; raises `RecordError`."""

    def to_plain(self) -> dict[str, Any]:
        """The record as JSON values, NaN and infinities as text; a field that is None by default and None is left out."""
        names, values_of, encoders, omitted = layout(type(self))
        plain: dict[str, Any] = dict(zip(names, values_of(self), strict=True))
        for name, encode in encoders:
            value = plain[name]
            if value is not None and not (type(value) is float and value - value == 0):  # the difference: it is finite
                plain[name] = encode(value)
        for name in omitted:
            if plain[name] is None:
                del plain[name]
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """The record whose `to_plain` this is; fields that are missing take their defaults.

        Raises:
            RecordError: A field is unknown, missing without a default, or has a wrong value.
        """
        if not isinstance(plain, dict):
            raise RecordError(f"a stored {cls.__name__} must be a mapping", got=shown(plain), do="The stored record is damaged.")
        known = {name: kind for name, kind, _ in kinds(cls)}
        unknown = sorted(plain.keys() - known.keys())
        if unknown:
            raise RecordError(
                f"{cls.__name__} has no field {unknown[0]!r}",
                do="The record was written by another version: use a karn_wandb at least as new as the one that wrote it.",
            )
        try:
            return cls(**{name: known[name].decode(value) for name, value in plain.items()})
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
            if isinstance(error, RecordError):
                raise
            raise RecordError(f"{cls.__name__} cannot be read", got=str(error), do="The stored record is damaged.") from error

    @classmethod
    def trusted(cls, **values: Any) -> Self:
        """The record without the checks, for values of fields that were checked before; others take their defaults."""
        put, made = object.__setattr__, object.__new__(cls)
        for name, default, factory in defaults(cls):
            if name in values:
                put(made, name, values[name])
            else:
                put(made, name, default if factory is MISSING else factory())
        return made

    def _changed(self, **values: Any) -> Self:
        """A copy with other values in some fields, which are not checked."""
        put, made = object.__setattr__, object.__new__(type(self))
        for name, _, _ in defaults(type(self)):
            put(made, name, getattr(self, name))
        for name, value in values.items():
            put(made, name, value)
        return made

    @classmethod
    def __kind__(cls) -> Kind:
        """How a field of this type is checked and stored."""

        def check(value: Any, path: str) -> Record:
            if isinstance(value, cls):
                return value
            raise wrong(path, f"a {cls.__name__}", value)

        return Kind(f"a {cls.__name__}", check, cls.to_plain, cls.from_plain)


def _check_payload(value: Any, path: str) -> Record | dict[str, Any]:
    if isinstance(value, Record):
        return value
    if isinstance(value, Mapping):
        mapping: dict[str, Any] = check_json(value, path)
        return mapping
    raise wrong(path, "a record or a mapping of JSON values", value)


def _encode_payload(value: Record | dict[str, Any]) -> Any:
    if isinstance(value, Record):
        return {TAG: type(value).__name__, **value.to_plain()}
    return encode_json(value)


def _decode_payload(plain: dict[str, Any]) -> Record | dict[str, Any]:
    if TAG not in plain:
        mapping: dict[str, Any] = decode_json(plain)
        return mapping
    name = plain[TAG]
    cls = Record.registry.get(name) if isinstance(name, str) else None
    if cls is None:
        raise RecordError(
            "a stored record names an unknown class",
            got=repr(name),
            do="It was written by another version: use a karn_wandb at least as new as the one that wrote it.",
        )
    return cls.from_plain({k: v for k, v in plain.items() if k != TAG})


Payload = Annotated[Any, Kind("a record or a mapping of JSON values", _check_payload, _encode_payload, _decode_payload)]
"""Any record, stored with its class named under the reserved key, or a mapping of JSON values."""


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a record: a frozen, slotted dataclass entered into the registry."""
    made = dataclass(frozen=True, slots=True, eq=False)(cls)
    Record.registry[made.__name__] = made  # type: ignore[assignment]
    return made


@cached
def layout(cls: type[Any]) -> tuple[tuple[str, ...], Callable[[Any], Any], tuple[tuple[str, Any], ...], tuple[str, ...]]:
    """How a record becomes plain values.

    Returns:
        Names of the fields; a getter of all their values at once; name and encoder of those whose values are not stored
        as they are; names of those that are left out when they are None.
    """
    compiled = kinds(cls)
    names = tuple(name for name, _, _ in compiled)
    get = attrgetter(*names)
    encoders = tuple((name, kind.encode) for name, kind, _ in compiled if kind.encode is not same)
    omitted = tuple(name for name, _, none_by_default in compiled if none_by_default)
    return names, get if len(names) > 1 else lambda record: (get(record),), encoders, omitted


_COMPILED: dict[type[Any], tuple[tuple[str, Kind, bool], ...]] = {}


def kinds(cls: type[Any]) -> tuple[tuple[str, Kind, bool], ...]:
    """Name, kind, and whether None is the default, of each of a record's fields, in order."""
    if cls not in _COMPILED:
        hints: dict[str, Any] = get_type_hints(cls, include_extras=True)
        _COMPILED[cls] = tuple((f.name, kind_of(hints[f.name]), f.default is None) for f in fields(cls))
    return _COMPILED[cls]


@cached
def defaults(cls: type[Any]) -> tuple[tuple[str, Any, Any], ...]:
    """Name, default and default factory of each of a record's fields, in order."""
    return tuple((f.name, f.default, f.default_factory) for f in fields(cls))
