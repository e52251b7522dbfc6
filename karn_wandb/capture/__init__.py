"""What the model and the process know about themselves, as records."""

from karn_wandb.capture.batches import PendingBatches
from karn_wandb.capture.context import capture_episode
from karn_wandb.capture.model import AttachedModel, HostLike, SlotLike

__all__ = ["AttachedModel", "HostLike", "PendingBatches", "SlotLike", "capture_episode"]
