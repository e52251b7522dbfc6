"""What all controllers of a random seed share: what hosts learn and how, what is rewarded, and which hosts there are."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from examples.dataset import Dataset
from examples.policy.environment import Growth
from examples.policy.network import PolicyNetwork
from examples.policy.reward import Weights
from examples.tasks import Recipe

HOSTS_APART = 1_000_000
"""Random seeds of hosts: those of one policy's training are below it from the next one's."""

UNSEEN = 500_000
"""From here on are hosts that no policy is trained on."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all controllers share.

    Attributes:
        data: What hosts learn.
        recipe: How.
        weights: What the reward is made of.
        seed: Random seed of the policy and of everything drawn for it.
    """

    data: Dataset
    recipe: Recipe
    weights: Weights
    seed: int

    def host(self, number: int) -> Growth:
        """A host at the start of its training."""
        return Growth(self.data, self.recipe, HOSTS_APART * self.seed + number, self.weights)

    def unseen(self, number: int) -> Growth:
        """One that no policy is trained on."""
        return self.host(UNSEEN + number)

    def network(self) -> PolicyNetwork:
        """A policy that has not learned, without a trace in PyTorch's own generator."""
        example = self.host(0)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(self.seed)
            return PolicyNetwork(len(example.observation()), example.space)
