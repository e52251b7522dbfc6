"""Many runs in files read by several processes, which leave what they read in the cache's folder.

A process is a new interpreter that is told what to read on its standard input and says on its standard output what is done:
unlike `multiprocessing` it neither forks a program that has W&B's or PyTorch's threads in it, nor runs its main module again.
Nothing else is passed: whoever asked reads from the cache, and what is not there (a process was killed, a run cannot be read)
by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from karn_wandb.experiment.runs import RunPaths

WORTH_BYTES = 64 * 2**20
"""Size of the files from which on starting processes takes less time than it spares."""

MOST_PROCESSES = 8

_PROGRAM = "import sys; sys.path[:] = {path!r}; from karn_wandb.experiment.worker import main; main()"


def read_in_processes(folder: Path, runs: Sequence[RunPaths], worth: int = WORTH_BYTES) -> Iterator[str]:
    """Have several processes read runs and keep them, where that pays.

    Args:
        folder: The cache's folder.
        runs: The runs.
        worth: Bytes in their files from which on it pays.

    Yields:
        The name of each run that is done.
    """
    sizes = {run: sum(_size(path) for path in (run.wandb_path, run.log_path)) for run in runs}
    number = min(_processors(), MOST_PROCESSES, len(runs))
    if number < 2 or sum(sizes.values()) < worth or getattr(sys, "frozen", False):
        return
    largest_first = sorted(sizes, key=lambda run: -sizes[run])
    told: SimpleQueue[str | None] = SimpleQueue()
    started: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(number) as pool:
        try:
            for share in range(number):
                with suppress(OSError):  # what it would have read is left to whoever asked
                    started.append(_started(folder))
                    pool.submit(_follow, started[-1], largest_first[share::number], told)
            ended = 0
            while ended < len(started):
                name = told.get()
                if name is None:
                    ended += 1
                else:
                    yield name
        finally:
            for process in started:
                process.kill()


def _started(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROGRAM.format(path=sys.path), str(folder)]
    return subprocess.Popen(  # noqa: S603 -- this interpreter, and code of this module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )


def _follow(process: subprocess.Popen[str], runs: Sequence[RunPaths], told: SimpleQueue[str | None]) -> None:
    """Tell a process what to read, and pass on what it says, None at its end."""
    try:
        with process, suppress(BrokenPipeError):
            if process.stdin and process.stdout:
                files = [[path and str(path) for path in (run.wandb_path, run.log_path)] for run in runs]
                process.stdin.write(json.dumps(files))
                process.stdin.close()
                for line in process.stdout:
                    told.put(json.loads(line))
    finally:
        told.put(None)


def _size(path: Path | None) -> int:
    with suppress(OSError):
        return path.stat().st_size if path else 0
    return 0


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
