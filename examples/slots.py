"""A slot: a place in a host where a seed module may live, from germination to fossil or compost.

While it is TRAINING, a seed module is isolated: what passes through is x itself, so neither the host's output nor its
gradients change by a bit, and the ordinary loss gives the seed module no gradient. It learns by rehearsal: the trainer
runs the batch once more with the slot forced to alpha 1 and takes the gradient of that loss for the seed module's own
parameters alone. (The original project's slots use a straight-through gradient instead, x + s - s.detach(). It is taken
at s = x and never says "enough": after three epochs of it, switching a conv_heavy fully on cost 27 to 33 points here;
after three of rehearsal 3 at most. Random seed 100, width 8.)

From BLENDING on, the output is x + alpha * (seed(x) - x) and both sides learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

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


class SeedSlot(nn.Module):
    """Blends the seed module it holds into what passes through; without one it is the identity.

    Args:
        slot_id: Its name, such as "early".
        channels: Channels (features) of what passes through.
        blend_epochs: Epochs from alpha 0 to alpha 1.
        curve: "linear" or "cosine".

    Attributes:
        stage: Where in its life the seed module is.
        alpha: How much of it is blended in, 0 to 1.
        seed: The seed module, None when the slot is empty.
        seed_id: Its name: the slot's with a count of germinations. Of one that was pruned, until the slot is DORMANT again.
        blueprint_id: Its kind, for as long.
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
        """What passes through (n, channels, height, width) or (n, t, channels), with the seed module blended in."""
        alpha = self.alpha if self._forced is None else self._forced
        if self.seed is None or alpha == 0:
            return x
        return torch.lerp(x, self.seed(x), alpha)

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
        """Go on to the next stage; from HOLDING back to BLENDING, alpha starts over.

        Raises:
            karn_wandb.KarnError: That stage cannot follow the present one.
        """
        check_transition(self.slot_id, self.stage, stage)
        self.stage, self.epochs_in_stage = stage, 0
        self.alpha = 1.0 if stage in (SeedStage.HOLDING, SeedStage.FOSSILIZED) else 0.0
        if stage not in OCCUPIED:
            self.seed = None
        if stage is SeedStage.DORMANT:
            self.seed_id = self.blueprint_id = None

    def begin_epoch(self) -> None:
        """Count the epoch; while BLENDING, take alpha one step further along its curve."""
        self.epochs_in_stage += 1
        if self.stage is SeedStage.BLENDING:
            self.alpha = self.curve(min(1.0, self.epochs_in_stage / self.blend_epochs))
