"""`karn-wandb workspace`: the five questions as a view of a project in W&B."""

from __future__ import annotations

import click


@click.command()
@click.argument("project", metavar="ENTITY/PROJECT")
@click.option("--name", help="Name of the view [default: karn_wandb].")
def workspace(project: str, name: str | None) -> None:
    """Save a workspace view of the five questions in W&B.

    Its sections are Winning?, Why?, What failed?, Policy and Reproduce. Each call makes a view of its own; nobody's own
    view is changed. Needs the extra `workspace`.
    """
    from karn_wandb.workspace import save_workspace  # noqa: PLC0415 -- loads pandas: not for --help
    from karn_wandb.workspace.saved import NAME  # noqa: PLC0415

    click.echo(f"Saved: {save_workspace(project, name or NAME)}")
