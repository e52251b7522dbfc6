"""`karn-wandb relocate`: an offline run that was moved is made ready for `wandb sync`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument(
    "folders", metavar="FOLDER...", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
def relocate(folders: tuple[Path, ...]) -> None:
    """Make moved offline runs ready for `wandb sync`.

    W&B's run file says by absolute path where the bytes of artifacts and tables are. This makes it say where they are
    now: in the run's own folder. Nothing is sent, and doing it twice changes nothing.
    """
    from karn_wandb.experiment.relocate import relocate as relocated  # noqa: PLC0415 -- pandas: not for --help
    from karn_wandb.printable import printable  # noqa: PLC0415

    for folder in folders:
        try:
            done = relocated(folder)
        except OSError as error:
            raise click.ClickException(printable(f"the disk refused: {error}")) from error
        click.echo(f"{printable(str(folder))}: {done.moved} files of artifacts are found in it now.")
        for name in done.missing:
            click.echo(f"Warning: {printable(name)} is gone: it was not moved with the folder.", err=True)
    click.echo(f"Send with: wandb sync {printable(' '.join(map(str, folders)))}")
