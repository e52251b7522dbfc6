"""How this process and its children are made to talk to a service, and to nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .service import Service


@contextmanager
def online(service: Service, folder: Path) -> Iterator[Service]:
    """Point W&B's settings at a service and keep its files in a folder, until the block ends.

    The SDK reads its settings once a process and shares one wandb-core among all runs, so both are given up before and
    after: what runs next, offline too, starts from its own environment.
    """
    import wandb  # takes a second, which tests without W&B need not pay

    wandb.teardown()
    before = _own(dict(os.environ))
    _replace(variables(service, folder))
    try:
        yield service
    finally:
        service.faults.clear()  # or W&B's process waits for ever for a request that hangs
        wandb.teardown()
        _replace(before)


def variables(service: Service, folder: Path) -> dict[str, str]:
    """The environment variables that do it, for a child process."""
    return {
        "WANDB_BASE_URL": service.url,
        "WANDB_API_KEY": service.api_key,
        "WANDB_ENTITY": service.entity,
        "WANDB_MODE": "online",
        "WANDB_DIR": str(folder),
        "WANDB_DATA_DIR": str(folder / "data"),
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WANDB_CONFIG_DIR": str(folder / "config"),
        "WANDB_ARTIFACT_DIR": str(folder / "artifacts"),
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_X_DISABLE_STATS": "true",
        "WANDB_X_DISABLE_META": "true",
        "WANDB_X_FILE_STREAM_RETRY_WAIT_MIN_SECONDS": "1",
        "WANDB_X_GRAPHQL_RETRY_WAIT_MIN_SECONDS": "1",
        "WANDB_X_FILE_TRANSFER_RETRY_WAIT_MIN_SECONDS": "1",
    }


def _own(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("WANDB_")}


def _replace(wanted: dict[str, str]) -> None:
    for name in _own(dict(os.environ)):
        del os.environ[name]
    os.environ.update(wanted)
