"""Training processes that tests start, listen to and kill; what they run is `killed_training`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from karn_wandb.records import EpochSnapshot, TelemetryEvent

TESTS = Path(__file__).parent
PATH = os.pathsep.join([str(TESTS.parent), str(TESTS)])
"""Where a program that is started finds the package, and what tests share."""


@contextmanager
def training(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """A training process, in a process group of its own together with its wandb-core.

    Args:
        folder: Where its run is written, made when it is not there.
        arguments: Further arguments of `killed_training`.
        environment: Its environment; this process's when None.
    """
    folder.mkdir(exist_ok=True)
    environment = {**(os.environ if environment is None else environment)}
    environment.pop("WANDB_SERVICE", None)  # a wandb-core of its own
    environment["PYTHONPATH"] = PATH
    command = [sys.executable, str(TESTS / "killed_training.py"), str(folder), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        end(process, signal.SIGKILL)
        process.stdout.close()
        process.stderr.close()


def end(process: subprocess.Popen, how: signal.Signals, *, group: bool = True) -> list[str]:
    """End it, and all it started; what it had said since."""
    try:
        (os.killpg if group else os.kill)(process.pid, how)
    except ProcessLookupError:
        return []
    said = process.stdout.readlines() if not process.stdout.closed else []
    process.wait(60)
    return said


def core_of(process: subprocess.Popen) -> int:
    """The wandb-core that a process started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            name, _, rest = stat.read_text().rpartition(")")
            if "wandb-core" in name and int(rest.split()[1]) == process.pid:
                return int(stat.parent.name)
    raise AssertionError("the process has no wandb-core")


def epochs_said(lines: Iterable[str]) -> list[int]:
    """The epochs that `log_epoch` returned from."""
    return [int(line.split()[1]) for line in lines if line.startswith("epoch") and line.endswith("\n")]


def epochs_of(events: Iterable[TelemetryEvent]) -> list[int]:
    """The epochs that were logged."""
    return [event.data.epoch for event in events if isinstance(event.data, EpochSnapshot)]


@contextmanager
def small_disk(mounted: Path, megabytes: int = 1) -> Iterator[Path]:
    """A disk of some MiB at a path; the test is skipped where none can be mounted."""
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mounted)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)
