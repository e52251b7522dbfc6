"""Does growing beat the host alone? Train both, several times, offline, and let the report say.

    python -m examples.demo [--seeds N] [--epochs N] [--out DIR] [--data-root DIR]

For each random seed the host is trained alone first and then grown by the heuristic, which is compared with its pair
while it trains. Runs go side by side, one a core, each a process of its own on one thread.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import karn_wandb

CLAIMS = Path(__file__).parent / "claims.yaml"


@dataclass(slots=True)
class Workers:
    """The training processes, so that an interrupt can end them all."""

    options: argparse.Namespace
    progress: Progress
    running: set[subprocess.Popen[str]] = field(default_factory=set)
    stopped: bool = False

    def train(self, seed: int, controller: str, after: Future[bool] | None = None) -> bool:
        """Train one run to its end; `after` is its pair, which must be there first. Whether it worked."""
        paired = after.result() if after is not None else False
        if self.stopped:
            return False
        task = self.progress.add_task(f"{controller:<9} seed {seed}", total=self.options.epochs, accuracy="")
        process = subprocess.Popen(  # noqa: S603 -- this Python and our own module
            self._command(seed, controller, paired=paired),
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
                self.progress.update(task, advance=1, accuracy=line.split(": ")[1].strip())
        self.running.discard(process)
        if process.wait() != 0 and not self.stopped:
            self.progress.update(task, accuracy="failed")
            self.progress.console.print(f"{controller} with seed {seed} failed: {last}", markup=False)
        return process.returncode == 0

    def _command(self, seed: int, controller: str, *, paired: bool) -> list[str]:
        given = {"--seed": seed, "--controller": controller, "--epochs": self.options.epochs, "--out": self.options.out}
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


def train_all(options: argparse.Namespace, console: Console) -> None:
    """Every random seed twice: the host alone, then grown."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[accuracy]:>8}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        workers = Workers(options, progress)
        alone = [pool.submit(workers.train, seed, "none") for seed in range(options.seeds)]
        grown = [pool.submit(workers.train, seed, "heuristic", pair) for seed, pair in enumerate(alone)]
        try:
            for done in (*alone, *grown):
                done.result()
        except KeyboardInterrupt:
            workers.stop()
            raise


def conclude(options: argparse.Namespace, console: Console) -> None:
    """Report on all runs in the folder, and say what to try next."""
    experiment = karn_wandb.load_experiment(options.out)
    report = karn_wandb.build_report(experiment, claims=CLAIMS)
    path = options.out / "report.html"
    for suffix in (".html", ".md", ".json"):
        report.save(path.with_suffix(suffix))
    console.print()
    for claim in report.content.claims:
        console.print(f"{claim.name} ({claim.badge}). {' '.join(claim.sentences)}", markup=False, highlight=False)
    out, claims = options.out, os.path.relpath(CLAIMS)
    for line in (
        f"\nReport: {path}\n\nNext:",
        f"  wandb leet {out}/wandb              every run's curves in the terminal",
        f"  wandb sync {out}/wandb/offline-*    send the runs to W&B",
        f"  karn-wandb show {out}               the runs; with a run's id its attribution",
        f"  karn-wandb report {out} --claims {claims}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="random seeds, each trained twice")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of each run")
    parser.add_argument("--out", type=Path, default=Path("demo-runs"), help="folder for runs and report")
    parser.add_argument("--data-root", type=Path, help="folder with CIFAR-10; photo patches without it")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console()
    try:
        train_all(options, console)
        conclude(options, console)
    except KeyboardInterrupt:
        console.print("stopped; what was logged until now stays in", str(options.out))
        return 130
    except karn_wandb.KarnError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
