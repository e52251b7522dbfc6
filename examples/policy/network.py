"""The policy network: an LSTM over the decisions of an episode, a head for each choice, and a critic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from examples.policy.actions import BLENDS, OPS, Legal, Space
from examples.policy.distribution import Factored

Hidden = tuple[Tensor, Tensor]
"""h and c of the LSTM, each (1, n, units)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the network says of decisions.

    Attributes:
        actions: The distribution over actions, (t, n) in front.
        values: What the critic expects of the rest of the episode, (t, n).
        hidden: The state after the last.
    """

    actions: Factored
    values: Tensor
    hidden: Hidden


class PolicyNetwork(nn.Module):
    """Recurrent actor and critic.

    Args:
        features: Numbers in an observation.
        space: What may be chosen.
        units: Units of the LSTM.
    """

    def __init__(self, features: int, space: Space, units: int = 64) -> None:
        super().__init__()
        sizes = space.sizes()
        slots = sizes["slot"]
        self.shapes = {
            "op": (len(OPS),),
            "slot": (len(OPS), slots),
            "blueprint": (slots, sizes["blueprint"]),
            "blend": (slots, len(BLENDS)),
        }
        self.units = units
        self.encoder = nn.Sequential(nn.Linear(features, units), nn.Tanh())
        self.lstm = nn.LSTM(units, units)
        self.heads = nn.ModuleDict({head: nn.Linear(units, torch.Size(shape).numel()) for head, shape in self.shapes.items()})
        self.critic = nn.Linear(units, 1)

    def start(self, episodes: int) -> Hidden:
        """The state before the first decision of so many episodes."""
        return torch.zeros(1, episodes, self.units), torch.zeros(1, episodes, self.units)

    def forward(self, observations: Tensor, legal: Legal, hidden: Hidden) -> Seen:
        """What it says of decisions that follow each other.

        Args:
            observations: (t, n, features).
            legal: The masks, (t, n) in front.
            hidden: The state before the first.
        """
        outputs, after = self.lstm(self.encoder(observations), hidden)
        logits = {head: self.heads[head](outputs).unflatten(-1, shape) for head, shape in self.shapes.items()}
        return Seen(Factored(**logits, legal=legal), self.critic(outputs).squeeze(-1), after)
