"""What is trained while the cost of logging it is measured: small networks with three seed modules half blended in.

Data are random and the learning rate is small, so that every step of every arm computes the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from examples import text_blueprints
from examples.blueprints import BLUEPRINTS
from examples.gpt import GPT
from examples.host import ConvHost
from examples.slots import SeedSlot
from karn_wandb import SeedStage

VOCABULARY = 256
LEARNING_RATE = 1e-5


@dataclass(slots=True)
class Training:
    """A model, one batch, and the steps that are timed.

    Attributes:
        model: Gives logits (..., classes).
        inputs: What the model takes, images (n, 3, 32, 32) or tokens (n, t).
        targets: Class indices, (n,) or (n, t).
    """

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE)

    def step(self) -> Tensor:
        """Forward, backward, update; gives the loss."""
        logits = self.model(self.inputs)
        loss = cross_entropy(logits.flatten(0, -2), self.targets.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


def image_training(batch_size: int, width: int = 64) -> Training:
    """The three-block convolutional host of the examples; equal numbers at every call."""
    torch.manual_seed(0)
    model = ConvHost(width)
    for slot in model.slots():
        blend_in(slot, "conv_light", BLUEPRINTS["conv_light"](slot.channels))
    return Training(model, torch.randn(batch_size, 3, 32, 32), torch.randint(10, (batch_size,)))


def text_training(batch_size: int = 8, context: int = 128, width: int = 128, heads: int = 4, blocks: int = 6) -> Training:
    """A small decoder-only transformer on random tokens; equal numbers at every call."""
    torch.manual_seed(0)
    model = GPT(VOCABULARY, width, context=context, heads=heads, blocks=blocks)
    for slot in model.slots():
        blend_in(slot, "adapter", text_blueprints.BLUEPRINTS["adapter"](width))
    tokens = torch.randint(VOCABULARY, (batch_size, context + 1))
    return Training(model, tokens[:, :-1], tokens[:, 1:])


TRAININGS: Mapping[str, Callable[[], Training]] = MappingProxyType(
    {"cnn32": partial(image_training, 32), "cnn128": partial(image_training, 128), "gpt": text_training}
)
"""What can be trained, by name: the convolutional host at two batch sizes, and the transformer."""


def blend_in(slot: SeedSlot, blueprint_id: str, seed: nn.Module) -> None:
    """Put a seed module into the slot and blend half of it in."""
    slot.germinate(blueprint_id, seed)
    slot.enter(SeedStage.TRAINING)
    slot.enter(SeedStage.BLENDING)
    slot.alpha = 0.5
