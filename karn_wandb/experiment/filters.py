"""Filters: which episodes have these values, by names of config entries or of columns."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from karn_wandb.errors import SourceError

_CONFIG = "config."

ARM_COLUMNS = ("config.arm", "config.controller")
"""Columns whose values are the arms where nothing else names them, in this order."""


def select(episodes: pd.DataFrame, filters: Mapping[str, Any]) -> pd.Series[bool]:
    """Mark the episodes whose values equal the filters', all of them.

    A name is looked up in the config first ("lr" is `config.lr`, "optimizer.lr" is `config.optimizer.lr`), then among
    all columns ("episode.task_type", "state"). None matches what is missing. True and 1 differ, 1 and 1.0 do not. A tuple
    matches what any of its values does.

    Args:
        episodes: Frame of episodes.
        filters: Name to value.

    Raises:
        SourceError: No run has a value of that name; the message names the nearest there are.
    """
    chosen = pd.Series(data=True, index=episodes.index, dtype=bool)
    for name, wanted in filters.items():
        chosen &= pd.Series([_equal(value, wanted) for value in episodes[column_of(episodes, name)]], episodes.index, bool)
    return chosen


def column_of(episodes: pd.DataFrame, name: str) -> str:
    """The column a filter's name stands for.

    Raises:
        SourceError: There is none.
    """
    for column in (_CONFIG + name, name):
        if column in episodes.columns:
            return column
    known = [str(column).removeprefix(_CONFIG) for column in episodes.columns]
    near = difflib.get_close_matches(name.removeprefix(_CONFIG), known, n=3)
    raise SourceError(
        f"no run has a {name!r} to filter by",
        do=f"Did you mean {' or '.join(map(repr, near))}?"
        if near
        else "Name an entry of the runs' config, or a column of episodes.",
    )


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        return any(_equal(value, one) for one in wanted)
    if wanted is None or missing(value):
        return wanted is None and missing(value)
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def missing(value: Any) -> bool:
    """Whether a cell of a frame holds nothing."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)  # noqa: PLR0124 -- NaN
