"""Arms: what they are called, and which run is in which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from karn_wandb.experiment.aggregation import Filter, in_words, value_in_words
from karn_wandb.experiment.claims import Claims
from karn_wandb.experiment.controls import CONTROL_KEY, NOTHING, control_groups, disabled_slots
from karn_wandb.experiment.filters import select


@dataclass(frozen=True, slots=True)
class Arms:
    """The arms of a family of claims, and of control runs.

    Attributes:
        labels: Label by `key` of the arm's filter, controls first, in the order of the claims; then those of control runs.
        of_run: Label by run id, the first arm a run is in; runs in no arm are not in it.
    """

    labels: dict[str, str] = field(default_factory=dict)
    of_run: dict[str, str] = field(default_factory=dict)

    def label(self, arm: Filter) -> str:
        """What an arm is called."""
        return self.labels[key(arm)]

    def order(self) -> tuple[str, ...]:
        """The labels of arms that have runs, in the order of their colours."""
        used = set(self.of_run.values())
        return tuple(label for label in dict.fromkeys(self.labels.values()) if label in used)


def key(arm: Filter) -> str:
    """A filter as text that is equal for equal filters."""
    return json.dumps(dict(arm), sort_keys=True, default=str)


def arms_of(episodes: pd.DataFrame, claims: Claims | None) -> Arms:
    """The arms the claims name, then those of control runs that are in none of them.

    Where the claims' arms are told apart by one column, its values are the labels.
    """
    arms = Arms()
    filters = [arm for claim in claims.claims for arm in (claim.control, claim.treatment)] if claims else []
    telling = _telling(filters)
    for arm in filters:
        _add(arms, episodes, arm, _label(telling, arm[telling]) if telling else in_words(arm))
    groups = control_groups(episodes)
    for shared in groups:
        for value in (NOTHING, *disabled_slots(episodes, CONTROL_KEY, shared)):
            label = _label(CONTROL_KEY, value) + (f" ({in_words(shared)})" if len(groups) > 1 else "")
            _add(arms, episodes, {CONTROL_KEY: value, **shared}, label)
    return arms


def _telling(filters: Sequence[Filter]) -> str | None:
    """The one name that all filters have, apart from those with one value everywhere; None when there are others."""
    names = dict.fromkeys(name for arm in filters for name in arm)
    common = {name for name in names if len({json.dumps(arm.get(name, {}), default=str) for arm in filters}) == 1}
    differing = [name for name in names if name not in common]
    return differing[0] if len(differing) == 1 and all(differing[0] in arm for arm in filters) else None


def _label(name: str, value: object) -> str:
    if name == CONTROL_KEY:
        return "all slots" if value == NOTHING or value in NOTHING else f"without {value}"
    return value_in_words(value)


def _add(arms: Arms, episodes: pd.DataFrame, arm: Filter, label: str) -> None:
    called = arms.labels.setdefault(key(arm), label)
    for run in episodes.loc[select(episodes, arm), "run_id"].unique():
        arms.of_run.setdefault(str(run), called)
