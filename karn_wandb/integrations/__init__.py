"""Callbacks for training loops of other libraries. They have the right methods and inherit from nothing: none is imported."""

from karn_wandb.integrations.lightning import LightningCallback
from karn_wandb.integrations.transformers import TransformersCallback

__all__ = ["LightningCallback", "TransformersCallback"]
