"""What checks share: where they run, and the runs that several of them read."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import karn_wandb

from . import logged

if TYPE_CHECKING:
    import wandb

REPOSITORY = Path(__file__).parents[3]


class Bench:
    """A project of a service this process is logged in to. Runs that several checks read are made when first asked for.

    Args:
        entity: Who owns the project.
        project: Its name; everything the checks make is in it.
        folder: Where files may be written.
    """

    def __init__(self, entity: str, project: str, folder: Path) -> None:
        self.entity = entity
        self.project = project
        self.folder = folder

    @property
    def path(self) -> str:
        """The project in W&B's spelling."""
        return f"{self.entity}/{self.project}"

    @property
    def api(self) -> wandb.Api:
        """A client that has read nothing yet."""
        import wandb

        return wandb.Api()

    def init(self, **options: Any) -> karn_wandb.Run:
        """Start a run, online unless the options say otherwise."""
        return karn_wandb.init(
            **{"entity": self.entity, "project": self.project, "mode": "online", "dir": self.folder, **options}
        )

    def read(self, run_id: str) -> Any:
        """A run as the public API has it."""
        return self.api.run(f"{self.path}/{run_id}")

    def new_id(self, name: str) -> str:
        """An id no run has."""
        return f"{name}-{uuid.uuid4().hex[:8]}"

    def python(self, program: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a Python program in a process of its own, in the checks' folder."""
        return self._start("-c", program, self.entity, self.project, *arguments, **environment)

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Start a command of the program `wandb`, in the checks' folder."""
        return self._start("-m", "wandb", *words)

    def _start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start Python; what it prints can be read from `stdout`."""
        own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
        found = os.pathsep.join(filter(None, [str(REPOSITORY), str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, *words],
            env={**own, "PYTHONPATH": found, "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1", **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @cached_property
    def full(self) -> str:
        """A finished run, logged through the package, with everything W&B has beside it in the same run."""
        run_id = self.new_id("full")
        with self.init(id=run_id, **logged.OPTIONS) as run:
            logged.everything(run, self.folder)
        return run_id

    @cached_property
    def several(self) -> tuple[str, ...]:
        """Short runs that differ in config, group, tags and end, from oldest to newest."""
        batch = self.new_id("several")
        for number, options in enumerate(logged.SEVERAL):
            with self.init(id=f"{batch}-{number}", **options) as run:
                run.log_epoch(val_accuracy=10.0 * number, val_loss=1.0 / (1 + number))
        return tuple(f"{batch}-{number}" for number in range(len(logged.SEVERAL)))

    @cached_property
    def consumer(self) -> str:
        """A finished run that used and downloaded what `full` logged."""
        run_id = self.new_id("consumer")
        with self.init(id=run_id) as run:
            logged.use(run, self.full, self.folder)
        return run_id

    def remove(self) -> None:
        """Delete the runs, artifacts, sweeps' runs and views the checks made; the project's name stays."""
        for run in self.api.runs(self.path, per_page=100):
            run.delete(delete_artifacts=True)
