"""The base of every record: frozen, slotted, checked when constructed, known by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from operator import methodcaller
from typing import Annotated, Any, ClassVar, Self, TypeVar, dataclass_transform, get_type_hints

import msgspec

from karn_wandb.errors import RecordError
from karn_wandb.records._json import TAG, check_json, decode_json, encode_json
from karn_wandb.records._kinds import Kind, kind_of, straight
from karn_wandb.records._values import same, shown, wrong

T = TypeVar("T")


class Record:
    """What telemetry is made of: an immutable value whose every field was checked.

    Subclasses are decorated with `record`. A rule that concerns several fields is a method `_check`.

    Raises:
        RecordError: From every constructor, when a field is of a wrong type or out of range; the message
            names the field, what was found and what to do.
    """

    __slots__ = ()
    registry: ClassVar[dict[str, type[Record]]] = {}

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

    def to_plain(self, plain: dict[str, Any] | None = None) -> dict[str, Any]:
        """The record as JSON values, NaN and infinities as text; a field that is None by default and None is left out.

        Args:
            plain: Where the fields are put; a new mapping unless given.
        """
        type(self).to_plain = encode = encoder(type(self))  # type: ignore[method-assign,assignment]  # compiled, as the constructor
        return encode(self, plain)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """The record whose `to_plain` this is; fields that are missing take their defaults.

        Raises:
            RecordError: A field is unknown, missing without a default, or has a wrong value.
        """
        if not isinstance(plain, dict):
            raise RecordError(f"a stored {cls.__name__} must be a mapping", got=shown(plain), do="The stored record is damaged.")
        decode, known = decoder(cls)
        if not plain.keys() <= known:
            raise RecordError(
                f"{cls.__name__} has no field {min(plain.keys() - known)!r}",
                do="The record was written by another version: use a karn_wandb at least as new as the one that wrote it.",
            )
        try:
            return cls(**decode(plain.copy()))
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
            if isinstance(error, RecordError):
                raise
            raise RecordError(f"{cls.__name__} cannot be read", got=str(error), do="The stored record is damaged.") from error

    @classmethod
    def trusted(cls, **values: Any) -> Self:
        """The record without the checks, for values of fields that were checked before; others take their defaults."""
        cls.trusted = staticmethod(filler(cls, checks=False))  # type: ignore[method-assign]  # compiled, as the constructor
        made: Self = cls.trusted(**values)
        return made

    def _changed(self, **values: Any) -> Self:
        """A copy with other values in some fields, which are not checked."""
        put, made = object.__setattr__, object.__new__(type(self))
        for name, _, _ in kinds(type(self)):
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

        return Kind(
            f"a {cls.__name__}", check, methodcaller("to_plain"), cls.from_plain, "type({v}) is {of}", "{v}.to_plain()", cls
        )


def _check_payload(value: Any, path: str) -> Record | dict[str, Any]:
    if isinstance(value, Record):
        return value
    if isinstance(value, Mapping):
        mapping: dict[str, Any] = check_json(value, path)
        return mapping
    raise wrong(path, "a record or a mapping of JSON values", value)


def _encode_payload(value: Record | dict[str, Any]) -> Any:
    if isinstance(value, Record):
        return value.to_plain({TAG: type(value).__name__})
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


Payload = Annotated[
    Any,
    Kind(
        "a record or a mapping of JSON values",
        _check_payload,
        _encode_payload,
        _decode_payload,
        "isinstance({v}, {of})",
        of=Record,
    ),
]
"""Any record, stored with its class named under the reserved key, or a mapping of JSON values."""


BECOME = object.__dict__["__class__"].__set__
"""Gives an object another class of the same layout, a frozen one too."""


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a record: a frozen, slotted dataclass entered into the registry."""
    made = dataclass(frozen=True, slots=True, eq=False)(cls)
    Record.registry[made.__name__] = made  # type: ignore[assignment]
    _compile_when_wanted(made)
    return made


def _compile_when_wanted(cls: type[Any]) -> None:
    """Give a record its own constructor, which is compiled when the first one is made: most programs make few kinds."""
    generated = cls.__init__

    @wraps(generated)
    def init(self: Any, *arguments: Any, **values: Any) -> None:
        cls.__init__ = compiled = wraps(generated)(filler(cls, checks=True))
        compiled(self, *arguments, **values)

    cls.__init__ = init


def filler(cls: Any, *, checks: bool) -> Callable[..., Any]:
    """The function that checks the fields and puts them into a new record, or makes one of them as they are.

    Its own names begin with a line. While it puts them, the record is of a class of the same layout that is not frozen, so
    that putting a field is an assignment and not a call.
    """
    arguments, lines, puts = [], [], []
    names: dict[str, Any] = {"_missing": MISSING, "_frozen": cls, "_open": _open(cls), "_become": BECOME, "_new": object.__new__}
    for f, (name, kind, _) in zip(fields(cls), kinds(cls), strict=True):
        names |= {f"_default_{name}": f.default, f"_make_{name}": f.default_factory}
        if f.default_factory is not MISSING:
            arguments.append(f"{name}=_missing")
            lines.append(f"if {name} is _missing: {name} = _make_{name}()")
        else:
            arguments.append(name if f.default is MISSING else f"{name}=_default_{name}")
        if checks:
            names |= {f"_check_{name}": kind.check, f"_of_{name}": kind.of}
            sure = kind.sure.format(v=name, of=f"_of_{name}")
            lines.append(f"if not ({sure}): {name} = _check_{name}({name}, {f'{cls.__name__}.{name}'!r})")
        puts.append(f"self.{name} = {name}")
    puts.append("self.__class__ = _frozen")
    if not checks:
        return straight(f"trusted({', '.join(arguments)})", [*lines, "self = _new(_open)", *puts, "return self"], **names)
    rules = ["self._check()"] if cls._check is not Record._check else []  # noqa: SLF001 -- this module's own
    return straight(f"__init__(self, {', '.join(arguments)})", [*lines, "_become(self, _open)", *puts, *rules], **names)


def _open(cls: Any) -> type[Any]:
    """A class of the same layout as a record's that is not frozen."""
    return type(cls.__name__, (Record,), {"__slots__": [f.name for f in fields(cls)], "__module__": cls.__module__})


def encoder(cls: type[Any]) -> Callable[[Any, dict[str, Any] | None], dict[str, Any]]:
    """The function that makes the plain form of a record."""
    lines = ["if plain is None: plain = {}"]
    names: dict[str, Any] = {}
    for name, kind, none_by_default in kinds(cls):
        names[f"encode_{name}"] = kind.encode
        put = f"plain[{name!r}] = {kind.plain.format(v='v', encode=f'encode_{name}')}"
        lines += [f"v = self.{name}", f"if v is not None: {put}" if none_by_default else put]
    return straight("encode(self, plain=None)", [*lines, "return plain"], **names)


Decoder = Callable[[dict[str, Any]], dict[str, Any]]
_DECODERS: dict[type[Any], tuple[Decoder, frozenset[str]]] = {}


def decoder(cls: type[Any]) -> tuple[Decoder, frozenset[str]]:
    """The function that puts values in the place of plain ones, in a mapping by field, and the fields there are.

    What a field allows as it is, is what its decoding would give.
    """
    if cls not in _DECODERS:
        lines = []
        names: dict[str, Any] = {"_missing": MISSING}
        for name, kind, _ in kinds(cls):
            if kind.decode is not same:
                names |= {f"decode_{name}": kind.decode, f"of_{name}": kind.of}
                sure = kind.sure.format(v="v", of=f"of_{name}")
                lines.append(f"v = plain.get({name!r}, _missing)")
                lines.append(f"if v is not _missing and not ({sure}): plain[{name!r}] = decode_{name}(v)")
        function = straight("decode(plain)", [*lines, "return plain"], **names)
        _DECODERS[cls] = function, frozenset(name for name, _, _ in kinds(cls))
    return _DECODERS[cls]


_COMPILED: dict[type[Any], tuple[tuple[str, Kind, bool], ...]] = {}


def kinds(cls: type[Any]) -> tuple[tuple[str, Kind, bool], ...]:
    """Name, kind, and whether None is the default, of each of a record's fields, in order."""
    if cls not in _COMPILED:
        hints: dict[str, Any] = get_type_hints(cls, include_extras=True)
        _COMPILED[cls] = tuple((f.name, kind_of(hints[f.name]), f.default is None) for f in fields(cls))
    return _COMPILED[cls]
