"""What `init` says of a run: its episode context, its own configuration, its claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karn_wandb._version import __version__
from karn_wandb.errors import UsageError
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
    is_seed = isinstance(seed, Integral) and not isinstance(seed, bool)
    return capture_episode(base_seed=int(seed) if is_seed else None, hyperparameters=config)


def info_of(wandb_run: wandb.Run, config: dict[str, Any], claims: str) -> RunInfo:
    """What the run is called, the user's own part of its configuration, and the text of its claims file."""
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
        claims=claims,
    )


def as_mapping(config: Any) -> dict[str, Any]:
    """The user's config as a mapping; it may be what W&B takes: argparse namespaces, dataclasses, paths of its YAML files.

    Raises:
        UsageError: It is none of these, or the file cannot be read.
    """
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    if is_dataclass(config) and not isinstance(config, type):
        return asdict(config)
    import wandb  # noqa: PLC0415 -- takes seconds

    given = str(config) if isinstance(config, Path) else config
    try:
        from wandb.sdk.wandb_helper import parse_config  # noqa: PLC0415 -- the same

        return dict(parse_config(given))  # type: ignore[no-untyped-call]
    except ImportError:  # it is W&B's own helper, and may be gone one day
        if hasattr(given, "__dict__"):
            return dict(vars(given))
        raise UsageError("config cannot be read with this version of wandb", do="Pass a mapping or a dataclass.") from None
    except (wandb.errors.Error, OSError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            "config cannot be read", got=str(error), do="Pass a mapping, a dataclass, a namespace, or W&B's YAML file."
        ) from None


def text_of(claims: str | Path | None) -> str:
    """Text of a claims file, which is checked; "" without one.

    Raises:
        ClaimsError: It cannot be read, or does not say what a claims file must.
    """
    if claims is None:
        return ""
    from karn_wandb.experiment.claims import read_claims  # noqa: PLC0415 -- loads pandas

    return read_claims(claims).text
