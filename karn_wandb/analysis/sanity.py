"""Numbers that are allowed and still worth a word."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from karn_wandb.records import EpochSnapshot, Record

ENOUGH_EPOCHS = 3

UNDEFINED_WITHOUT_VARIANCE = frozenset({"explained_variance", "value_nrmse"})
"""Statistics of an update that may be NaN in good health: the returns may be all alike."""


class Sanity:
    """Counts non-finite observations and notices accuracies that look like fractions."""

    def __init__(self) -> None:
        self.non_finite_values = 0
        self._epochs = 0
        self._highest = 0.0

    def observe(self, record: Record) -> None:
        """Look at a record's numbers."""
        self.non_finite_values += count_non_finite(record)
        if isinstance(record, EpochSnapshot) and record.host.val_accuracy is not None:
            self._epochs += 1
            self._highest = max(self._highest, record.host.val_accuracy)

    @property
    def doubt(self) -> str:
        """What is doubtful about the accuracies, in words; "" when nothing is."""
        if self._epochs < ENOUGH_EPOCHS or not 0 < self._highest <= 1:
            return ""
        return (
            f"all accuracies so far are at or below 1.0 (highest {self._highest:g}): fractions instead of percent? "
            "Accuracies are logged as 0 to 100."
        )


def count_non_finite(value: Any) -> int:
    """How many NaN and infinities a record holds, nested ones included."""
    if isinstance(value, float):
        return int(not math.isfinite(value))
    if isinstance(value, Record):
        return sum(count_non_finite(getattr(value, name)) for name in float_fields(type(value)))
    if isinstance(value, dict):
        return sum(map(count_non_finite, value.values()))
    if isinstance(value, tuple | list):
        return sum(map(count_non_finite, value))
    return 0


def must_be_finite(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """The statistics of a policy's record by name, nested ones included; without those that divide by a variance."""
    if isinstance(value, Record):
        value = {part: getattr(value, part) for part in float_fields(type(value))}
    if isinstance(value, Mapping):
        for part, inner in value.items():
            if name or part not in UNDEFINED_WITHOUT_VARIANCE:
                yield from must_be_finite(inner, f"{name}/{part}" if name else part)
    elif isinstance(value, float):
        yield name, value


_FLOAT_FIELDS: dict[type[Record], tuple[str, ...]] = {}


def float_fields(cls: type[Record]) -> tuple[str, ...]:
    """Names of a record's fields in which a float may be, itself or further inside."""
    if cls not in _FLOAT_FIELDS:
        hints = get_type_hints(cls)
        names = (field.name for field in fields(cls))  # type: ignore[arg-type]
        _FLOAT_FIELDS[cls] = tuple(name for name in names if _may_hold_float(hints[name]))
    return _FLOAT_FIELDS[cls]


def _may_hold_float(hint: Any) -> bool:
    if hint in (float, Any):
        return True
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint is Record or bool(float_fields(hint))
    return any(map(_may_hold_float, get_args(hint)))
