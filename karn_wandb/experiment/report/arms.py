"""Arms: what they are called, and which run is in which."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pandas as pd

from karn_wandb.experiment.aggregation import Filter, in_words, value_in_words
from karn_wandb.experiment.claims import Claims
from karn_wandb.experiment.filters import select


@dataclass(frozen=True, slots=True)
class Arms:
    """The arms of a family of claims.

    Attributes:
        labels: Label by `key` of the arm's filter, controls first, in the order of the claims.
        of_run: Label by run id, the first arm a run is in; runs in no arm are not in it.
    """

    labels: dict[str, str] = field(default_factory=dict)
    of_run: dict[str, str] = field(default_factory=dict)

    def label(self, arm: Filter) -> str:
        """What an arm is called."""
        return self.labels[key(arm)]

    def order(self) -> tuple[str, ...]:
        """The labels, in the order of their colours."""
        return tuple(dict.fromkeys(self.labels.values()))


def key(arm: Filter) -> str:
    """A filter as text that is equal for equal filters."""
    return json.dumps(dict(arm), sort_keys=True, default=str)


def arms_of(episodes: pd.DataFrame, claims: Claims | None) -> Arms:
    """The arms the claims name; where all are told apart by one column, its values are the labels."""
    if claims is None:
        return Arms()
    filters = [arm for claim in claims.claims for arm in (claim.control, claim.treatment)]
    one_column = {tuple(arm) for arm in filters} == {tuple(filters[0])} and len(filters[0]) == 1
    arms = Arms()
    for arm in filters:
        arms.labels[key(arm)] = value_in_words(next(iter(arm.values()))) if one_column else in_words(arm)
        for run in episodes.loc[select(episodes, arm), "run_id"].unique():
            arms.of_run.setdefault(str(run), arms.label(arm))
    return arms
