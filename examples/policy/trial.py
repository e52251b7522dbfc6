"""A controller tried on hosts that no policy was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from torch import Generator

import karn_wandb
from examples.policy.journal import Recorder, snapshots
from examples.policy.regret import Place, disagreements, regrets, sampled
from examples.policy.rollout import Controller, Learned, play, random_numbers, returns
from examples.policy.setting import UNSEEN, Setting
from examples.train import matrix
from karn_wandb.capture import capture_episode

EVALUATION = 1
"""Environment of the hosts that a controller is tried on."""


def tried(run: karn_wandb.Run, setting: Setting, controller: Controller, episodes: int, most_regrets: int) -> float:
    """Try a controller on hosts that no policy was trained on, log everything, and give its mean return."""
    generator = Generator().manual_seed(UNSEEN + setting.seed)
    uniforms = random_numbers(setting.recipe.epochs, episodes, generator)
    hosts = [setting.unseen(i) for i in range(episodes)]
    context = capture_episode(
        hosts[0].model,
        task_type=setting.data.task.kind,
        max_epochs=setting.recipe.epochs,
        host_architecture=setting.data.task.architecture,
        hyperparameters=asdict(setting.recipe),
        data_hash=setting.data.sha256(),
    )
    recorders = []
    for i, host in enumerate(hosts):
        own = replace(context, episode_id=f"{run.id}-{i}", base_seed=host.base_seed)
        recorders.append(Recorder(run.episode(EVALUATION, i, own), host))
    controller.begin(episodes)
    decisions = play(hosts, controller, uniforms, lambda i, host, action: recorders[i].train(host, action))
    found: Mapping[Place, float] = {}
    if isinstance(controller, Learned):
        asked = sampled(disagreements(decisions), most_regrets, generator)
        found = regrets(controller.network, setting.unseen, decisions, uniforms, asked)
    for i, decision in snapshots(decisions, regrets=found):
        recorders[i].episode.log_decision(decision)
    for recorder, host in zip(recorders, hosts, strict=True):
        recorder.episode.log_counterfactual(matrix(host.model, setting.data, host.epoch))
        recorder.episode.conclude()
    reached = float(returns(decisions).mean())
    run.summary["evaluation/return"] = reached
    return reached
