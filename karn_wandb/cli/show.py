"""`karn-wandb show`: runs, or one run, in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from karn_wandb.records import TelemetryEvent


@click.command()
@click.argument("source")
@click.argument("run", required=False)
@click.option(
    "--charts",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write RUN's charts of attribution into this folder, as SVG and PNG.",
)
def show(source: str, run: str | None, folder: Path | None) -> None:
    """List the runs of a source, or say what is known of one RUN.

    SOURCE is a folder of runs, a run-ID.wandb file, a record log, entity/project in W&B, or entity/project/run_id.
    """
    from rich.console import Console  # noqa: PLC0415 -- not for --help

    from karn_wandb.cli.progress import shown_progress  # noqa: PLC0415
    from karn_wandb.cli.tables import run_parts, runs_table  # noqa: PLC0415
    from karn_wandb.experiment.experiment import load_experiment  # noqa: PLC0415
    from karn_wandb.pipeline import standing  # noqa: PLC0415
    from karn_wandb.printable import printable  # noqa: PLC0415

    if folder is not None and run is None:
        raise click.UsageError("--charts needs a RUN: its charts are of one run.")
    with shown_progress() as progress:
        experiment = load_experiment(source, progress=progress)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False, emoji=False)
    if run is None:
        console.print(runs_table(experiment))
    else:
        for part in run_parts(experiment, run):
            console.print(part)
    if folder is not None and run is not None:
        _write_charts(standing(experiment.events(run)), folder)
    for warning in experiment.warnings:
        click.echo(f"Warning: {printable(warning)}", err=True)


def _write_charts(events: Iterable[TelemetryEvent], folder: Path) -> None:
    from karn_wandb.analysis.attribution_charts import AttributionCharts  # noqa: PLC0415 -- numpy: not for --help
    from karn_wandb.charts import to_png, to_svg  # noqa: PLC0415

    drawn = AttributionCharts(events).charts()
    if not drawn:
        click.echo("\nNo charts: no coalitions of slots were evaluated.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for chart in drawn:
        spec = chart.spec()
        (folder / f"{chart.name}.svg").write_text(to_svg(spec, theme="light", prefix=chart.name), encoding="utf-8")
        (folder / f"{chart.name}.png").write_bytes(to_png(spec))
    click.echo(f"\nWritten to {folder}, as SVG and PNG: {', '.join(chart.name for chart in drawn)}")
