"""History exports: Parquet files the service makes of a run's history some time after it was sent."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .blobs import Blobs
from .graphql import Node
from .history import Row, flat
from .runs import Run


class Exports:
    """The exports of all runs; a run has none until a test says so.

    Args:
        blobs: Where the files are kept.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._rows: dict[str, int] = {}

    def make(self, run: Run) -> None:
        """Export what a run has sent; when more comes there is no export, until the next one."""
        self._rows[run.storage_id] = len(run.rows)
        self._blobs.put(_place(run), parquet(run.rows))

    def node(self, run: Run) -> Node:
        """The export as GraphQL reads it; what is in no file is read page by page."""
        whole = run.rows and self._rows.get(run.storage_id) == len(run.rows)
        return {"parquetUrls": [self._blobs.address(_place(run))] if whole else [], "liveData": []}


def parquet(rows: list[Row]) -> bytes:
    """Rows as a Parquet file: a column a key, those of nested values with dots; text where a column has no one type."""
    found = [dict(flat(row)) for row in rows]
    names = dict.fromkeys(name for row in found for name in row)
    file = io.BytesIO()
    pq.write_table(pa.table({name: _column([row.get(name) for row in found]) for name in names}), file)
    return file.getvalue()


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else json.dumps(value) for value in values])


def _place(run: Run) -> str:
    return f"exports/{run.entity}/{run.project}/{run.run_id}.parquet"
