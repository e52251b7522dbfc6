"""The episode context, captured from the process: git, seeds, versions."""

from __future__ import annotations

import platform
import subprocess
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from karn_wandb.capture.model import AttachedModel, slot_width
from karn_wandb.records import EpisodeContext, utc_now

LIBRARIES = ("karn-wandb", "torch", "numpy", "wandb")
GIT_SECONDS = 10


def capture_episode(
    model: nn.Module | None = None,
    *,
    base_seed: int | None = None,
    task_type: str = "",
    max_epochs: int = 0,
    host_architecture: str = "",
    slot_config: Mapping[str, int] | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    data_hash: str = "",
    episode_id: str | None = None,
    repository: str | Path = ".",
) -> EpisodeContext:
    """Capture what is needed to reproduce an episode, before it starts.

    Args:
        model: The host with its slots; gives parameter count, architecture name and slots unless they are given.
        base_seed: Master random seed; PyTorch's initial seed when None.
        task_type: "classification", "lm" or your own word.
        max_epochs: Epochs planned; 0 when unknown.
        host_architecture: Name of the host; the model's class name when empty.
        slot_config: Width of each slot; the model's slots when None, with 0 where a slot does not say its width.
        hyperparameters: Learning rate, batch size and the like.
        data_hash: SHA-256 of the training data.
        episode_id: Unique name; a new UUID when None.
        repository: Folder whose git commit is recorded.

    Returns:
        The context. NumPy's seed is the first word of the legacy generator's state, which is the seed itself right
        after `np.random.seed`; a program that passes generators should take its seeds from `base_seed`.
    """
    attached = None if model is None else AttachedModel(model)
    widths = {} if attached is None else {slot_id: slot_width(slot) for slot_id, slot in attached.slots.items()}
    torch_seed = torch.initial_seed()
    return EpisodeContext(
        episode_id=episode_id or str(uuid.uuid4()),
        timestamp=utc_now(),
        git_commit=git_commit(Path(repository)),
        base_seed=torch_seed if base_seed is None else base_seed,
        torch_seed=torch_seed,
        numpy_seed=numpy_seed(),
        host_architecture=host_architecture or (type(model).__name__ if model is not None else ""),
        host_params=0 if attached is None else attached.parameter_counts()["host_params"],
        slot_config=dict(slot_config) if slot_config is not None else widths,
        max_epochs=max_epochs,
        task_type=task_type,
        hyperparameters=dict(hyperparameters or {}),
        python_version=platform.python_version(),
        library_versions=library_versions(),
        data_hash=data_hash,
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )


def git_commit(folder: Path) -> str:
    """Full hash of the folder's commit, "-dirty" behind it when tracked files have changes; "" outside git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return ""
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 -- a fixed program with fixed arguments
            ["git", "-C", str(folder), *arguments],  # noqa: S607 -- whichever git the user has
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def numpy_seed() -> int:
    """First word of the state of NumPy's legacy generator."""
    state = np.random.get_state(legacy=False)  # noqa: NPY002 -- what is captured is the legacy generator
    return int(state["state"]["key"][0])


def library_versions() -> dict[str, str]:
    """Versions of the libraries that numbers depend on, of those that are installed."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
