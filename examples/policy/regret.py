"""What would have come of the heuristic's action? The same episode once more, with that one action in place of the policy's.

Everything random is the same both times (common random numbers): the host's weights and batches follow from its random seed,
and the policy's later draws use the numbers that they used the first time. So what differs is what the one action did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Generator, Tensor

from examples.policy.actions import Legal
from examples.policy.environment import Growth
from examples.policy.network import PolicyNetwork
from examples.policy.rollout import Choice, Decision, Learned, play, returns
from karn_wandb.analysis import agree

Place = tuple[int, int]
"""Decision and episode."""


class Deviating(Learned):
    """The policy, but for one decision of each episode, at which it does what the heuristic would.

    Args:
        network: The policy.
        at: The decision, by episode.
    """

    def __init__(self, network: PolicyNetwork, at: Sequence[int]) -> None:
        super().__init__(network)
        self.at = at
        self.decision = 0

    def choose(self, environments: Sequence[Growth], legal: Legal, uniforms: Tensor) -> Choice:
        """As the policy, or as the heuristic."""
        choice = super().choose(environments, legal, uniforms)
        shadows = [environment.shadow.action for environment in environments]
        now = [at == self.decision for at in self.at]
        self.decision += 1
        actions = zip(choice.actions, shadows, now, strict=True)
        return choice._replace(actions=tuple(shadow if here else own for own, shadow, here in actions))


def disagreements(decisions: Sequence[Decision]) -> list[Place]:
    """Where policy and heuristic differ, in the heads that the heuristic filled."""
    return [
        (t, i)
        for t, decision in enumerate(decisions)
        for i, (action, shadow) in enumerate(zip(decision.choice.actions, decision.shadows, strict=True))
        if not agree(action, shadow.action)
    ]


def sampled(places: Sequence[Place], most: int, generator: Generator) -> list[Place]:
    """At most so many of them, each equally likely, in their order."""
    order = torch.randperm(len(places), generator=generator)[:most]
    return [places[index] for index in sorted(order.tolist())]


def regrets(
    network: PolicyNetwork,
    host: Callable[[int], Growth],
    decisions: Sequence[Decision],
    uniforms: Tensor,
    places: Sequence[Place],
) -> Mapping[Place, float]:
    """Return with the heuristic's action minus return with the policy's, by place, in reward units.

    Positive where the heuristic's action would have been better, the policy deciding before and after.

    Args:
        network: The policy that decided.
        host: Makes the host of an episode anew.
        decisions: What it did.
        uniforms: The random numbers it used, (t, n, heads).
        places: Which decisions are asked about.

    Raises:
        RuntimeError: An episode did not repeat up to its decision, so that the two are no pair.
    """
    if not places:
        return {}
    at, episodes = [t for t, _ in places], [i for _, i in places]
    deviating = Deviating(network, at)
    deviating.begin(len(places))
    again = play([host(i) for i in episodes], deviating, uniforms[:, episodes])
    for column, (t, i) in enumerate(places):
        if any(again[s].rewards[column] != decisions[s].rewards[i] for s in range(t)):
            raise RuntimeError(f"episode {i} did not repeat: its rewards before decision {t} are not the same")
    differences = returns(again) - returns(decisions)[episodes]
    return dict(zip(places, differences.tolist(), strict=True))
