"""`karn-wandb import`: a record log becomes a W&B run, or restores what a W&B run lacks."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="import")
@click.argument("source", metavar="RECORDS.jsonl", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--into", metavar="RUN", help="The run that lacks records: entity/project/id, or the folder or file of an offline run."
)
def import_(source: Path, into: str | None) -> None:
    """Give W&B the records of a record log.

    The run keeps its id. What W&B is told to do by WANDB_MODE, WANDB_PROJECT and the like holds: online, only records that
    the run lacks are sent; offline, a whole new run folder is written, which is the one to sync.
    """
    import wandb  # noqa: PLC0415 -- takes seconds: not for --help

    from karn_wandb.printable import printable  # noqa: PLC0415
    from karn_wandb.restore import import_log  # noqa: PLC0415 -- pandas: not for --help

    try:
        done = import_log(source, into)
    except (wandb.errors.Error, OSError) as error:
        raise click.ClickException(printable(f"W&B or the disk refused: {error}")) from error
    for line in done.damage:
        click.echo(f"Warning: {printable(line)}", err=True)
    if done.beside:
        click.echo(
            f"Warning: {done.beside} rows in {into} were not logged by this package and are not in the new run folder. To keep "
            "both, sync that one, then import online with --into entity/project/id.",
            err=True,
        )
    lacked = "" if done.restored is None else f"; {done.restored} of them it lacked"
    click.echo(f"Run {printable(done.run_id)} has {done.events} records{lacked}.")
    if done.url:
        click.echo(f"{done.sent} were sent to {done.url}")
    else:
        click.echo(f"Written: {done.folder}\nSend it with: wandb sync {done.folder}")
        click.echo("Where W&B has rows of this run, import it online instead: only what it lacks is sent.")
