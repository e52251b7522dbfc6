"""What must hold on W&B and on the stand-in alike: one list, which the tests run and `tests.smoke_real_wandb` too."""

from . import writing, reading, artifacts, processes, sweeps, views  # noqa: F401, I001 -- in the order they are reported
from .bench import Bench
from .check import CHECKS, Check

__all__ = ["CHECKS", "Bench", "Check"]
