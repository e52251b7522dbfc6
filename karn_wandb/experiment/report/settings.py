"""Settings in which two arms differ besides the factor that makes them arms."""

from __future__ import annotations

import pandas as pd

from karn_wandb.experiment.claims import Claim
from karn_wandb.experiment.filters import column_of, select

MOST_VALUES = 3
"""Values of a setting that are listed for each arm."""

_PREFIXES = ("config.", "episode.")


def differing_settings(episodes: pd.DataFrame, claim: Claim) -> list[str]:
    """Columns of config, episode context and commit whose values are not the same in both arms, with the values.

    A column that is different in every run of an arm names the run (an id, a time, a seed) and is no setting.
    """
    treatment = episodes[select(episodes, claim.treatment)]
    control = episodes[select(episodes, claim.control)]
    factor = {column_of(episodes, name) for arm in (claim.treatment, claim.control) for name in arm}
    found = []
    for column in sorted(c for c in episodes.columns if _is_setting(c) and c not in factor):
        values = [_texts(treatment[column]), _texts(control[column])]
        if set(values[0]) != set(values[1]) and not all(map(_names_each, values)):
            found.append(f"{column} ({_listed(values[0])} against {_listed(values[1])})")
    return found


def _is_setting(column: str) -> bool:
    return column == "git_commit" or column.startswith(_PREFIXES)


def _texts(values: pd.Series) -> list[str]:
    return ["missing" if gone else str(value) for value, gone in zip(values, values.isna(), strict=True)]


def _names_each(values: list[str]) -> bool:
    return len(set(values)) == len(values) > 1


def _listed(values: list[str]) -> str:
    distinct = sorted(set(values))
    more = f" and {len(distinct) - MOST_VALUES} more" if len(distinct) > MOST_VALUES else ""
    return ", ".join(distinct[:MOST_VALUES]) + more
