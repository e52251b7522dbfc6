"""The latency program makes every call and prints a table; how long anything takes is not tested."""

from __future__ import annotations

import pytest

from benchmarks.call_latency import INTERVAL, flat, measure, prepared, report
from benchmarks.offline import offline_options


@pytest.mark.offline
def test_every_call_is_timed_and_compared_with_the_same_values(offline_folder):
    with offline_options() as options, prepared(options) as (compared, runs):
        times = measure(compared, runs, intervals=1, pause=0)
        assert all(row.shape == (INTERVAL,) and (row > 0).all() for row in times.values())
    _, _, *rows = report(compared, times).splitlines()
    assert len(rows) == len(times)
    for call, row in zip(compared, rows, strict=True):
        name, *numbers = [cell.strip() for cell in row.strip("|").split("|")]
        assert name == call.name
        assert all(float(number) >= 0 for number in (numbers if call.against else numbers[:3]))


def test_nested_values_become_keys_and_missing_ones_none():
    assert dict(flat({"a": 1, "b": {"c": None, "d": {"e": (1, 2)}}}, "x/")) == {"x/a": 1, "x/b/d/e": (1, 2)}
