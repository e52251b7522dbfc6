"""`karn-wandb sweep`: a W&B sweep file, run here without a server, or handed to W&B."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from karn_wandb.sweeps import LocalSweep, SweepFile


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--local", is_flag=True, help="Run it on this machine, offline; go on with it when it was interrupted.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Runs, or W&B agents, at a time.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of a local sweep [default: FILE's name].")
@click.option("--retry-failed", is_flag=True, help="Run those of a local sweep again that have failed.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed of a local search.")
def sweep(file: Path, *, local: bool, jobs: int, out: Path | None, retry_failed: bool, seed: int) -> None:
    """Run a W&B sweep file.

    With --local each run is a process with an offline folder of its own below --out; called again, it goes on: a run that
    has finished is not run again. Without it the sweep is made in W&B and run by W&B's agents. Exit code 1 when a run
    failed or nothing reads a parameter.
    """
    from karn_wandb.sweeps import read_sweep  # noqa: PLC0415 -- not for --help

    read = read_sweep(file)
    try:
        with _interruptible():
            if local:
                _run_here(read, out or Path(f"sweep-{file.stem}"), jobs, seed, retry_failed=retry_failed)
            else:
                _hand_over(read, jobs)
    except OSError as error:
        raise click.ClickException(f"the disk refused: {error}") from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the runs cleanly, as Ctrl-C does; the exit code is the shell's for the signal."""

    def end(signum: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + signum)

    signals = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
    before = {each: signal.signal(each, end) for each in signals}
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Interrupted. The same command goes on with it.", err=True)
        sys.exit(130)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _run_here(file: SweepFile, folder: Path, jobs: int, seed: int, *, retry_failed: bool) -> None:
    from karn_wandb.sweeps import LocalSweep  # noqa: PLC0415

    with _shown() as told:
        result = LocalSweep(file, folder, jobs=jobs, seed=seed, environ=os.environ, told=told).run(retry_failed=retry_failed)
    states = [run.state for run in result.runs]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none"
    click.echo(f"{len(states)} runs in {folder}: {counted}.")
    claims = file.path.with_name(f"{file.path.stem}.claims.yaml")
    named = f"--claims {claims}" if claims.is_file() else "--claims CLAIMS.yaml"
    click.echo(f"\nNext:\n  karn-wandb report {folder}/runs {named}\n  karn-wandb show {folder}/runs")
    click.echo(f"  wandb sync {folder}/runs/*/wandb/offline-*")
    _end(result.problems, worked=result.worked)


def _hand_over(file: SweepFile, jobs: int) -> None:
    from karn_wandb.sweeps.service import create, run_agents  # noqa: PLC0415 -- loads wandb

    path = create(file)
    click.echo(f"Sweep {path}. Agents elsewhere join it with: wandb agent {path}")
    handed = run_agents(file, path, jobs=jobs, environ=os.environ)
    click.echo(f"\nNext:\n  karn-wandb report {handed.project} --claims CLAIMS.yaml")
    _end(handed.problems, worked=handed.worked)


def _end(problems: Sequence[str], *, worked: bool) -> None:
    from karn_wandb.printable import printable  # noqa: PLC0415

    for problem in problems:
        click.echo(f"Error: {printable(problem)}", err=True)
    if not worked:
        sys.exit(1)


@contextmanager
def _shown() -> Iterator[Callable[[LocalSweep, str], None]]:
    """What happens, as lines on stderr; on a terminal with a bar below them."""
    from rich.console import Console  # noqa: PLC0415 -- not for --help
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from karn_wandb.printable import printable  # noqa: PLC0415

    console = Console(stderr=True)
    columns: tuple[Any, ...] = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(sweep: LocalSweep, line: str) -> None:
            going, failed = sweep.count("running"), sweep.count("failed")
            done = sweep.count("finished") + sweep.count("stopped") + failed
            said = f"{going} running" + (f", {failed} failed" if failed else "")
            bar.update(task, completed=done, total=sweep.size, description=said)
            for part in line.splitlines():
                console.print(printable(part), markup=False, highlight=False, soft_wrap=True)

        yield tell
