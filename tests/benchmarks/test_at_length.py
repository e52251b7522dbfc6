"""The program that logs a long run: every way sends every row, and a run that was moved reads back whole, within W&B's limits."""

from __future__ import annotations

import pytest

from benchmarks.at_length import CONFIGS, WAYS, Length, long_run, sent_by
from benchmarks.offline import offline_options

pytestmark = pytest.mark.offline


@pytest.fixture(params=[Length(3, 20, 2), pytest.param(Length(500, 200_000, 100), marks=pytest.mark.slow)], ids=["short", "full"])
def length(request) -> Length:
    return request.param


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_a_run_that_was_moved_reads_back_whole_and_keeps_to_w_and_b_s_limits(offline_folder, length):
    with offline_options() as options:
        seen = dict(long_run(length, options))
    assert seen["events of W&B's rows equal those of the record log"] == "yes"
    assert seen["rows of tables/counterfactual, missing"] == f"{length.epochs * CONFIGS:,}, 0"
    assert seen["rows of tables/decisions, missing"] == f"{length.decisions:,}, 0"
    found, rest = seen["artifact files found where the run was moved to"].split(" of ")
    assert rest == f"{found}; gone: 0"
    assert number(seen["metric names (W&B: below 10,000 a project)"]) < 1000
    assert number(seen["files of the run beside them (W&B: below 1,000)"]) < 100
    assert number(seen["artifacts, tables among them"]) < 20


def test_only_logging_a_growing_table_again_and_again_sends_rows_again(offline_folder):
    epochs, rows = 20, 4
    sent = {}
    for way in WAYS:
        with offline_options() as options:
            sent[way] = sent_by(way, epochs, rows, options)
    once, parts, incremental, mutable = (sent[way] for way in WAYS)
    assert (once.artifacts, parts.artifacts, incremental.artifacts, mutable.artifacts) == (1, 1, epochs, epochs)
    assert mutable.artifact_bytes > 4 * once.artifact_bytes
