"""The pytest fixture; nothing registers it, import it where it is wanted.

In a `conftest.py`: `from karn_wandb.testing.fixtures import karn_runs`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from karn_wandb.testing.recording import recorded_inits
from karn_wandb.testing.run import RecordedRun


@pytest.fixture
def karn_runs() -> Iterator[list[RecordedRun]]:
    """Runs that the code under test starts with `karn_wandb.init`, in their order."""
    with recorded_inits() as runs:
        yield runs
