"""Whatever fails beside it, a training goes on, no epoch is lost, and an import restores W&B's run without duplicates."""

from __future__ import annotations

import sys

import pytest
from fault_matrix import CELLS, MIDDLE, Cell, run_trials, table

pytestmark = [pytest.mark.online, pytest.mark.usefixtures("newest_wandb")]

QUICK = (
    Cell("refused in init, trainer killed", refused_in_init=True, ending="trainer killed"),
    Cell("everything in the middle, refused at finish", tuple(MIDDLE), "refused"),
    Cell("core killed", ending="core killed"),
)


def test_each_fault_once(tmp_path):
    found = {one.cell: one for one in run_trials(QUICK, tmp_path)}
    assert [len(found[cell.name].warned) for cell in QUICK[1:]] == [2, 2], [one.warned for one in found.values()]


@pytest.mark.slow
def test_a_hundred_times(tmp_path, capsys):
    found = run_trials([CELLS[number % len(CELLS)] for number in range(100)], tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\n{table(found)}\n")
