"""Numbers that are allowed and still worth a word."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from karn_wandb.records import EpochSnapshot, Record

ENOUGH_EPOCHS = 3


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
    match value:
        case float():
            return int(not math.isfinite(value))
        case Record():
            return count_non_finite([getattr(value, f.name) for f in fields(value)])  # type: ignore[arg-type]
        case dict():
            return sum(map(count_non_finite, value.values()))
        case tuple() | list():
            return sum(map(count_non_finite, value))
        case _:
            return 0
