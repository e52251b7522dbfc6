"""Healthy runs of the example: nothing fires but what is ordinary life, changes of stage and gates that are not passed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

import karn_wandb
from examples.data import Dataset, photo_patches
from examples.train import Recipe, train
from karn_wandb import HealthReport
from karn_wandb.analysis.modes import ORDINARY
from karn_wandb.records import DenseTraceTrigger, EpochSnapshot

pytestmark = pytest.mark.offline

RECIPE = Recipe(epochs=12, width=4, batch_size=32, blend_epochs=2, matrix_every=6)


class Watched(NamedTuple):
    """How often each trigger fired in a run, and its validation accuracies."""

    triggers: dict[str, int]
    accuracies: list[float]

    @property
    def fell(self) -> bool:
        """Whether the accuracy really fell by more than the trigger's threshold, in some epoch."""
        threshold = DenseTraceTrigger().accuracy_drop_threshold
        return any(before - after > threshold for before, after in pairwise(self.accuracies))


@pytest.fixture(scope="module")
def patches() -> Dataset:
    """Few images to learn from, and enough to measure by."""
    return photo_patches(training=640, steering=200, validation=800)


def watched(seed: int, data: Dataset, folder: Path) -> Watched:
    """Train one run that grows."""
    folder.mkdir(exist_ok=True)
    train(seed, "heuristic", out=folder, recipe=RECIPE, data=data)
    experiment = karn_wandb.load_experiment(folder)
    records = experiment.records(experiment.episodes["run_id"].item())
    report = [record for record in records if isinstance(record, HealthReport)][-1]
    return Watched(report.triggers, [record.host.val_accuracy for record in records if isinstance(record, EpochSnapshot)])


@pytest.mark.parametrize("seed", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_a_healthy_run_fires_nothing_but_changes_of_stage_and_gates(offline_folder, tmp_path, patches, seed):
    triggers = watched(seed, patches, tmp_path).triggers
    assert triggers["stage_transition"] > 0
    assert set(triggers) <= ORDINARY


@pytest.mark.slow
def test_of_twenty_healthy_runs_none_fires_anything_else_unless_its_accuracy_really_fell(offline_folder, tmp_path, patches):
    """A network this small sometimes loses more than 5 points in an early epoch: then that is told, and nothing else."""
    runs = {seed: watched(seed, patches, tmp_path / str(seed)) for seed in range(20)}
    surprises = {seed: set(run.triggers) - ORDINARY for seed, run in runs.items()}
    assert surprises == {seed: {"accuracy_drop"} if run.fell else set() for seed, run in runs.items()}
    assert sum(run.fell for run in runs.values()) <= 3
