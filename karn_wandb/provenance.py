"""What `init` says of a run: its episode context, its own configuration, the hash of its claims."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karn_wandb._version import __version__
from karn_wandb.errors import ClaimsError
from karn_wandb.records import EpisodeContext, RunInfo
from karn_wandb.schema.config import overlay, with_config

if TYPE_CHECKING:
    import wandb


def context_of(episode: EpisodeContext | None, final: Mapping[str, Any], config: Mapping[str, Any]) -> EpisodeContext:
    """The episode's context as W&B's config has it after init, where a sweep's values win; captured when none is given."""
    if episode is not None:
        read_back = EpisodeContext.from_plain(overlay(episode.to_plain(), final.get("episode", {})))
        return with_config(read_back, config)
    from karn_wandb.capture import capture_episode  # noqa: PLC0415 -- loads torch

    seed = config.get("base_seed", config.get("seed"))
    return capture_episode(base_seed=seed if isinstance(seed, int) else None, hyperparameters=config)


def info_of(wandb_run: wandb.Run, config: dict[str, Any]) -> RunInfo:
    """What the run is called, and the user's own part of its configuration."""
    import wandb  # noqa: PLC0415 -- takes seconds

    return RunInfo(
        run_id=wandb_run.id,
        project=wandb_run.project or "",
        name=wandb_run.name or "",
        group=wandb_run.group or "",
        job_type=wandb_run.job_type or "",
        tags=wandb_run.tags or (),
        config=config,
        karn_version=__version__,
        wandb_version=wandb.__version__,
    )


def as_mapping(config: Any) -> dict[str, Any]:
    """The user's config as a mapping; W&B also takes argparse namespaces, dataclasses and YAML paths."""
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    from wandb.sdk.lib import config_util  # noqa: PLC0415 -- loads wandb

    if isinstance(config, (str, Path)):
        return dict(config_util.dict_from_config_file(str(config)) or {})
    return dict(vars(config))


def hash_of(claims: str | Path | None) -> str:
    """SHA-256 of a claims file; "" without one.

    Raises:
        ClaimsError: It cannot be read.
    """
    if claims is None:
        return ""
    try:
        return hashlib.sha256(Path(claims).read_bytes()).hexdigest()
    except OSError as error:
        raise ClaimsError(f"the claims file {claims} cannot be read", got=str(error), do="Check the path.") from None
