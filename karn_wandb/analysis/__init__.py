"""Live, stateful readings while training; each reading is a record."""

from karn_wandb.analysis.analytics import MorphogeneticAnalytics
from karn_wandb.analysis.lifecycle import Lifecycle
from karn_wandb.analysis.sanity import Sanity

__all__ = ["Lifecycle", "MorphogeneticAnalytics", "Sanity"]
