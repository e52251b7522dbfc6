"""Offline W&B runs in a temporary folder, waiting for their sinks, and the tables that are printed."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import wandb

import karn_wandb

DRAIN_SECONDS = 600


@contextmanager
def offline_options() -> Iterator[dict[str, Any]]:
    """Options for `wandb.init` and `karn_wandb.init`: nothing is sent, printed or left behind.

    W&B's sampling of the machine is off: it would run once for each of the runs that are alive side by side.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        places = {f"WANDB_{name}_DIR": str(Path(folder, name.lower())) for name in ("DATA", "CACHE", "CONFIG")}
        places = {name: place for name, place in places.items() if name not in os.environ}
        settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
        with patch.dict(os.environ, places):
            yield {"mode": "offline", "dir": folder, "reinit": "create_new", "settings": settings}


def drain(run: karn_wandb.Run) -> None:
    """Wait until all sinks of a run have everything that was logged.

    Raises:
        RuntimeError: One does not catch up.
    """
    for follower in run.collector.followers:
        if follower.lag and not follower.drain(DRAIN_SECONDS):
            raise RuntimeError(f"the {follower.sink.name} sink did not catch up in {DRAIN_SECONDS} s")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its first column left-aligned, the others right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def setting() -> str:
    """What the numbers were measured with."""
    torch_is, wandb_is = f"torch {torch.__version__} with {torch.get_num_threads()} threads", f"wandb {wandb.__version__}"
    return f"Python {platform.python_version()}, {torch_is}, {wandb_is}, {os.cpu_count()} cores, {platform.machine()}"
