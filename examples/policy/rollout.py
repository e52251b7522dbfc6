"""Episodes side by side: at each decision all controllers choose at once, then each host trains an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from examples.policy.actions import BLENDS, HEADS, Legal, stacked
from examples.policy.distribution import Factored
from examples.policy.environment import Growth, Shadow, Step
from examples.policy.network import Hidden, PolicyNetwork
from examples.policy.reward import total
from karn_wandb import FactoredAction


class Drawn(NamedTuple):
    """What was drawn for n environments.

    Attributes:
        chosen: Indices (n, heads).
        log_probs: Log-probability by head, each (n,), nats.
        entropies: Entropy by head, each (n,), nats.
    """

    chosen: Tensor
    log_probs: dict[str, Tensor]
    entropies: dict[str, Tensor]


class Thought(NamedTuple):
    """What a policy network thought of n environments.

    Attributes:
        values: What the critic expects of the rest, (n,).
        hidden: h of the LSTM, (n, units).
        cell: c of the LSTM, (n, units).
    """

    values: Tensor
    hidden: Tensor
    cell: Tensor


class Choice(NamedTuple):
    """What a controller chose for n environments.

    Attributes:
        actions: The actions.
        drawn: How, of a controller that draws.
        thought: What was thought, of a network.
    """

    actions: tuple[FactoredAction, ...]
    drawn: Drawn | None = None
    thought: Thought | None = None


class Controller(Protocol):
    """Decides for environments that go side by side."""

    def begin(self, episodes: int) -> None:
        """New episodes begin."""

    def choose(self, environments: Sequence[Growth], legal: Legal, uniforms: Tensor) -> Choice:
        """Decide.

        Args:
            environments: What is decided for.
            legal: Their masks.
            uniforms: Uniform random numbers (n, heads): all that may be random.
        """


class Waiting:
    """Never does anything: the host alone."""

    def begin(self, episodes: int) -> None:
        """Nothing is remembered."""

    def choose(self, environments: Sequence[Growth], legal: Legal, uniforms: Tensor) -> Choice:  # noqa: ARG002 -- the protocol's
        """Wait."""
        return Choice(tuple(FactoredAction(op="WAIT") for _ in environments))


class RuleBased:
    """Does what the heuristic asks for, one thing an epoch."""

    def begin(self, episodes: int) -> None:
        """What the heuristic remembers is in the environments."""

    def choose(self, environments: Sequence[Growth], legal: Legal, uniforms: Tensor) -> Choice:  # noqa: ARG002 -- the protocol's
        """Ask the heuristic."""
        return Choice(tuple(environment.shadow.action for environment in environments))


class Uniform:
    """Chooses among the legal ops equally often, then among the slots, then among blueprints or blends."""

    def begin(self, episodes: int) -> None:
        """Nothing is remembered."""

    def choose(self, environments: Sequence[Growth], legal: Legal, uniforms: Tensor) -> Choice:
        """Draw."""
        flat = {head: torch.zeros(mask.shape) for head, mask in zip(Legal._fields, legal, strict=True)}
        blend = torch.zeros(*legal.blueprint.shape[:-1], len(BLENDS))
        return _choice(Factored(**flat, blend=blend, legal=legal), environments, uniforms)


class Learned:
    """Draws from a policy network.

    Args:
        network: The network.
    """

    def __init__(self, network: PolicyNetwork) -> None:
        self.network = network
        self.hidden: Hidden = network.start(0)

    def begin(self, episodes: int) -> None:
        """Forget."""
        self.hidden = self.network.start(episodes)

    @torch.no_grad()
    def choose(self, environments: Sequence[Growth], legal: Legal, uniforms: Tensor) -> Choice:
        """Draw, and say what was thought."""
        observations = torch.stack([environment.observation() for environment in environments])
        ahead = Legal(*(mask.unsqueeze(0) for mask in legal))
        seen = self.network(observations.unsqueeze(0), ahead, self.hidden)
        self.hidden = seen.hidden
        logits = {head: getattr(seen.actions, head).squeeze(0) for head in HEADS}
        choice = _choice(Factored(**logits, legal=legal), environments, uniforms)
        return choice._replace(thought=Thought(seen.values.squeeze(0), *(state.squeeze(0) for state in seen.hidden)))


def _choice(actions: Factored, environments: Sequence[Growth], uniforms: Tensor) -> Choice:
    chosen = actions.draw(uniforms)
    named = tuple(environment.space.named(one) for environment, one in zip(environments, chosen, strict=True))
    return Choice(named, Drawn(chosen, actions.log_probs(chosen), actions.entropies()))


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision for all environments, and what came of it.

    Attributes:
        observations: (n, features).
        legal: The masks.
        situations: What it was like, in words, by environment.
        shadows: What the heuristic would have done, by environment.
        choice: What was chosen.
        steps: What came of it, by environment.
        rewards: (n,).
    """

    observations: Tensor
    legal: Legal
    situations: tuple[str, ...]
    shadows: tuple[Shadow, ...]
    choice: Choice
    steps: tuple[Step, ...]
    rewards: Tensor


def play(
    environments: Sequence[Growth],
    controller: Controller,
    uniforms: Tensor,
    train: Callable[[int, Growth, FactoredAction], Step] = lambda _, environment, action: environment.step(action),
) -> list[Decision]:
    """Train all hosts to their end, from wherever they are.

    Args:
        environments: Hosts of one length.
        controller: Decides; `begin` was called for them.
        uniforms: Random numbers for the decisions, (t, n, heads).
        train: Does one step of the i-th environment.
    """
    decisions = []
    for numbers in uniforms:
        observations = torch.stack([environment.observation() for environment in environments])
        legal = stacked([environment.legal() for environment in environments])
        situations = tuple(environment.situation() for environment in environments)
        shadows = tuple(environment.shadow for environment in environments)
        choice = controller.choose(environments, legal, numbers)
        steps = tuple(train(i, e, action) for i, (e, action) in enumerate(zip(environments, choice.actions, strict=True)))
        rewards = torch.tensor([total(step.reward) for step in steps])
        decisions.append(Decision(observations, legal, situations, shadows, choice, steps, rewards))
    return decisions


def returns(decisions: Sequence[Decision]) -> Tensor:
    """Sum of each episode's rewards, (n,)."""
    return torch.stack([decision.rewards for decision in decisions]).sum(dim=0)


def random_numbers(epochs: int, episodes: int, generator: Generator) -> Tensor:
    """All that the decisions of so many episodes need, (t, n, heads)."""
    return torch.rand(epochs, episodes, len(HEADS), generator=generator)
