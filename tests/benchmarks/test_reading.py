"""The program that times readers compares like with like; its times are not tested."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished import read_finished

from benchmarks.offline import offline_options
from benchmarks.reading import inspected, plain_run, timed

pytestmark = pytest.mark.offline


def test_both_readers_give_the_same_rows(newest_wandb):
    with offline_options() as options:
        path = plain_run(options, rows=3, metrics=2)
        rows = [record["history"]["item"] for record in inspected(path) if record["type"] == "history"]
        assert rows == read_finished(path).rows


def test_ways_take_turns_after_one_round_to_warm_up():
    order = []
    seconds = timed({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert "".join(order) == "ababab"
    assert {name: len(spent) for name, spent in seconds.items()} == {"a": 2, "b": 2}


def test_the_program_is_where_its_page_says():
    assert "benchmarks.reading" in (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text(encoding="utf-8")
