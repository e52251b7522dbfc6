"""The memory program logs a long run and many dense traces; how much anything takes is not tested."""

from __future__ import annotations

import pytest

from benchmarks.memory import count_traces, long_run, peak_bytes
from benchmarks.offline import offline_options

LEAST = 50 * 2**20  # bytes; Python with torch takes more


@pytest.mark.slow
@pytest.mark.offline
def test_memory_is_read_at_each_tenth_of_the_batches(offline_folder):
    with offline_options() as options:
        used = list(long_run(100, options))
    assert [batches for batches, _ in used] == list(range(10, 101, 10))
    assert all(resident > LEAST for _, resident in used)
    assert peak_bytes() > LEAST


@pytest.mark.offline
def test_of_many_traces_memory_keeps_the_newest_and_the_run_all(offline_folder):
    with offline_options() as options:
        assert count_traces(12, options) == {"memory": 10, "record log": 12, "W&B": 12}
