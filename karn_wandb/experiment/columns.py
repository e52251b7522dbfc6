"""Rows to columns, and columns to data frames, whose columns are there and of one type whatever the runs hold.

Columns are Arrow's: a hundredth of the memory that rows take, and what Parquet files hold. A column's type is that of the
Python values it is made of, so that a frame made of many tables is the one that all their rows would make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

TEXT, WHOLE, NUMBER, FLAG, TIME, ANYTHING = "str", "Int64", "float64", "boolean", "datetime64[us, UTC]", "object"
"""Types of columns. Missing is NaN in texts and numbers, NA in whole numbers and flags, NaT in times."""

_INT64 = 2**63
_ARROW = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
_KIND = {pa.string(): TEXT, pa.float64(): NUMBER, pa.bool_(): FLAG, pa.int64(): WHOLE, pa.uint64(): ANYTHING}
_OF_KIND = {TEXT: pa.string(), NUMBER: pa.float64(), FLAG: pa.bool_(), WHOLE: pa.int64()}


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


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of scalars as columns, in the order in which the names come up; a name has values of one type.

    Raises:
        TypeError: A column's values are of several types, or of one that has no column.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.nulls(len(values))
    (kind,) = kinds if len(kinds) == 1 else (object,)
    if kind is int:
        return pa.array(values, pa.int64() if max(value for value in values if value is not None) < _INT64 else pa.uint64())
    if kind not in _ARROW:
        raise TypeError(f"a column cannot hold {', '.join(sorted(k.__name__ for k in kinds))}")
    return pa.array(values, _ARROW[kind], from_pandas=False)


def frame_of_tables(tables: Sequence[pa.Table], fixed: Mapping[str, str]) -> pd.DataFrame:
    """The frame that `frame_of` makes of all rows of the tables, one table's after the other's."""
    found = {name for table in tables for name in table.column_names}
    columns = {name: _joined(tables, name, kind) for name, kind in fixed.items()}
    columns |= {name: _joined(tables, name, None) for name in sorted(found - fixed.keys())}
    return pd.DataFrame(columns, index=pd.RangeIndex(sum(map(len, tables))))


def _joined(tables: Iterable[pa.Table], name: str, kind: str | None) -> pd.Series[Any]:
    """One column of all tables; where no type is given, of the narrowest type."""
    parts = [table[name] if name in table.column_names else pa.nulls(len(table)) for table in tables]
    types = {part.type for part in parts if part.type != pa.null()}
    if kind is None:
        kind = _KIND[types.pop()] if len(types) == 1 else NUMBER if types == {pa.int64(), pa.float64()} else ANYTHING
    elif pa.uint64() in types:
        kind = ANYTHING
    if kind not in _OF_KIND:
        return pd.Series([value for part in parts for value in part.to_pylist()], dtype=kind)
    chunks = [chunk for part in parts for chunk in (part.chunks if isinstance(part, pa.ChunkedArray) else [part])]
    whole = pa.chunked_array([pc.cast(chunk, _OF_KIND[kind]) for chunk in chunks], _OF_KIND[kind])
    mapped = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return pd.Series(whole.to_pandas(types_mapper=mapped.get), dtype=kind)
