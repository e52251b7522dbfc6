"""Real offline runs, each test's in a folder of its own."""

from __future__ import annotations

import pytest
import wandb

import karn_wandb


@pytest.fixture
def start(offline_folder, tmp_path):
    """Starts runs in a folder of the test's own; those left open are finished, W&B's global one too."""
    runs = []

    def started(**options):
        runs.append(karn_wandb.init(project="tests", dir=tmp_path, **options))
        return runs[-1]

    yield started
    for run in runs:
        run.finish()
    if wandb.run is not None:
        wandb.run.finish()
