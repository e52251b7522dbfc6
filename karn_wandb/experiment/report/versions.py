"""Versions of what the numbers depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pandas as pd

_LIBRARY_COLUMN = "episode.library_versions."
_OURS = ("karn-wandb", "numpy", "pandas", "scipy", "statsmodels")


def versions(episodes: pd.DataFrame) -> dict[str, str]:
    """Versions used for this report, and those the runs recorded when they trained."""
    found = {"python": platform.python_version(), **{name: version(name) for name in _OURS}}
    for column in sorted(c for c in episodes.columns if c.startswith(_LIBRARY_COLUMN)):
        values = sorted({str(value) for value in episodes[column].dropna()})
        if values:
            found[f"{column.removeprefix(_LIBRARY_COLUMN)} in the runs"] = ", ".join(values)
    return found
