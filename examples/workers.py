"""Many training runs side by side, one a core, each a process of its own on one thread; then a report on all of them."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import karn_wandb


@dataclass(frozen=True, slots=True)
class Planned:
    """A run to be trained.

    Attributes:
        label: What it is called while it trains.
        given: Options of `examples.train`.
        after: Its pair, the host alone, which must be there first and which it is compared with while it trains.
    """

    label: str
    given: Mapping[str, object]
    after: Planned | None = None


@dataclass(slots=True)
class Workers:
    """The training processes, so that an interrupt can end them all."""

    options: argparse.Namespace
    progress: Progress
    claims: Path
    running: set[subprocess.Popen[str]] = field(default_factory=set)
    stopped: bool = False

    def train(self, planned: Planned, after: Future[bool] | None) -> bool:
        """Train one run to its end, once `after` is done. Whether it worked."""
        paired = after.result() if after is not None else False
        if self.stopped:
            return False
        task = self.progress.add_task(planned.label, total=self.options.epochs, metric="")
        process = subprocess.Popen(  # noqa: S603 -- this Python and our own module
            self._command(planned, paired=paired),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment(),
            start_new_session=True,
        )
        self.running.add(process)
        last = ""
        for line in process.stdout or ():
            last = line.strip() or last
            if line.startswith("epoch "):
                self.progress.update(task, advance=1, metric=line.split(": ")[1].strip())
        self.running.discard(process)
        if process.wait() != 0 and not self.stopped:
            self.progress.update(task, metric="failed")
            self.progress.console.print(f"{planned.label} failed: {last}", markup=False)
        return process.returncode == 0

    def _command(self, planned: Planned, *, paired: bool) -> list[str]:
        given = {**planned.given, "--epochs": self.options.epochs, "--out": self.options.out, "--claims": self.claims}
        given |= {"--data-root": self.options.data_root} if self.options.data_root else {}
        given |= {"--baseline": self.options.out} if paired else {}
        words = [str(word) for option in given.items() for word in option]
        return [sys.executable, "-m", "examples.train", *words]

    def _environment(self) -> dict[str, str]:
        quiet = {"OMP_NUM_THREADS": "1", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
        return {**os.environ, **quiet, "WANDB_DATA_DIR": str(self.options.out.resolve() / "wandb-data")}

    def stop(self) -> None:
        """End every process; runs not begun are not begun."""
        self.stopped = True
        for process in self.running:
            os.killpg(process.pid, signal.SIGTERM)


def options_of(description: str, *, out: str, seeds: int, each: str, images: bool = True) -> argparse.Namespace:
    """The command line: what is trained how often, and where it goes.

    Args:
        description: What the program does.
        out: Folder for runs and report, unless another is given.
        seeds: Random seeds, unless another number is given.
        each: What happens with each of them.
        images: Whether images are learned, of which there may be others.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=int, default=seeds, help=f"random seeds, each {each}")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of each run")
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for runs and report")
    parser.set_defaults(data_root=None)
    if images:
        parser.add_argument("--data-root", type=Path, help="folder with CIFAR-10; photo patches without it")
    return parser.parse_args()


def train_and_report(plan: Sequence[Planned], options: argparse.Namespace, claims: Path) -> int:
    """Train everything that is planned and report on it; the program's exit code."""
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console()
    try:
        _train(plan, options, claims, console)
        _conclude(options, claims, console)
    except KeyboardInterrupt:
        console.print("stopped; what was logged until now stays in", str(options.out))
        return 130
    except karn_wandb.KarnError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    return 0


def _train(plan: Sequence[Planned], options: argparse.Namespace, claims: Path, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[metric]:>8}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        workers = Workers(options, progress, claims)
        begun: dict[int, Future[bool]] = {}
        for planned in plan:
            begun[id(planned)] = pool.submit(workers.train, planned, begun[id(planned.after)] if planned.after else None)
        try:
            for done in begun.values():
                done.result()
        except KeyboardInterrupt:
            workers.stop()
            raise


def _conclude(options: argparse.Namespace, claims: Path, console: Console) -> None:
    """Report on all runs in the folder, and say what to try next."""
    report = karn_wandb.build_report(karn_wandb.load_experiment(options.out), claims=claims)
    path = options.out / "report.html"
    for suffix in (".html", ".md", ".json"):
        report.save(path.with_suffix(suffix))
    console.print()
    for verdict in report.content.verdicts:
        console.print(verdict, markup=False, highlight=False)
    out = options.out
    for line in (
        f"\nReport: {path}\n\nNext:",
        f"  wandb leet {out}/wandb              every run's curves in the terminal",
        f"  wandb sync {out}/wandb/offline-*    send the runs to W&B",
        f"  karn-wandb show {out}               the runs; with a run's id its attribution",
        f"  karn-wandb report {out} --claims {os.path.relpath(claims)}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
