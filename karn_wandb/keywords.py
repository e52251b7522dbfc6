"""Records out of what a caller passes: the record itself, or its fields as keywords."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from karn_wandb.errors import RecordError, UsageError
from karn_wandb.records import Record

R = TypeVar("R", bound=Record)


def record_of(cls: type[R], given: R | None, values: dict[str, Any]) -> R:
    """The record that was given, or one made of keywords, in which tensors and arrays become numbers and lists.

    Raises:
        UsageError: Both were given.
        RecordError: The record is of another class; a keyword is no field, a field is missing, or a value is wrong.
    """
    if given is not None:
        if values:
            raise UsageError(f"pass a {cls.__name__} or keywords, not both", got=", ".join(values), do="Drop one.")
        if not isinstance(given, cls):
            raise RecordError(f"expected a {cls.__name__}", got=type(given).__name__, do="Pass the record or its fields.")
        return given
    try:
        return cls(**values)
    except TypeError as error:
        raise _unfit(cls, values, error) from None
    except RecordError:
        pass  # seldom: it may be that some have to be made plain
    return cls(**{name: _plain(value) for name, value in values.items()})


def _unfit(cls: type[Record], values: dict[str, Any], error: TypeError) -> RecordError:
    """What is wrong with keywords that make no record."""
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    unknown = [name for name in values if name not in names]
    if unknown:
        return RecordError(f"{cls.__name__} has no field {unknown[0]!r}", do=f"Its fields are {', '.join(names)}.")
    return RecordError(f"{cls.__name__} is incomplete", got=str(error), do="Pass the missing fields.")


def _plain(value: Any) -> Any:
    """Tensors and arrays as Python numbers and lists, inside mappings and sequences too; all else as it is."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (dict, Mapping)):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
