"""What is trained while the cost of logging it is measured: small networks with three seed modules half blended in.

Data are random and the learning rate is small, so that every step of every arm computes the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from examples.blueprints import BLUEPRINTS, Residual, zeroed
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
    model = GPT(context, width, heads, blocks)
    for slot in model.slots():
        adapter = (nn.Linear(width, width // 2), nn.GELU(), zeroed(nn.Linear(width // 2, width)))
        blend_in(slot, "adapter", Residual(*adapter))
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


class GPT(nn.Module):
    """A decoder-only transformer with normalisation before each part (Radford et al., GPT-2, 2019).

    Args:
        context: Most tokens it sees.
        width: Features of a token.
        heads: Attention heads of a block.
        blocks: Number of blocks, with the slots `early`, `mid` and `late` behind the last of each third.
    """

    def __init__(self, context: int, width: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(context, width)
        self.thirds = nn.ModuleList(nn.Sequential(*(Block(width, heads) for _ in range(blocks // 3))) for _ in range(3))
        self.seed_slots = nn.ModuleDict({name: SeedSlot(name, width) for name in ("early", "mid", "late")})
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (n, t, vocabulary)."""
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for third, slot in zip(self.thirds, self.seed_slots.values(), strict=True):
            x = slot(third(x))
        return self.head(x)

    def slots(self) -> list[SeedSlot]:
        """The slots, from input to output."""
        return [cast("SeedSlot", slot) for slot in self.seed_slots.values()]


class Block(nn.Module):
    """Causal attention, then a perceptron, each added to what it is given."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.perceptron = Residual(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, t, width) as the block leaves them."""
        parts = self.query_key_value(self.before_attention(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)
        return self.perceptron(x + self.projection(mixed))
