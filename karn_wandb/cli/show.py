"""`karn-wandb show`: runs, or one run, in the terminal."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("source")
@click.argument("run", required=False)
def show(source: str, run: str | None) -> None:
    """List the runs of a source, or say what is known of one RUN.

    SOURCE is a folder of runs, a run-ID.wandb file, or a record log.
    """
    from rich.console import Console  # noqa: PLC0415 -- not for --help

    from karn_wandb.cli.tables import run_parts, runs_table  # noqa: PLC0415
    from karn_wandb.experiment.experiment import load_experiment  # noqa: PLC0415
    from karn_wandb.printable import printable  # noqa: PLC0415

    experiment = load_experiment(source)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False, emoji=False)
    if run is None:
        console.print(runs_table(experiment))
    else:
        for part in run_parts(experiment, run):
            console.print(part)
    for warning in experiment.warnings:
        click.echo(f"Warning: {printable(warning)}", err=True)
