"""Rows to data frames whose columns are there, and of one type, whatever the runs hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

TEXT, WHOLE, NUMBER, FLAG, TIME, ANYTHING = "str", "Int64", "float64", "boolean", "datetime64[us, UTC]", "object"
"""Types of columns. Missing is NaN in texts and numbers, NA in whole numbers and flags, NaT in times."""

_INT64 = 2**63


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, the keys of each level joined with "."; an empty mapping leaves nothing."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def frame_of(rows: Sequence[dict[str, Any]], fixed: Mapping[str, str]) -> pd.DataFrame:
    """A frame with the fixed columns in their order and types, then those that only some rows have, sorted by name."""
    free = sorted({name for row in rows for name in row} - fixed.keys())
    columns = {name: _series([row.get(name) for row in rows], kind) for name, kind in fixed.items()}
    columns |= {name: _series(values, _kind_of(values)) for name in free for values in [[row.get(name) for row in rows]]}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def _series(values: list[Any], kind: str) -> pd.Series[Any]:
    if kind == WHOLE and not all(value is None or -_INT64 <= value < _INT64 for value in values):
        kind = ANYTHING  # a random seed may have 64 bits without a sign
    return pd.Series(values, dtype=kind)


def _kind_of(values: Iterable[Any]) -> str:
    """The narrowest type that holds all values as they are."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {float, int}:
        return NUMBER
    return {frozenset({str}): TEXT, frozenset({int}): WHOLE, frozenset({float}): NUMBER, frozenset({bool}): FLAG}.get(
        frozenset(kinds), ANYTHING
    )
