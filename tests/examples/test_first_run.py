"""The quickstart runs as it stands, in at most 15 lines, and logs what it says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import examples
import karn_wandb

pytestmark = pytest.mark.offline

SCRIPT = Path(examples.__file__).parent / "01_first_run.py"


def test_it_is_at_most_fifteen_lines():
    docstring, *statements = ast.parse(SCRIPT.read_text()).body
    assert isinstance(docstring, ast.Expr)
    lines = SCRIPT.read_text().splitlines()[statements[0].lineno - 1 :]
    assert len([line for line in lines if line.strip()]) <= 15


def test_it_learns_digits_and_logs_what_the_model_knows(offline_folder, tmp_path):
    """In a process of its own: W&B reads the environment once."""
    environment = os.environ | {"WANDB_DIR": str(tmp_path)}
    subprocess.run([sys.executable, str(SCRIPT)], check=True, env=environment)
    epochs = karn_wandb.load_experiment(tmp_path).epochs
    assert len(epochs) == 50
    assert epochs["val_accuracy"].iloc[-1] > 85
    assert set(epochs["total_params"]) == {64 * 32 + 32 + 32 * 10 + 10}
    assert (epochs["host_grad_norm"] > 0).all()
    assert epochs["train_loss"].iloc[-1] < epochs["train_loss"].iloc[0]
