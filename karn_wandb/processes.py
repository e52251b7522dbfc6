"""Several processes: which one this is, and what of W&B it is given.

W&B's own words are used: of processes that share a run one is the *primary*, the others are *workers*.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from karn_wandb.errors import KarnWarning, UsageError
from karn_wandb.records import KarnConfig
from karn_wandb.settings import named_by, underlaid

SOURCES = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))
"""Variables of a launcher that say the rank and the number of processes; those of the first pair that is set count."""


def located(karn: KarnConfig, environ: Mapping[str, str]) -> KarnConfig:
    """The configuration with the rank of this process and their number, where there are several.

    What the configuration says counts; then torch.distributed, when it is initialised; then the launcher's variables.
    torch is not imported for it.

    Args:
        karn: As given in code.
        environ: The process's environment: RANK and WORLD_SIZE, or SLURM_PROCID and SLURM_NTASKS.

    Raises:
        UsageError: A variable is no whole number.
        RecordError: The rank is not below the number of processes.
    """
    if karn.rank is not None:
        return karn
    rank, world_size = _of_torch() or _of_launcher(environ) or (0, 1)
    if world_size <= 1:
        return karn
    found = replace(karn, rank=rank, world_size=world_size)
    if rank and karn.processes == "rank0" and not _of_torch() and not set(SOURCES[0]) <= environ.keys():
        warnings.warn(
            f"this is task {rank} of {world_size} by SLURM_PROCID, so it writes nothing: task 0 does. Where each task trains for "
            'itself, say KarnConfig(rank=0, world_size=1), or KarnConfig(processes="group") for a run each.',
            KarnWarning,
            stacklevel=3,
        )
    return found


def _of_torch() -> tuple[int, int] | None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.get_rank(), distributed.get_world_size()


def _of_launcher(environ: Mapping[str, str]) -> tuple[int, int] | None:
    for pair in SOURCES:
        if all(environ.get(name) for name in pair):
            rank, world_size = (_whole(name, environ[name]) for name in pair)
            return rank, world_size
    return None


def _whole(variable: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{variable} must be a whole number", got=repr(text), do="It is the launcher's: unset it where there is none."
        ) from None


def options_of(karn: KarnConfig, options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The options of `wandb.init` for this process.

    Args:
        karn: The configuration, with the rank where there are several processes.
        options: What the user gave `wandb.init`.
        environ: The process's environment, for WANDB_MODE, WANDB_RUN_GROUP, WANDB_RUN_ID and WANDB_NAME.

    Raises:
        UsageError: What the processes must have in common was not given.
    """
    given = dict(options)
    if _imports_main_again():
        return _nothing(given)
    if karn.rank is None or karn.world_size == 1:
        return given
    if karn.processes == "group":
        return _of_group(karn.rank, given, environ)
    if karn.processes == "shared" and _mode(given, environ) in ("online", "shared"):
        return _of_shared(karn.rank, given, environ)
    return given if karn.rank == 0 else _nothing(given)


def is_primary(settings: Any) -> bool:
    """Whether W&B's settings leave a run's config, tables, artifacts and files to this process."""
    named = settings if isinstance(settings, Mapping) else {"x_primary": getattr(settings, "x_primary", True)}
    return bool(named.get("x_primary", True))


def _imports_main_again() -> bool:
    """Whether this is a spawned worker that only imports the program for what it defines, and has not begun its work."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and getattr(process.current_process(), "_inheriting", False)


def _mode(options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    settings = options.get("settings")
    in_settings = dict(settings or {}) if "mode" in named_by(settings) else {}
    return str(options.get("mode") or in_settings.get("mode") or environ.get("WANDB_MODE") or "online")


def _nothing(options: dict[str, Any]) -> dict[str, Any]:
    """A run that does nothing: W&B's own disabled one, which makes no folder either."""
    return {**options, "mode": "disabled", "dir": None}


def _of_group(rank: int, options: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """A run for each rank. Rank 0 keeps the id that was given, such as a sweep's."""
    group = options.get("group") or environ.get("WANDB_RUN_GROUP")
    if not group:
        raise UsageError(
            'processes="group" needs the name of the group', do="Pass the same group= in every process, or set WANDB_RUN_GROUP."
        )
    name, run_id = options.get("name") or environ.get("WANDB_NAME") or group, options.get("id") or environ.get("WANDB_RUN_ID")
    own = {"group": group, "name": f"{name}-rank{rank}", "job_type": options.get("job_type") or _role(rank)}
    return {**options, **own, **({"id": f"{run_id}-rank{rank}"} if run_id and rank else {})}


def _of_shared(rank: int, options: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """One run of all ranks, by W&B's shared mode."""
    if not (options.get("id") or environ.get("WANDB_RUN_ID")):
        raise UsageError(
            'processes="shared" needs the id of the run', do="Pass the same id= in every process, or set WANDB_RUN_ID."
        )
    ours = {"x_primary": rank == 0, "x_update_finish_state": rank == 0, "x_label": f"rank{rank}"}
    return {**options, "mode": "shared", "settings": underlaid(options.get("settings"), ours)}


def _role(rank: int) -> str:
    return "worker" if rank else "primary"
