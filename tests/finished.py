"""Reading a run that has just finished in the same process."""

from __future__ import annotations

import time
from pathlib import Path

from karn_wandb.experiment.wandb_file import WandbFile, read_wandb_file

SECONDS = 10


def read_finished(path: Path) -> WandbFile:
    """Read a run's file once it is whole: offline, `finish` may return before W&B has closed it."""
    deadline = time.monotonic() + SECONDS
    while (file := read_wandb_file(path)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return file
