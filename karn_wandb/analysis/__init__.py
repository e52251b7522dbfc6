"""Live, stateful readings while training; each reading is a record."""

from karn_wandb.analysis.analytics import MorphogeneticAnalytics
from karn_wandb.analysis.lifecycle import Lifecycle
from karn_wandb.analysis.means import BatchMeans
from karn_wandb.analysis.modes import Mode
from karn_wandb.analysis.outcome import episode_outcome
from karn_wandb.analysis.policy import PolicyAnalyzer
from karn_wandb.analysis.sanity import Sanity
from karn_wandb.analysis.slots import SlotHistory

__all__ = [
    "BatchMeans",
    "Lifecycle",
    "Mode",
    "MorphogeneticAnalytics",
    "PolicyAnalyzer",
    "Sanity",
    "SlotHistory",
    "episode_outcome",
]
