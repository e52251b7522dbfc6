"""What the policy saw, did and got, as records of the package."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from examples.policy.environment import Growth, Shadow, Step
from examples.policy.regret import Place
from examples.policy.rollout import Choice, Decision
from examples.train import evaluate, log_batch
from karn_wandb import FactoredAction, PolicySnapshot, PPOUpdate
from karn_wandb.episode import EpisodeLog


def snapshots(
    decisions: Sequence[Decision],
    *,
    advantages: Tensor | None = None,
    update: PPOUpdate | None = None,
    regrets: Mapping[Place, float] | None = None,
) -> Iterator[tuple[int, PolicySnapshot]]:
    """Every decision as a record, with the number of its episode; episode by episode.

    Args:
        decisions: They.
        advantages: Of each, (t, n); where the policy learned from them.
        update: The newest update when they were made.
        regrets: Of those that were asked about.
    """
    for i in range(len(decisions[0].steps)):
        for t, decision in enumerate(decisions):
            advantage = None if advantages is None else float(advantages[t, i])
            yield i, _snapshot(decision, i, advantage, update, (regrets or {}).get((t, i)))


def _snapshot(
    decision: Decision, i: int, advantage: float | None, update: PPOUpdate | None, regret: float | None
) -> PolicySnapshot:
    choice, shadow = decision.choice, decision.shadows[i]
    drawn, thought = choice.drawn, choice.thought
    return PolicySnapshot(
        observation_vector=tuple(decision.observations[i].tolist()),
        action=choice.actions[i],
        action_log_probs={head: float(by_episode[i]) for head, by_episode in drawn.log_probs.items()} if drawn else {},
        action_was_masked=int(decision.legal.op[i].sum()) == 1,
        value_estimate=float(thought.values[i]) if thought else None,
        advantage=advantage,
        reward_total=float(decision.rewards[i]),
        reward_components=decision.steps[i].reward,
        kl_divergence=update.kl_divergence if update else None,
        explained_variance=update.explained_variance if update else None,
        per_head_kl=update.per_head_kl if update else {},
        advantage_stats=update.advantages if update else None,
        ratio_stats=update.ratios if update else None,
        entropy=sum(float(by_episode[i]) for by_episode in drawn.entropies.values()) if drawn else None,
        heuristic_action=shadow.action,
        regret=regret,
        explanation=explained(decision.situations[i], choice, i, shadow),
    )


def explained(situation: str, choice: Choice, i: int, shadow: Shadow) -> str:
    """A decision in words: what was done and how sure that was, in which situation, and what the heuristic says."""
    told = [in_words(choice.actions[i])]
    if choice.drawn is not None:
        probability = math.exp(sum(float(by_episode[i]) for by_episode in choice.drawn.log_probs.values()))
        told.append(f"with probability {probability:.2f}")
    told.append(situation)
    if choice.thought is not None:
        told.append(f"the critic expects {float(choice.thought.values[i]):+.2f} from here")
    told.append(f"the heuristic says {in_words(shadow.action)}: {shadow.reason}")
    return "; ".join(told)


def in_words(action: FactoredAction) -> str:
    """An action such as "GERMINATE adapter in early"."""
    what = {"GERMINATE": f" {action.blueprint} in", "ADVANCE": ""}.get(action.op, "")
    how = f" ({action.blend})" if action.op == "ADVANCE" and action.blend else ""
    return action.op if action.slot is None else f"{action.op}{what} {action.slot}{how}"


class Recorder:
    """Trains a host a step at a time and logs all of it.

    Args:
        episode: Where to.
        environment: The host.
    """

    def __init__(self, episode: EpisodeLog, environment: Growth) -> None:
        self.episode = episode
        episode.attach(environment.model)
        loss, accuracy = evaluate(environment.model, environment.data.validation)
        episode.log_baseline(initial_loss=loss, initial_accuracy=accuracy)

    def train(self, environment: Growth, action: FactoredAction) -> Step:
        """Do the action, train an epoch, and log batches, changes of stage and the epoch."""
        step = environment.step(action, lambda batch: log_batch(self.episode, batch))
        for change in step.changes:
            self.episode.log_stage(change)
        loss, accuracy = evaluate(environment.model, environment.data.validation)
        self.episode.log_epoch(val_loss=loss, val_accuracy=accuracy)
        return step
