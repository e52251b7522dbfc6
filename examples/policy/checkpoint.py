"""A policy in training, on the disk: whoever loads it goes on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Generator

from examples.policy.ppo import Learner


def save(path: Path, learner: Learner, generator: Generator) -> None:
    """Keep the policy, its optimizer, its updates and its random numbers; the file is whole at every moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    state = {
        "network": learner.network.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "updates": learner.updates,
        "generator": generator.get_state(),
    }
    torch.save(state, new)
    new.replace(path)


def load(path: Path, learner: Learner, generator: Generator) -> None:
    """Go on from there."""
    state = torch.load(path, weights_only=True)
    learner.network.load_state_dict(state["network"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.updates = state["updates"]
    generator.set_state(state["generator"])
