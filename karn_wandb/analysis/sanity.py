"""Numbers that are allowed and still worth a word: counted, and warned about once."""

from __future__ import annotations

import math
import warnings
from typing import Any

from karn_wandb.errors import KarnWarning
from karn_wandb.records import EpochSnapshot, Record

ENOUGH_EPOCHS = 3


class Sanity:
    """Counts non-finite observations and notices accuracies that look like fractions."""

    def __init__(self) -> None:
        self.non_finite_values = 0
        self._epochs = 0
        self._highest = 0.0
        self._warned = False

    def observe(self, record: Record) -> None:
        """Look at a record's numbers."""
        self.non_finite_values += count_non_finite(record.to_plain())
        if isinstance(record, EpochSnapshot) and record.host.val_accuracy is not None:
            self._epochs += 1
            self._highest = max(self._highest, record.host.val_accuracy)
            if self._epochs == ENOUGH_EPOCHS and 0 < self._highest <= 1 and not self._warned:
                self._warned = True
                warnings.warn(
                    f"all accuracies so far are at or below 1.0 (highest {self._highest:g}): fractions instead of percent? "
                    "Accuracies are logged as 0 to 100.",
                    KarnWarning,
                    stacklevel=2,
                )


def count_non_finite(plain: Any) -> int:
    """How many NaN and infinities a plain record holds."""
    if isinstance(plain, dict):
        return sum(map(count_non_finite, plain.values()))
    if isinstance(plain, list):
        return sum(map(count_non_finite, plain))
    if isinstance(plain, float):
        return int(not math.isfinite(plain))
    return int(plain in ("nan", "inf", "-inf"))
