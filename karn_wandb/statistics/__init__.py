"""Two arms compared, and p-values looked at together: arrays in, records out; nothing is read, written or drawn unseeded."""

from karn_wandb.statistics.compare import compare
from karn_wandb.statistics.multiplicity import correct

__all__ = ["compare", "correct"]
