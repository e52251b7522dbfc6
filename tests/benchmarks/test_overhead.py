"""The overhead program runs all its arms and prints a table; how long anything takes is not tested."""

from __future__ import annotations

import re

import pytest

from benchmarks.blocks import BlockTime
from benchmarks.models import image_training
from benchmarks.offline import offline_options
from benchmarks.overhead import AGAIN, ARMS, BARE, Measured, measure, report

pytestmark = pytest.mark.offline


def tiny():
    return image_training(batch_size=2, width=4)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_arm_is_measured_and_has_a_row(offline_folder):
    """Real runs, offline: as many cells as columns, a positive time of a step, and each ratio as a percentage."""
    measured = measure(tiny, ARMS, blocks=2, steps=2, pause=0)
    assert {name: len(times) for name, times in measured.blocks.items()} == dict.fromkeys(ARMS, 2)
    assert all(0 < t.block <= t.drained for times in measured.blocks.values() for t in times)

    header, _, *rows = map(cells, report(measured, steps=2).splitlines())
    assert [row[0].removesuffix(" (noise floor)") for row in rows] == list(ARMS)
    assert all(len(row) == len(header) and float(row[1]) > 0 for row in rows)
    assert all(re.fullmatch(r"[+-]\d+\.\d %", row[2]) for row in rows[1:])


def test_the_arms_train_alike(offline_folder):
    """Logging changes nothing in the training, so the arms' losses are equal to the last bit."""
    with offline_options() as options:
        arms = [make(tiny(), options) for name, make in ARMS.items() if name != AGAIN]
        for arm in arms:
            arm.begin()
            arm.block(3)
        losses = {arm.training.step().item() for arm in arms}
        for arm in arms:
            arm.finish()
    assert len(losses) == 1


def test_an_arm_is_compared_with_the_bare_arms_of_the_same_block():
    """Blocks twice as slow as others leave the ratio as it is; the bare arms' mean is what it is taken of."""
    speed = (1.0, 2.0, 4.0, 8.0, 4.0, 2.0)
    seconds = {BARE: 0.9, AGAIN: 1.1, "karn standard": 1.05}
    blocks = {name: [BlockTime(t * s, t * s + s / 10) for s in speed] for name, t in seconds.items()}
    last = report(Measured(blocks, dict.fromkeys(blocks, 0.5)), steps=10).splitlines()[-1]
    assert cells(last) == ["karn standard", "315.00", "+5.0 %", "+5.0 % to +5.0 %", "+15.0 %", "+15.0 % to +15.0 %", "0.50"]
