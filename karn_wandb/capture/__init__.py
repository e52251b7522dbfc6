"""What the model and the process know about themselves, as records."""

from karn_wandb.capture.activations import ActivationProbe
from karn_wandb.capture.batches import PendingBatches
from karn_wandb.capture.context import capture_episode
from karn_wandb.capture.gradients import GradientLayout
from karn_wandb.capture.histograms import GradientHistograms
from karn_wandb.capture.isolation import IsolationProbe
from karn_wandb.capture.layers import SeedLayerMeans
from karn_wandb.capture.model import AttachedModel, HostLike, SlotLike
from karn_wandb.capture.ppo import advantage_stats, explained_variance, lstm_health, ppo_update, ratio_stats

__all__ = [
    "ActivationProbe",
    "AttachedModel",
    "GradientHistograms",
    "GradientLayout",
    "HostLike",
    "IsolationProbe",
    "PendingBatches",
    "SeedLayerMeans",
    "SlotLike",
    "advantage_stats",
    "capture_episode",
    "explained_variance",
    "lstm_health",
    "ppo_update",
    "ratio_stats",
]
