"""A sweep of W&B's: made by its public API, run by its agents."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from karn_wandb.errors import SweepError
from karn_wandb.sweeps import guard
from karn_wandb.sweeps.file import SweepFile
from karn_wandb.sweeps.takes import reports_in, untaken
from karn_wandb.swept import READS

POLL = 0.2
GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a sweep that W&B ran.

    Attributes:
        path: entity/project/sweep in W&B.
        exit_codes: Of the agents.
        problems: What is wrong with it, each a sentence or two.
    """

    path: str
    exit_codes: tuple[int, ...]
    problems: tuple[str, ...]

    @property
    def project(self) -> str:
        """entity/project."""
        return self.path.rpartition("/")[0]

    @property
    def worked(self) -> bool:
        """Whether every agent ended well and nothing is wrong."""
        return not self.problems and not any(self.exit_codes)


def create(file: SweepFile) -> str:
    """Make the sweep in W&B; gives entity/project/sweep.

    Raises:
        SweepError: W&B refuses it, or says not where it is.
    """
    import wandb  # noqa: PLC0415 -- takes seconds

    try:
        sweep_id = wandb.sweep(dict(file.config), entity=file.entity or None, project=file.project or None)
        api = wandb.Api()
        entity, project = file.entity or api.default_entity, file.project or api.settings["project"]
    except (wandb.errors.Error, ValueError) as error:
        do = "Run it here with --local, or check the login."
        raise SweepError("W&B did not take the sweep", got=str(error), do=do) from error
    return f"{entity}/{project or 'uncategorized'}/{sweep_id}"


def run_agents(file: SweepFile, path: str, *, jobs: int, environ: Mapping[str, str]) -> Handed:
    """Start W&B's agents for a sweep and wait until they have ended; an exception ends them with all they started.

    Args:
        file: The sweep.
        path: entity/project/sweep in W&B.
        jobs: Agents, which run one run each at a time.
        environ: The environment they inherit.
    """
    with tempfile.TemporaryDirectory() as folder:
        reads = Path(folder) / "reads"
        agents = [_start(path, Path(folder) / f"agent{n}", reads, environ) for n in range(jobs)]
        try:
            while any(agent.poll() is None for agent in agents):
                time.sleep(POLL)
        finally:
            for agent in agents:
                if agent.stdin is not None:
                    with contextlib.suppress(OSError):
                        agent.stdin.close()
            codes = tuple(agent.wait() for agent in agents)
        reports = reports_in(reads, (report.stem for report in sorted(reads.glob("*.json"))))
        wrong = untaken([parameter.path[0] for parameter in file.parameters], reports)
    return Handed(path, codes, tuple(wrong))


def _start(path: str, folder: Path, reads: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """An agent with a guard around it. It runs "python", which is to be the Python that runs this."""
    folder.mkdir()
    null = os.open(os.devnull, os.O_RDONLY)
    own = {name: value for name, value in environ.items() if name not in ("WANDB_SERVICE", "WANDB_RUN_ID")}
    found = os.pathsep.join(filter(None, (str(Path(sys.executable).parent), own.get("PATH", ""))))
    guarded = [sys.executable, "-I", "-S", guard.__file__, str(folder), str(GRACE), str(null)]
    try:
        return subprocess.Popen(  # noqa: S603 -- W&B's own agent
            [*guarded, sys.executable, "-m", "wandb", "agent", path],
            stdin=subprocess.PIPE,
            env={**own, "PATH": found, READS: str(reads)},
            start_new_session=True,
            pass_fds=(null,),
        )
    finally:
        os.close(null)
