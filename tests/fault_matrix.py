"""The fault matrix: trainings that log online while the service, the disk or a process fails at a random moment.

    PYTHONPATH=.:tests python tests/fault_matrix.py [REPETITIONS]

Each trial is a training process with a stand-in for the W&B service of its own. A fault is over only when the training has logged
some more epochs in spite of it, so a training that waited for its end would wait for ever. Then the record log is imported
into the run at the service, twice. What must hold: each epoch that `log_epoch` returned from is in the log, and the
service has each event of the log once.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from service import Service, online, variables
from trainings import core_of, end, epochs_of, epochs_said, small_disk, training

from karn_wandb.experiment.runs import events_of_rows, in_order
from karn_wandb.pipeline import LOG_NAME, read_log
from karn_wandb.restore import import_log
from karn_wandb.schema import REST

PAUSE = 0.05
"""Seconds a training pauses after each epoch, so that a fault lasts for a while."""

PATIENCE = 180.0
"""Seconds after which a training is killed; then its trial fails."""

AT_ONCE = 3
"""Trials that run side by side."""

_IMPORTS = threading.Lock()
"""Imports are made in this process, which has one W&B."""

Ending = Literal["finish", "refused", "trainer killed", "core killed"]


@dataclass(frozen=True)
class Cell:
    """What goes wrong: in `init`, in the middle, one after the other, and at the end.

    Attributes:
        name: Its name.
        middle: Faults of `MIDDLE`.
        ending: How it ends.
        refused_in_init: Whether nobody listens in `init`.
        wait: Epochs before a process is killed, at most.
        during: Epochs that are logged during a fault.
    """

    name: str
    middle: tuple[str, ...] = ()
    ending: Ending = "finish"
    refused_in_init: bool = False
    wait: int = 150
    during: int = 20


@dataclass
class Found:
    """What was found of a trial."""

    cell: str
    epochs: int = 0
    events: int = 0
    slowest: float = 0.0
    finish: float = 0.0
    lacked: int = 0
    warned: list[str] = field(default_factory=list)


@contextmanager
def failing(service: Service, fail: Callable[[Any], object]) -> Iterator[None]:
    """A fault of the service's answers."""
    fail(service.faults)
    try:
        yield
    finally:
        service.faults.clear()


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A disk without room for a byte."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
    except OSError:
        yield
    finally:
        ballast.unlink()


MIDDLE: Mapping[str, Callable[[Service, Path], Any]] = {
    "connection refused": lambda service, _: service.refusing(),
    "429 storm": lambda service, _: failing(service, lambda faults: faults.answer(429, retry_after=1)),
    "500s": lambda service, _: failing(service, lambda faults: faults.answer(500)),
    "hang": lambda service, _: failing(service, lambda faults: faults.hang()),
    "slow loris": lambda service, _: failing(service, lambda faults: faults.trickle(0.2)),
    "disk full": lambda _, folder: full(folder),
}

CELLS = (
    Cell("connection refused in init", refused_in_init=True),
    *(Cell(name, (name,)) for name in MIDDLE),
    Cell("connection refused at finish", ending="refused"),
    Cell("SIGKILL of the trainer", ending="trainer killed"),
    Cell("SIGKILL of wandb-core", ending="core killed"),
)


class Trial:
    """One training and what happens to it."""

    def __init__(self, cell: Cell, folder: Path, seed: int, environment: Mapping[str, str]) -> None:
        self.cell, self.run_id = cell, f"trial-{seed}"
        self.found = Found(cell.name)
        self._folder = folder
        self._disk = folder / "disk"
        self._rng = random.Random(seed)
        self._environment = environment
        self._lines: list[str] = []

    def run(self) -> Found:
        """Run it; raises AssertionError when something was lost, came twice, or did not go on."""
        self._folder.mkdir()
        on_disk = "disk full" in self.cell.middle
        with Service() as service, small_disk(self._disk, 8) if on_disk else nullcontext():
            self._train(service)
            said = epochs_said(self._lines)
            with _IMPORTS, online(service, self._folder):
                self._restore(service, said)
        self.found.epochs = len(said)
        whole = [line.split() for line in self._lines if line.startswith("epoch") and line.endswith("\n")]
        self.found.slowest = max(float(seconds) for _, _, seconds in whole)
        return self.found

    def _train(self, service: Service) -> None:
        patience = "3" if self.cell.ending == "refused" else "60"
        environment = {**self._environment, **variables(service, self._folder), "WANDB_INIT_TIMEOUT": "2"}
        environment["WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL"] = "1"  # a part of a second would be W&B's default of 15
        if not self.cell.refused_in_init:
            del environment["WANDB_INIT_TIMEOUT"]
        with ExitStack() as stack:
            if self.cell.refused_in_init:
                stack.enter_context(service.refusing())
            arguments = (self.run_id, "1000000", str(PAUSE), patience)
            process = stack.enter_context(training(self._disk, *arguments, environment=environment))
            watchdog = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
            watchdog.daemon = True
            watchdog.start()
            self._read(process, 1 + self._rng.randrange(1, 30))
            for name in self.cell.middle:
                with MIDDLE[name](service, self._disk):
                    self._read(process, self.cell.during)
                self._read(process, self._rng.randrange(5))
            self._end(service, process)
            watchdog.cancel()
            if self.cell.ending != "trainer killed":
                assert process.wait(60) == 0, process.stderr.read()
                self.found.finish = next(float(line.split()[1]) for line in self._lines if line.startswith("finished"))
                self.found.warned = [line for line in process.stderr if "KarnWarning" in line]

    def _end(self, service: Service, process: subprocess.Popen) -> None:
        if self.cell.ending.endswith("killed"):
            self._read(process, self._rng.randrange(self.cell.wait))
        if self.cell.ending == "trainer killed":
            time.sleep(self._rng.random() * PAUSE)
            self._lines += end(process, signal.SIGKILL, group=self._rng.random() < 0.5)
            return
        if self.cell.ending == "core killed":
            os.kill(core_of(process), signal.SIGKILL)
            self._read(process, self.cell.during)
        with service.refusing() if self.cell.ending == "refused" else nullcontext():
            (self._disk / "stop").touch()
            self._lines += process.stdout.readlines()
            process.wait(60)

    def _read(self, process: subprocess.Popen, count: int) -> None:
        lines = [process.stdout.readline() for _ in range(count)]
        if not all(lines):
            raise AssertionError(f"{self.cell.name}: the training stopped after {self._lines[-1:]}: {process.stderr.read()}")
        self._lines += lines

    def _restore(self, service: Service, said: list[int]) -> None:
        (path,) = self._disk.glob(f"wandb/*run-*-{self.run_id}/{LOG_NAME}")
        log = read_log(path)
        assert epochs_of(log.events)[: len(said)] == said, f"{self.cell.name}: an epoch is lost"
        runs = [run for run in service.runs.values() if run.run_id == self.run_id]
        sent = events_of_rows(runs[0].rows)[0] if runs else ()
        everything = in_order(log.events, sent)
        imported = import_log(path)
        self.found.lacked = len(everything) - len(sent)
        assert imported.sent == self.found.lacked
        assert import_log(path).sent == 0
        rows = [row for row in service.run(self.run_id).rows if REST in row]
        assert events_of_rows(rows)[0] == everything, f"{self.cell.name}: the service has something else"
        assert len(rows) == len(everything), f"{self.cell.name}: an event is there twice"
        self.found.events = len(everything)


def run_trials(cells: Iterable[Cell], folder: Path) -> list[Found]:
    """Run a trial of each cell; raises AssertionError when one fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    trials = [Trial(cell, folder / f"trial-{seed}", seed, environment) for seed, cell in enumerate(cells)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(Trial.run, trials))


def table(found: list[Found]) -> str:
    """What was found, by cell."""
    columns = (
        *("fault", "trials", "epochs", "lost", "events", "twice", "lacked before import"),
        *("slowest log_epoch, ms", "longest finish, s", "warnings, at most"),
    )
    lines = [" | ".join(columns), " | ".join(["---", *["---:"] * (len(columns) - 1)])]
    for name in dict.fromkeys(one.cell for one in found):
        own = [one for one in found if one.cell == name]
        epochs, events, lacked = (sum(getattr(one, what) for one in own) for what in ("epochs", "events", "lacked"))
        slowest, finish = max(one.slowest for one in own) * 1000, max(one.finish for one in own)
        warned = max(len(one.warned) for one in own)
        cells = (name, len(own), epochs, 0, events, 0, lacked, f"{slowest:.0f}", f"{finish:.1f}", warned)
        lines.append(" | ".join(map(str, cells)))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as made:
        chosen = [CELLS[number % len(CELLS)] for number in range(repetitions)]
        sys.stdout.write(table(run_trials(chosen, Path(made))) + "\n")
