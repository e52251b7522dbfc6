"""Live, stateful readings while training; each reading is a record."""

from karn_wandb.analysis.analytics import MorphogeneticAnalytics
from karn_wandb.analysis.collapse import EntropyCollapse, ValueCollapse
from karn_wandb.analysis.contributions import ContributionPoint
from karn_wandb.analysis.health import HealthMonitor
from karn_wandb.analysis.lifecycle import Lifecycle
from karn_wandb.analysis.means import BatchMeans
from karn_wandb.analysis.modes import Mode
from karn_wandb.analysis.outcome import episode_outcome
from karn_wandb.analysis.policy import PolicyAnalyzer, agree
from karn_wandb.analysis.ppo import Finding, PPODiagnosis
from karn_wandb.analysis.sanity import Sanity
from karn_wandb.analysis.slots import SlotHistory
from karn_wandb.analysis.traces import DenseTraces
from karn_wandb.analysis.triggers import Firing, TriggerWatch

__all__ = [
    "BatchMeans",
    "ContributionPoint",
    "DenseTraces",
    "EntropyCollapse",
    "Finding",
    "Firing",
    "HealthMonitor",
    "Lifecycle",
    "Mode",
    "MorphogeneticAnalytics",
    "PPODiagnosis",
    "PolicyAnalyzer",
    "Sanity",
    "SlotHistory",
    "TriggerWatch",
    "ValueCollapse",
    "agree",
    "episode_outcome",
]
