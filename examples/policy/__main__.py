"""Train a controller that grows small hosts, and try it on hosts it has not seen; or try one that need not learn.

    python -m examples.policy --controller policy --seed 0        a policy, trained for some minutes of one core
    python -m examples.policy --controller untrained --seed 0     the same network before it has learned
    python -m examples.policy --controller random --seed 0        draws among what is legal
    python -m examples.policy --controller none --seed 0          always waits: the host alone
    python -m examples.policy --controller heuristic --seed 0     the rules

All controllers of one random seed are tried on the same hosts with the same random numbers. The whole comparison is the sweep
sweeps/policy_vs_heuristic.yaml.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, get_args

import torch

import karn_wandb
from examples.digits import digits
from examples.policy.network import PolicyNetwork
from examples.policy.ppo import PPO, Learner
from examples.policy.reward import Weights
from examples.policy.rollout import Controller, Learned, RuleBased, Uniform, Waiting
from examples.policy.setting import Setting
from examples.policy.training import learn
from examples.policy.trial import tried
from examples.train import Mode, default_mode
from karn_wandb.capture import capture_episode
from karn_wandb.records import PolicyComparisonSummary

Name = Literal["policy", "untrained", "random", "none", "heuristic"]


def controller_of(name: Name, network: PolicyNetwork) -> Controller:
    """The controller of that name."""
    match name:
        case "policy" | "untrained":
            return Learned(network)
        case "random":
            return Uniform()
        case "heuristic":
            return RuleBased()
        case "none":
            return Waiting()


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options given; the process's own by default."""
    ppo, weights = PPO(), Weights()
    made = argparse.ArgumentParser("python -m examples.policy", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--controller", choices=get_args(Name), default="policy", help="who decides")
    made.add_argument("--seed", type=int, default=0, help="random seed of the policy, and of the hosts it is tried on")
    made.add_argument("--updates", type=int, default=ppo.updates, help="updates of the policy")
    made.add_argument("--episodes", type=int, default=ppo.episodes, help="hosts trained for each update")
    made.add_argument("--hosts", type=int, default=16, help="unseen hosts that the controller is tried on")
    made.add_argument("--regrets", type=int, default=32, help="disagreements with the heuristic that are tried both ways")
    made.add_argument("--accuracy", type=float, default=weights.accuracy, help="reward for a point of accuracy")
    made.add_argument("--attribution", type=float, default=weights.attribution, help="reward for a point of removal cost")
    made.add_argument("--rent", type=float, default=weights.rent, help="cost of a doubling of the parameters, an epoch")
    made.add_argument("--shaping", type=float, default=weights.shaping, help="reward for progress from stage to stage")
    made.add_argument("--checkpoint", type=Path, help="file that the policy is kept in, and goes on from")
    made.add_argument("--out", type=Path, default=Path("runs"), help="folder for the offline run")
    made.add_argument("--mode", choices=get_args(Mode), default=default_mode(), help="where W&B logs; an agent's runs are online")
    made.add_argument("--claims", help="file of the hypotheses that the runs are made for, kept in the run")
    return made.parse_args(arguments)


def main() -> None:
    """The command line."""
    options = parsed()
    torch.manual_seed(options.seed)  # nothing draws from it: the contexts of all controllers say the same
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(1)  # everything is small: a second thread would wait for the first
    options.out.mkdir(parents=True, exist_ok=True)
    data = digits()
    weights = Weights(options.accuracy, options.attribution, options.rent, options.shaping)
    setting = Setting(data, data.task.recipe, weights, options.seed)
    ppo = PPO(updates=options.updates, episodes=options.episodes)
    network = setting.network()
    config = {**asdict(ppo), **asdict(weights), "controller": options.controller, "seed": options.seed}
    context = capture_episode(
        network, base_seed=options.seed, task_type="policy", hyperparameters=config, data_hash=data.sha256()
    )
    with karn_wandb.init(
        "growing-policy",
        episode=context,
        config={**config, "hosts": options.hosts, "regrets": options.regrets},
        claims=options.claims,
        name=f"{options.controller}-{options.seed}",
        group="policy",
        mode=options.mode,
        dir=str(options.out),
    ) as run:
        if options.controller == "policy":
            learn(run, setting, Learner(network, ppo), options.checkpoint, _told)
            print(_compared(run.analytics.policy_vs_heuristic()))
        reached = tried(run, setting, controller_of(options.controller, network), options.hosts, options.regrets)
    print(f"{options.controller}, seed {options.seed}: mean return {reached:.2f} on {options.hosts} unseen hosts")


def _compared(seen: PolicyComparisonSummary) -> str:
    """How often the policy did what the heuristic would have done while it trained."""
    if seen.agreement_rate is None or not seen.disagreements:
        return "nothing to compare with the heuristic: no decision was made"
    often = max(seen.disagreements, key=lambda pair: seen.disagreements[pair])
    alike = f"in {100 * seen.agreement_rate:.0f} % of {seen.decisions:,} decisions it did what the heuristic would have done"
    return f"{alike}; most often else {often} ({seen.disagreements[often]:,} times)"


def _told(update: int, reached: float) -> None:
    print(f"update {update}: mean return {reached:.2f}", flush=True)


if __name__ == "__main__":
    main()
