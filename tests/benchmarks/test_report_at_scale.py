"""The program that measures reports on many runs makes them of real ones; its times are not tested."""

from __future__ import annotations

import sys

import pytest

import karn_wandb
from benchmarks.many_runs import write_run
from benchmarks.report_at_scale import MEMORY, exponents, figures, line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for number in range(4):
        write_run(folder, 10, number)
    return folder


def test_runs_are_pairs_with_all_that_a_run_has(folder):
    experiment = karn_wandb.load_experiment(folder, cache=False)
    assert experiment.warnings == ()
    assert experiment.episodes["state"].tolist() == ["finished"] * 4
    assert experiment.episodes["base_seed"].tolist() == [0, 1, 0, 1]
    assert experiment.episodes["epochs"].tolist() == [10] * 4
    assert len(karn_wandb.build_report(experiment).content.claims) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_cold_and_a_warm_report_are_made(folder):
    found = figures(folder, 2)
    assert list(found) == ["cold", "warm"]
    assert all(numbers[MEMORY] > 50 for numbers in found.values())
    assert line("cold", found["cold"])[MEMORY + 1].isdigit()


def test_exponents_are_those_of_powers():
    assert exponents({runs: [5.0, 3.0 * runs, runs**1.5] for runs in (100, 300, 1000)}) == ["0.00", "1.00", "1.50"]
