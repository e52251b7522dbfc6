"""History rows: how they arrive, and the three ways they are read: page by page, sampled, and with some keys only."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

Row = dict[str, Any]


class Lines:
    """Lines of a streamed file. A line that is sent again, after an answer that was lost, takes the place it had."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._places: dict[tuple[str, int], int] = {}

    def put(self, client: str, offset: int, content: Iterable[str]) -> None:
        """Take lines; a writer's line `offset` is one line, however often it is sent.

        Args:
            client: The writer; several, in shared mode, count their lines apart.
            offset: Number of the first line.
            content: The lines.
        """
        for number, line in enumerate(content, offset):
            place = self._places.setdefault((client, number), len(self.lines))
            self.lines[place : place + 1] = [line]


class History(Lines):
    """The history's lines and what they say, which is worked out when it is first asked for."""

    def put(self, client: str, offset: int, content: Iterable[str]) -> None:
        """Take lines."""
        super().put(client, offset, content)
        self.__dict__.pop("rows", None)
        self.__dict__.pop("keys", None)

    @cached_property
    def rows(self) -> list[Row]:
        """The rows; one without a step, as a shared writer sends them, has its place as the step."""
        return [{"_step": number, **json.loads(line)} for number, line in enumerate(self.lines)]

    @cached_property
    def keys(self) -> dict[str, Any]:
        """What there is to be read: the keys, of nested values too, how often, and the last step."""
        counts = Counter(key for row in self.rows for key, _ in flat(row))
        keys = {key: {"typeCounts": [{"type": "number", "count": count}]} for key, count in counts.items()}
        return {"keys": keys, "lastStep": max((row["_step"] for row in self.rows), default=-1), "sets": []}


def page(rows: list[Row], min_step: int, max_step: int | None, samples: int | None) -> list[str]:
    """Rows with steps from one to before another, as JSON each; thinned evenly when there are more than `samples`."""
    chosen = [row for row in rows if min_step <= row["_step"] and (max_step is None or row["_step"] < max_step)]
    return [json.dumps(row) for row in _thinned(chosen, samples)]


def sampled(rows: list[Row], spec: Mapping[str, Any]) -> list[Row]:
    """The values of some keys, of rows that have all of them."""
    keys = spec.get("keys") or []
    chosen = [row for row in rows if spec.get("minStep", 0) <= row["_step"] and row["_step"] < (spec.get("maxStep") or math.inf)]
    found = [[_at(row, key) for key in keys] for row in chosen]
    whole = [dict(zip(keys, values, strict=True)) for values in found if all(value is not _NOTHING for value in values)]
    return [_sendable(row) for row in _thinned(whole if keys else chosen, spec.get("samples"))]


def flat(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values of a row, with dots in the keys of nested values, as they are listed and exported."""
    for key, value in row.items():
        if isinstance(value, Mapping) and "_type" not in value:
            yield from flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _thinned(rows: list[Row], samples: int | None) -> list[Row]:
    if samples is None or len(rows) <= samples:
        return rows
    return [rows[number * len(rows) // samples] for number in range(samples)]


_NOTHING = object()


def _at(row: Mapping[str, Any], key: str) -> Any:
    """The value of a key, whether it is nested or has dots in its name."""
    if key in row:
        return row[key]
    first, _, rest = key.partition(".")
    inner = row.get(first)
    return _at(inner, rest) if rest and isinstance(inner, Mapping) else _NOTHING


def _sendable(value: Any) -> Any:
    """A value with what JSON has no number for as its name, since these rows are sent as JSON and not as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _sendable(each) for key, each in value.items()}
    return [_sendable(each) for each in value] if isinstance(value, list) else value
