"""Settings in which two arms differ besides the factor that makes them arms."""

from __future__ import annotations

from itertools import compress
from typing import Any

import pandas as pd
from pandas.api.types import is_scalar

from karn_wandb.experiment.claims import Claim
from karn_wandb.experiment.filters import column_of, select

MOST_VALUES = 3
"""Values of a setting that are listed for each arm."""

_PREFIXES = ("config.", "episode.")


def differing_settings(episodes: pd.DataFrame, claim: Claim) -> list[str]:
    """Columns of config, episode context and commit whose values are not the same in both arms, with the values.

    A column that is different in every run of an arm names the run (an id, a time, a seed) and is no setting; one that is
    called as the factor and equals it in every run is the factor, written down in two places.
    """
    arms = [select(episodes, arm).tolist() for arm in (claim.treatment, claim.control)]
    factors = {column_of(episodes, name) for arm in (claim.treatment, claim.control) for name in arm}
    known = {(_name(factor), tuple(_texts(episodes[factor]))) for factor in factors}
    found = []
    for column in sorted(c for c in episodes.columns if _is_setting(c) and c not in factors):
        texts = _texts(episodes[column])
        values = [list(compress(texts, arm)) for arm in arms]
        if set(values[0]) == set(values[1]) or all(map(_names_each, values)) or (_name(column), tuple(texts)) in known:
            continue
        found.append(f"{column} ({_listed(values[0])} against {_listed(values[1])})")
    return found


def _texts(values: pd.Series[Any]) -> list[str]:
    return ["missing" if is_scalar(value) and pd.isna(value) else str(value) for value in values.tolist()]


def _name(column: str) -> str:
    return column.rpartition(".")[2]


def _is_setting(column: str) -> bool:
    return column == "git_commit" or (column.startswith(_PREFIXES) and column != "episode.git_commit")


def _names_each(values: list[str]) -> bool:
    return len(set(values)) == len(values) > 1


def _listed(values: list[str]) -> str:
    distinct = sorted(set(values))
    more = f" and {len(distinct) - MOST_VALUES} more" if len(distinct) > MOST_VALUES else ""
    return ", ".join(distinct[:MOST_VALUES]) + more
