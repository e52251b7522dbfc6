"""A host of fully connected layers: three slots, of which the first sees the raw input."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from examples.host import Host
from examples.slots import SeedSlot


class PerceptronHost(Host):
    """Classifies flat inputs (n, features) through two narrow layers.

    Args:
        features: Numbers in an input.
        width: Units of both layers.
        classes: Number of classes.
        blend_epochs: Epochs that its slots blend a seed module in.

    Attributes:
        seed_slots: The slots `early`, on the input; `mid` and `late`, each behind a layer.
    """

    def __init__(self, features: int, width: int = 8, classes: int = 10, blend_epochs: int = 2) -> None:
        super().__init__()
        widths = (features, width, width)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(before, after), nn.ReLU()) for before, after in pairwise(widths))
        names = ("early", "mid", "late")
        self.seed_slots = nn.ModuleDict({n: SeedSlot(n, w, blend_epochs) for n, w in zip(names, widths, strict=True)})
        self.head = nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, classes)."""
        first, *others = self.slots()
        x = first(inputs)
        for layer, slot in zip(self.layers, others, strict=True):
            x = slot(layer(x))
        logits: Tensor = self.head(x)
        return logits
