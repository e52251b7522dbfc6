"""The command line: `karn-wandb`, and the same as `python -m karn_wandb`.

Exit codes: 0 done; 1 the work failed; 2 wrong usage; 3 a claim named with --require is not supported. Each command loads
what it needs when it runs, so that `--help` is quick.
"""

from __future__ import annotations

from typing import Any

import click

from karn_wandb._version import __version__
from karn_wandb.cli.import_ import import_
from karn_wandb.cli.relocate import relocate
from karn_wandb.cli.report import report
from karn_wandb.cli.show import show
from karn_wandb.cli.sweep import sweep
from karn_wandb.cli.workspace import workspace
from karn_wandb.errors import KarnError


class _Commands(click.Group):
    """Commands whose errors are messages, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours ends it with its message and code 1."""
        try:
            return super().invoke(ctx)
        except KarnError as error:
            from karn_wandb.printable import printable  # noqa: PLC0415 -- only when something went wrong

            raise click.ClickException(printable(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="karn-wandb")
def main() -> None:
    """Read many runs of morphogenetic training and say what they show."""


main.add_command(import_)
main.add_command(relocate)
main.add_command(report)
main.add_command(show)
main.add_command(sweep)
main.add_command(workspace)
