"""One attempt at a run of a local sweep: its folder, its environment, its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from karn_wandb.sweeps import guard
from karn_wandb.sweeps.command import command_line
from karn_wandb.sweeps.file import SweepFile
from karn_wandb.sweeps.journal import SweepRun
from karn_wandb.swept import FOLDER, READS

OUTPUT = "output.log"
LAST_LINES = 5
_NOT_HANDED_ON = ("WANDB_SWEEP_ID", "WANDB_SERVICE", "WANDB_RUN_ID", "WANDB_NAME", "WANDB_RESUME")


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a sweep's runs are run.

    Attributes:
        folder: The sweep's.
        environ: The environment that runs inherit.
        grace: Seconds between SIGTERM and SIGKILL for a run that is to end.
        threads: Threads of OpenMP for each run, unless the environment says otherwise.
        lock: File descriptor of the sweep's lock.
    """

    folder: Path
    environ: Mapping[str, str]
    grace: float
    threads: int
    lock: int

    @property
    def reads(self) -> Path:
        """Where runs say what they take."""
        return self.folder / "reads"

    def of(self, run_id: str) -> Path:
        """The folder of an attempt."""
        return self.folder / "runs" / run_id

    def set_aside(self, run_id: str) -> None:
        """Take an attempt that was interrupted from among the runs; what it logged stays."""
        if self.of(run_id).exists():
            aside = self.folder / "superseded"
            aside.mkdir(exist_ok=True)
            self.of(run_id).rename(aside / run_id)
        (self.reads / f"{run_id}.json").unlink(missing_ok=True)


@dataclass(slots=True)
class Attempt:
    """A process that runs.

    Attributes:
        run: The run it is of.
        folder: Its folder.
        process: The guard of its processes.
        stopping: Why it was asked to end; "" when it was not.
    """

    run: SweepRun
    folder: Path
    process: subprocess.Popen[bytes]
    stopping: str = field(default="")

    def stop(self, why: str) -> None:
        """Ask it to end; it is not waited for."""
        if not self.stopping and self.process.stdin is not None:
            self.stopping = why
            with contextlib.suppress(OSError):
                self.process.stdin.write(b"s")
                self.process.stdin.flush()

    def let_go(self) -> None:
        """Tell the guard that the sweep ends; the run is interrupted."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def close(self) -> None:
        """After its end: close the pipe; if the guard itself was killed, end what it left."""
        self.let_go()
        if not (self.folder / guard.EXIT_NAME).exists():
            with contextlib.suppress(OSError, ValueError):
                os.killpg(int((self.folder / guard.PID_NAME).read_text()), signal.SIGKILL)


def begin(file: SweepFile, run: SweepRun, place: Place) -> Attempt:
    """Start a run whose attempt has its id.

    Raises:
        SweepError: The file's command cannot be made.
    """
    folder = place.of(run.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    json_file = folder / "args.json"
    json_file.write_text(json.dumps(run.parameters), encoding="utf-8")
    swept: dict[str, Any] = {"wandb_version": 1, **{name: {"value": value} for name, value in run.parameters.items()}}
    parameter_file = folder / "parameters.yaml"
    parameter_file.write_text(yaml.safe_dump(swept, sort_keys=False, allow_unicode=True), encoding="utf-8")
    command = command_line(
        file.command,
        run.parameters,
        program=file.program,
        interpreter=sys.executable,
        json_file=json_file,
        environ=place.environ,
    )
    guarded = [sys.executable, "-I", "-S", guard.__file__, str(folder), str(place.grace), str(place.lock), *command]
    with (folder / OUTPUT).open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- the command is the sweep file's, which the user asked to run
            guarded,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(file, run.run_id, folder, parameter_file, place),
            start_new_session=True,
            pass_fds=(place.lock,),
        )
    return Attempt(run, folder, process)


def _environment(file: SweepFile, run_id: str, folder: Path, parameter_file: Path, place: Place) -> dict[str, str]:
    """W&B offline, in the run's folder, with the sweep's values; no sweep id, which a later `wandb sync` would look for."""
    inherited = {name: value for name, value in place.environ.items() if name not in _NOT_HANDED_ON}
    ours = {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(folder),
        "WANDB_DATA_DIR": str(folder / "data"),
        "WANDB_RUN_ID": run_id,
        "WANDB_SWEEP_PARAM_PATH": str(parameter_file),
        FOLDER: str(folder),
        READS: str(place.reads),
        "PYTHONUNBUFFERED": "1",  # the last lines of a run that is killed are the ones that matter
    }
    group = file.name or file.path.stem
    named = {"WANDB_PROJECT": file.project, "WANDB_ENTITY": file.entity, "WANDB_RUN_GROUP": group}
    unless_said = {name: value for name, value in {**named, "OMP_NUM_THREADS": str(place.threads)}.items() if value}
    return {**unless_said, **inherited, **ours}


def ending(folder: Path) -> tuple[int, str] | None:
    """How an attempt ended: its exit code, and why it was asked to end; None when nothing says so."""
    try:
        found = json.loads((folder / guard.EXIT_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return int(found["code"]), str(found["asked"])


def last_lines(folder: Path, lines: int = LAST_LINES) -> str:
    """The end of what a run has written."""
    try:
        with (folder / OUTPUT).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 4096, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
