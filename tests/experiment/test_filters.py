"""Filters: config first, then columns; equality that does not take 1 for True; near misses named."""

from __future__ import annotations

import pandas as pd
import pytest

from karn_wandb.errors import SourceError
from karn_wandb.experiment.columns import frame_of
from karn_wandb.experiment.filters import select

EPISODES = frame_of(
    [
        {
            "run_id": "a",
            "state": "finished",
            "config.controller": "policy",
            "config.lr": 0.1,
            "config.on": True,
            "config.state": "x",
        },
        {
            "run_id": "b",
            "state": "crashed",
            "config.controller": "none",
            "config.lr": 1,
            "config.on": 1,
            "episode.task_type": "lm",
        },
        {"run_id": "c", "state": "finished", "config.lr": None, "config.on": [1], "episode.opt.name": "sgd"},
    ],
    {"run_id": "str", "state": "str"},
)


def chosen(**filters: object) -> str:
    return "".join(EPISODES.loc[select(EPISODES, {name.replace("__", "."): value for name, value in filters.items()}), "run_id"])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "abc"),
        ({"controller": "policy"}, "a"),
        ({"config__controller": "none"}, "b"),
        ({"controller": None}, "c"),
        ({"controller": "other"}, ""),
        ({"controller": (None, "none")}, "bc"),
        ({"lr": (0.1, 1)}, "ab"),
        ({"on": ([1], True)}, "ac"),
        ({"controller": ()}, ""),
        ({"lr": 1}, "b"),
        ({"lr": 1.0}, "b"),
        ({"lr": None}, "c"),
        ({"on": True}, "a"),
        ({"on": 1}, "b"),
        ({"on": [1]}, "c"),
        ({"episode__task_type": "lm"}, "b"),
        ({"episode__opt__name": "sgd"}, "c"),
        ({"run_id": "b"}, "b"),
        ({"state": "x"}, "a"),
        ({"controller": "policy", "lr": 0.1}, "a"),
        ({"controller": "policy", "lr": 1}, ""),
    ],
)
def test_episodes_are_chosen_by_equality(filters, expected):
    assert chosen(**filters) == expected


def test_nothing_is_chosen_from_nothing():
    empty = EPISODES.iloc[:0]
    assert select(empty, {"controller": "policy"}).tolist() == []
    assert select(empty, {}).dtype == bool


def test_the_choice_fits_any_index():
    shuffled = EPISODES.set_axis([7, 3, 5])
    assert shuffled[select(shuffled, {"lr": 0.1})].index.tolist() == [7]


@pytest.mark.parametrize(
    ("name", "do"),
    [
        ("controler", "Did you mean 'controller'?"),
        ("episode.task", "Did you mean 'episode.task_type' or 'episode.opt.name'?"),
        ("config.lrr", "Did you mean 'lr'?"),
        ("zzz", "Name an entry of the runs' config, or a column of episodes."),
    ],
)
def test_a_name_no_run_has_is_a_clear_error(name, do):
    with pytest.raises(SourceError) as raised:
        select(EPISODES, {name: 1})
    assert str(raised.value) == f"no run has a {name!r} to filter by. {do}"


def test_missing_values_of_every_type_are_none():
    frame = pd.DataFrame(
        {
            "t": pd.Series(["x", None], dtype="str"),
            "i": pd.Series([1, None], dtype="Int64"),
            "f": [1.0, None],
            "b": pd.Series([True, None], dtype="boolean"),
            "d": pd.Series([pd.Timestamp(0, tz="UTC"), None]),
            "o": [[1], None],
        }
    )
    for name in frame:
        assert select(frame, {name: None}).tolist() == [False, True]
