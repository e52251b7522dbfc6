"""W&B sweeps: the file, the search, and running it here or with W&B's agents."""

from karn_wandb.sweeps.file import SweepFile, read_sweep
from karn_wandb.sweeps.local import LocalSweep, Result

__all__ = ["LocalSweep", "Result", "SweepFile", "read_sweep"]
