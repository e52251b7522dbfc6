"""A policy in training: update after update, each decision logged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Generator

import karn_wandb
from examples.policy import checkpoint
from examples.policy.journal import snapshots
from examples.policy.ppo import Learner, Learnt
from examples.policy.rollout import Decision, Learned, play, random_numbers, returns
from examples.policy.setting import Setting


def learn(
    run: karn_wandb.Run, setting: Setting, learner: Learner, path: Path | None, on_update: Callable[[int, float], None]
) -> None:
    """Train the policy, from its checkpoint if there is one, and log each decision and each update."""
    generator = Generator().manual_seed(setting.seed)
    if path is not None and path.exists():
        checkpoint.load(path, learner, generator)
    run.wandb.define_metric("training/*", step_metric="training/episodes")
    while learner.updates < learner.ppo.updates:
        decisions, learnt = improve(setting, learner, generator)
        for _, decision in snapshots(decisions, advantages=learnt.advantages, update=learnt.update):
            run.log_decision(decision)
        run.log_ppo_update(learnt.update)
        reached = float(returns(decisions).mean())
        run.wandb.log({"training/episodes": learner.updates * learner.ppo.episodes, "training/return": reached})
        if path is not None:
            checkpoint.save(path, learner, generator)
        on_update(learner.updates, reached)


def improve(setting: Setting, learner: Learner, generator: Generator) -> tuple[list[Decision], Learnt]:
    """One update: train hosts that no update has had before, and learn from what was decided for them."""
    episodes = learner.ppo.episodes
    hosts = [setting.host(learner.updates * episodes + i) for i in range(episodes)]
    policy = Learned(learner.network)
    policy.begin(episodes)
    decisions = play(hosts, policy, random_numbers(setting.recipe.epochs, episodes, generator))
    return decisions, learner.learn(decisions)
