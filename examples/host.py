"""Hosts: networks with slots; and a small convolutional one, with three blocks and a slot behind each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from examples.slots import SeedSlot


class Host(nn.Module):
    """A network with slots in it.

    Attributes:
        seed_slots: The slots by name, from input to output.
    """

    seed_slots: nn.ModuleDict

    def slots(self) -> list[SeedSlot]:
        """The slots, from input to output."""
        return [cast("SeedSlot", slot) for slot in self.seed_slots.values()]

    def host_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the host without those of seed modules."""
        for module in self.children():
            if module is not self.seed_slots:
                yield from module.parameters()


class ConvHost(Host):
    """Classifies images (n, 3, 32, 32); each block doubles the channels and halves the sides.

    Args:
        width: Channels of the first block, a multiple of 4.
        classes: Number of classes.
        blend_epochs: Epochs that its slots blend a seed module in.

    Attributes:
        seed_slots: The slots `early` (width x 16 x 16), `mid` and `late` (4 width x 4 x 4).
    """

    def __init__(self, width: int = 8, classes: int = 10, blend_epochs: int = 5) -> None:
        super().__init__()
        channels = (3, width, 2 * width, 4 * width)
        self.blocks = nn.ModuleList(block(before, after) for before, after in pairwise(channels))
        names = ("early", "mid", "late")
        self.seed_slots = nn.ModuleDict({n: SeedSlot(n, c, blend_epochs) for n, c in zip(names, channels[1:], strict=True)})
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes)."""
        x = images
        for host_block, slot in zip(self.blocks, self.slots(), strict=True):
            x = slot(host_block(x))
        logits: Tensor = self.head(x)
        return logits


def block(before: int, after: int) -> nn.Module:
    """Convolution, group normalisation (no batch statistics: they would tie validation to training), pooling."""
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(4, after), nn.ReLU(), nn.MaxPool2d(2))
