"""Many runs side by side: what is planned is trained, whole pairs first, and a report is written over all of it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

import examples
import karn_wandb
from examples import controls, demo
from examples.train import parsed
from examples.workers import Planned, Workers

REPOSITORY = Path(examples.__file__).parent.parent


def options(**given):
    return argparse.Namespace(**{"epochs": 4, "out": Path("runs"), "data_root": None, **given})


def arguments(planned: Planned, *, paired: bool = False, **given):
    command = Workers(options(**given), progress=None, claims=demo.CLAIMS)._command(planned, paired=paired)
    assert command[:3] == [sys.executable, "-m", "examples.train"]
    return parsed(command[3:])


def test_the_demo_trains_each_seed_alone_and_then_grown_and_compares_it_with_its_pair():
    plan = demo.plan(2)
    assert [(arguments(p).controller, arguments(p).seed) for p in plan] == [
        ("none", 0),
        ("none", 1),
        ("heuristic", 0),
        ("heuristic", 1),
    ]
    assert [p.after for p in plan] == [None, None, plan[0], plan[1]]
    assert (arguments(plan[2], paired=True).baseline, arguments(plan[2]).baseline) == (Path("runs"), None)


def test_control_runs_come_seed_by_seed_so_that_what_was_interrupted_holds_whole_pairs():
    plan = controls.plan(2)
    assert [(arguments(p).seed, arguments(p).disabled_slot) for p in plan] == [
        (seed, slot) for seed in (0, 1) for slot in ("none", "early", "mid", "late")
    ]
    assert {arguments(p).controller for p in plan} == {"heuristic"}
    assert plan[1].label == "without early seed 0"


def test_epochs_and_folders_reach_every_run():
    given = arguments(controls.plan(1)[0], epochs=7, out=Path("here"), data_root=Path("cifar"))
    assert (given.epochs, given.out, given.data_root) == (7, Path("here"), Path("cifar"))
    assert given.claims == str(demo.CLAIMS)


def test_the_claims_that_the_programs_are_judged_by_are_there():
    assert demo.CLAIMS.is_file()
    assert controls.CLAIMS.is_file()


@pytest.mark.slow
@pytest.mark.offline
def test_all_control_runs_are_trained_and_reported_on(offline_folder, tmp_path):
    """The real program: twelve processes, real patches, four epochs, so that nothing germinates yet."""
    command = [sys.executable, "-m", "examples.controls", "--seeds", "3", "--epochs", "4", "--out", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY, env=dict(os.environ))
    found = karn_wandb.load_experiment(tmp_path)
    assert len(found.episodes) == 12
    assert set(found.episodes["state"]) == {"finished"}
    assert set(found.episodes["claims"]) == {controls.CLAIMS.read_text(encoding="utf-8")}
    contributions = karn_wandb.causal_contributions(found)
    assert [slot.causal.mean_delta for slot in contributions.slots] == [0.0, 0.0, 0.0]  # equal until the first gate
    assert "without spread there is no test" in done.stdout
    assert {path.name for path in tmp_path.glob("report.*")} == {"report.html", "report.md", "report.json"}
