"""Proximal policy optimisation (Schulman et al., 2017) of a recurrent policy with factored actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from examples.policy.actions import HEADS, Legal, stacked
from examples.policy.network import PolicyNetwork, Seen
from examples.policy.rollout import Decision
from karn_wandb import PPOUpdate
from karn_wandb.capture import ppo_update


@dataclass(frozen=True, slots=True)
class PPO:
    """How the policy learns.

    Attributes:
        updates: Updates of the policy.
        episodes: Episodes in each, side by side.
        passes: Passes over them, at most.
        lr: Learning rate of Adam at first; it falls linearly to 0.
        clip: Ratios beyond 1 - clip and 1 + clip earn nothing more.
        max_kl: KL(old || new), nats, beyond which no further pass is made.
        entropy: Weight of the entropy at first; it falls linearly to 0.
        value: Weight of the critic's loss.
        discount: Of later rewards; 1 where episodes are short and all of one length.
        trace: Lambda of the advantages (Schulman et al., "High-dimensional continuous control using generalized advantage
            estimation", 2016).
        max_grad_norm: L2 norm that gradients are clipped to.
    """

    updates: int = 40
    episodes: int = 16
    passes: int = 6
    lr: float = 3e-3
    clip: float = 0.2
    max_kl: float = 0.05
    entropy: float = 0.02
    value: float = 0.5
    discount: float = 1.0
    trace: float = 0.95
    max_grad_norm: float = 0.5


@dataclass(frozen=True, slots=True)
class Learnt:
    """What an update gave.

    Attributes:
        update: Its statistics.
        advantages: Of each decision (t, n), before they were normalised.
    """

    update: PPOUpdate
    advantages: Tensor


class Learner:
    """Improves a policy network, update by update.

    Args:
        network: The network.
        ppo: How.
    """

    def __init__(self, network: PolicyNetwork, ppo: PPO) -> None:
        self.network, self.ppo = network, ppo
        self.optimizer = torch.optim.Adam(network.parameters(), lr=ppo.lr, eps=1e-5)
        self.updates = 0

    @property
    def left(self) -> float:
        """Fraction of the updates still to come, from 1 to 0: what learning rate and entropy's weight fall with."""
        return 1 - self.updates / self.ppo.updates

    def learn(self, decisions: Sequence[Decision]) -> Learnt:
        """Improve the policy by episodes that it has just played, decision by decision."""
        ppo, batch = self.ppo, _batch(decisions)
        advantages = generalized_advantages(batch.rewards, batch.values, ppo.discount, ppo.trace)
        returns = advantages + batch.values
        normalised = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        learning_rate = ppo.lr * self.left
        for passes in range(1, ppo.passes + 1):  # noqa: B007 -- how many were made is logged
            losses = self._losses(batch, normalised, returns)
            self.optimizer.zero_grad()
            (losses.policy + ppo.value * losses.value - ppo.entropy * self.left * losses.entropy).backward()
            grad_norm = nn.utils.clip_grad_norm_(self.network.parameters(), ppo.max_grad_norm)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate
            self.optimizer.step()
            with torch.no_grad():
                after = self._seen(batch)
            log_probs = after.actions.log_probs(batch.chosen)
            log_ratio = _joint(log_probs) - _joint(batch.log_probs)
            if (log_ratio.expm1() - log_ratio).mean() > ppo.max_kl:
                break
        self.updates += 1
        update = ppo_update(
            advantages=normalised,
            returns=returns,
            values=batch.values,
            log_probs=log_probs,
            old_log_probs=batch.log_probs,
            entropy=after.actions.entropies(),
            clip_eps=ppo.clip,
            hidden=batch.hidden,
            cell=batch.cell,
            policy_loss=losses.policy,
            value_loss=losses.value,
            grad_norm=grad_norm,
            learning_rate=learning_rate,
            ppo_epochs=passes,
        )
        return Learnt(update, advantages)

    def _seen(self, batch: _Batch) -> Seen:
        return self.network(batch.observations, batch.legal, self.network.start(batch.rewards.shape[1]))

    def _losses(self, batch: _Batch, advantages: Tensor, returns: Tensor) -> _Losses:
        seen = self._seen(batch)
        ratio = (_joint(seen.actions.log_probs(batch.chosen)) - _joint(batch.log_probs)).exp()
        clipped = ratio.clamp(1 - self.ppo.clip, 1 + self.ppo.clip)
        return _Losses(
            policy=-torch.minimum(advantages * ratio, advantages * clipped).mean(),
            value=(seen.values - returns).square().mean(),
            entropy=_joint(seen.actions.entropies()).mean(),
        )


def generalized_advantages(rewards: Tensor, values: Tensor, discount: float, trace: float) -> Tensor:
    """Generalized advantage estimates (t, n) of episodes that end after the last step (Schulman et al., 2016, equation 16).

    Args:
        rewards: (t, n).
        values: What the critic expected at each decision, (t, n).
        discount: Gamma, 0 to 1.
        trace: Lambda, 0 to 1: 0 trusts the critic, 1 the rewards.
    """
    advantages = torch.zeros_like(rewards)
    after, ahead = torch.zeros_like(rewards[0]), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        ahead = rewards[t] + discount * after - values[t] + discount * trace * ahead
        advantages[t], after = ahead, values[t]
    return advantages


class _Losses(NamedTuple):
    policy: Tensor
    value: Tensor
    entropy: Tensor


class _Batch(NamedTuple):
    """Decisions as tensors, (t, n) in front."""

    observations: Tensor
    legal: Legal
    chosen: Tensor
    log_probs: dict[str, Tensor]
    values: Tensor
    rewards: Tensor
    hidden: Tensor
    cell: Tensor


def _batch(decisions: Sequence[Decision]) -> _Batch:
    drawn = [decision.choice.drawn for decision in decisions if decision.choice.drawn is not None]
    thought = [decision.choice.thought for decision in decisions if decision.choice.thought is not None]
    return _Batch(
        observations=torch.stack([decision.observations for decision in decisions]),
        legal=stacked([decision.legal for decision in decisions]),
        chosen=torch.stack([choice.chosen for choice in drawn]),
        log_probs={head: torch.stack([choice.log_probs[head] for choice in drawn]) for head in HEADS},
        values=torch.stack([one.values for one in thought]),
        rewards=torch.stack([decision.rewards for decision in decisions]),
        hidden=torch.stack([one.hidden for one in thought]),
        cell=torch.stack([one.cell for one in thought]),
    )


def _joint(by_head: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(tuple(by_head.values())).sum(dim=0)
