"""A slot: a place in a host where a seed module may live, from germination to fossil or compost.

How a seed module learns at alpha 0. While it is TRAINING it must get a gradient, and the host must notice nothing.
The value that passes through is x, bit for bit, and x receives the gradient g it would receive without the slot;
`detach` keeps the seed module from asking the host to help. The seed module's output s receives g too, as if it had
been used (a straight-through estimator; Bengio, Léonard and Courville, 2013), so it learns which change of x would
lower the loss. But g is taken at s = x and never says "enough", so a pull back to x is added that balances it where
||s - x|| = REACH * ||x||. That makes the isolated seed module one step of functional gradient descent, of limited
length, as in boosting (Friedman, "Greedy Function Approximation", 2001). Without the pull, three epochs were enough to
cost 27 to 33 points when a conv_heavy was switched fully on; with it, less than one (random seed 100).

From BLENDING on, the output is x + alpha * (seed(x) - x) and both sides learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from karn_wandb.records import OCCUPIED, SeedStage, check_transition


def linear(fraction: float) -> float:
    """Alpha after this fraction of the blending."""
    return fraction


def cosine(fraction: float) -> float:
    """Alpha after this fraction of the blending, with a slow start and a slow end."""
    return (1 - math.cos(math.pi * fraction)) / 2


CURVES: Mapping[str, Callable[[float], float]] = MappingProxyType({"linear": linear, "cosine": cosine})


REACH = 0.2
"""Size of an isolated seed module's change, relative to what it changes."""


class Isolated(torch.autograd.Function):
    """The value of x, and a gradient for s that lets it learn without being used."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor) -> Tensor:
        """X, unchanged."""
        ctx.save_for_backward(x, s)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor]:
        """For x the gradient as it is; for s the same, with a pull back to x."""
        (x, s), g = ctx.saved_tensors, grads[0]
        size = (REACH * x.norm()).clamp_min(torch.finfo(x.dtype).tiny)
        return g, g + (s - x) * (g.norm() / size)


class SeedSlot(nn.Module):
    """Blends the seed module it holds into what passes through; without one it is the identity.

    Args:
        slot_id: Its name, such as "early".
        channels: Channels of what passes through.
        blend_epochs: Epochs from alpha 0 to alpha 1.
        curve: "linear" or "cosine".

    Attributes:
        stage: Where in its life the seed module is.
        alpha: How much of it is blended in, 0 to 1.
        seed: The seed module, None when the slot is empty.
        seed_id: Its name: the slot's with a count of germinations.
        blueprint_id: Its kind.
        epochs_in_stage: Epochs begun in this stage.
    """

    def __init__(self, slot_id: str, channels: int, blend_epochs: int = 5, curve: str = "cosine") -> None:
        super().__init__()
        self.slot_id = slot_id
        self.channels = channels
        self.blend_epochs = blend_epochs
        self.curve = CURVES[curve]
        self.stage = SeedStage.DORMANT
        self.alpha = 0.0
        self.seed: nn.Module | None = None
        self.seed_id: str | None = None
        self.blueprint_id: str | None = None
        self.epochs_in_stage = 0
        self.germinations = 0
        self._forced: float | None = None

    def forward(self, x: Tensor) -> Tensor:
        """What passes through (n, channels, height, width), with the seed module blended in."""
        alpha = self.alpha if self._forced is None else self._forced
        if self.seed is None:
            return x
        return x if alpha == 0 else torch.lerp(x, self.seed(x), alpha)

    @contextmanager
    def force_alpha(self, alpha: float) -> Iterator[None]:
        """Use this alpha inside the `with` block, whatever the stage; such blocks may be nested."""
        before, self._forced = self._forced, alpha
        try:
            yield
        finally:
            self._forced = before

    def germinate(self, blueprint_id: str, seed: nn.Module) -> None:
        """Put a new seed module into the empty slot."""
        self.enter(SeedStage.GERMINATED)
        self.germinations += 1
        self.seed, self.blueprint_id, self.seed_id = seed, blueprint_id, f"{self.slot_id}-{self.germinations}"

    def enter(self, stage: SeedStage) -> None:
        """Go on to the next stage.

        Raises:
            karn_wandb.KarnError: That stage cannot follow the present one.
        """
        check_transition(self.slot_id, self.stage, stage)
        self.stage, self.epochs_in_stage = stage, 0
        self.alpha = 1.0 if stage in (SeedStage.HOLDING, SeedStage.FOSSILIZED) else 0.0
        if stage not in OCCUPIED:
            self.seed = self.seed_id = self.blueprint_id = None

    def begin_epoch(self) -> None:
        """Count the epoch; while BLENDING, take alpha one step further along its curve."""
        self.epochs_in_stage += 1
        if self.stage is SeedStage.BLENDING:
            self.alpha = self.curve(min(1.0, self.epochs_in_stage / self.blend_epochs))
