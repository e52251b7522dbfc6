"""The example's tests pass as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

import examples

SCRIPT = Path(examples.__file__).parent / "03_test_your_training.py"

pytestmark = pytest.mark.offline


def test_they_pass(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
        cwd=SCRIPT.parent.parent,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
