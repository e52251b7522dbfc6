"""Whatever fails beside it, a training goes on, no epoch is lost, and an import restores W&B's run without duplicates."""

from __future__ import annotations

import sys

import pytest
from fault_matrix import CELLS, MIDDLE, Cell, run_trials, table

pytestmark = [pytest.mark.online, pytest.mark.usefixtures("newest_wandb")]

QUICK = (
    Cell("refused in init, trainer killed", refused_in_init=True, ending="trainer killed", wait=5),
    Cell("everything in the middle, refused at finish", tuple(MIDDLE), "refused", during=8),
    Cell("core killed", ending="core killed", wait=5),
)


def test_each_fault_once(tmp_path):
    found = {one.cell: one for one in run_trials(QUICK, tmp_path)}
    of_disk, at_finish = found[QUICK[1].name].warned
    assert "the record log failed" in of_disk
    assert "W&B had not taken everything after 3 seconds" in at_finish
    assert "W&B's own process is gone" in found["core killed"].warned[-1]


@pytest.mark.slow
def test_a_hundred_times(tmp_path, capsys):
    found = run_trials([CELLS[number % len(CELLS)] for number in range(100)], tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\n{table(found)}\n")
