"""Versions of what the numbers depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pandas as pd

from karn_wandb._version import __version__

_LIBRARY_COLUMN = "episode.library_versions."
_USED = ("numpy", "pandas", "scipy")


def versions(episodes: pd.DataFrame) -> dict[str, str]:
    """Versions used for this report, and those the runs recorded when they trained."""
    found = {"python": platform.python_version(), "karn-wandb": __version__, **{name: version(name) for name in _USED}}
    for column in sorted(c for c in episodes.columns if c.startswith(_LIBRARY_COLUMN)):
        values = sorted({str(value) for value in episodes[column].dropna()})
        if values:
            found[f"{column.removeprefix(_LIBRARY_COLUMN)} in the runs"] = ", ".join(values)
    return found
