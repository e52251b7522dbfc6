"""Intervals of scaling curves cover what they promise, over simulated experiments with known curves."""

from __future__ import annotations

import pytest

from benchmarks.scaling_coverage import HOFFMANN, coverage, main, rows

ROWS = {row.name: row for row in rows()}
UNLIKE = "scatters 3 times"


def test_the_settings_are_beyond_and_among_the_sizes_with_few_and_more_runs():
    of_hoffmann = [row for row in ROWS.values() if row.law == HOFFMANN]
    assert {row.equivalent > max(row.sizes) for row in of_hoffmann} == {True, False}
    assert {row.runs for row in ROWS.values()} == {2, 3, 5}


def test_intervals_cover_roughly():
    """A standard error of 25 experiments is 4.4 %."""
    found = coverage(ROWS["10 to 300 billion, 3 runs a size"], experiments=25)
    for share in (found.equivalent, found.curve, found.floor, found.exponent):
        assert 0.8 < share <= 1
    assert found.open < 0.2


def test_the_program_prints_a_row_for_each_setting(capsys):
    main(["--experiments", "1"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in printed[2:]] == list(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_intervals_of_equivalents_cover_at_least_93_percent(name):
    found = coverage(ROWS[name], experiments=1000)
    assert found.equivalent >= 0.93
    if UNLIKE not in name:
        assert 0.91 <= found.curve <= 0.98
        assert 0.92 <= found.floor <= 0.98
        assert 0.92 <= found.exponent <= 0.98
