"""The values of a sweep's metric, read from a run's folder while the run goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from karn_wandb.errors import RecordError, SourceError
from karn_wandb.pipeline import LOG_NAME
from karn_wandb.records import decode_event
from karn_wandb.schema import encode_row


class MetricFollower:
    """Reads on where it ended the time before.

    The record logs below the folder have what this package logs, as soon as an epoch is logged. What a program logs through
    W&B alone is in W&B's file, which is read once the run is over: W&B writes it in blocks, so it lags behind.

    Args:
        folder: The run's.
        name: Key in W&B.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.values: list[float] = []
        self._folder = folder
        self._name = name
        self._read: dict[Path, int] = {}

    def advance(self) -> list[float]:
        """The values so far, NaN and infinities included; strings and images are none."""
        for path in sorted(self._folder.glob(f"**/{LOG_NAME}")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            self._take(_rows(whole))
        return self.values

    def conclude(self) -> float | None:
        """The last finite value of the run, which is over; None when there is none."""
        self.advance()
        if not self.values:
            from karn_wandb.experiment.wandb_file import read_wandb_file  # noqa: PLC0415 -- loads pandas

            for path in sorted(self._folder.glob("**/run-*.wandb")):
                try:
                    self._take(read_wandb_file(path).rows)
                except SourceError:  # of a run that was killed before it wrote anything
                    continue
        return next((value for value in reversed(self.values) if math.isfinite(value)), None)

    def _take(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            value = row.get(self._name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                self.values.append(float(value))


def _rows(lines: bytes) -> Iterable[Mapping[str, Any]]:
    for line in lines.splitlines():
        try:
            event = decode_event(line)
        except RecordError:  # the header, or a damaged line
            continue
        yield encode_row(event)
