"""`karn-wandb workspace`: the five questions as a view of a project in W&B, and our charts as its entity's presets."""

from __future__ import annotations

import click


@click.command()
@click.argument("project", metavar="ENTITY/PROJECT")
@click.option("--name", help="Name of the view [default: karn_wandb].")
@click.option(
    "--environments/--no-environments",
    default=None,
    help="With panels of each environment, for runs that train several hosts [default: when one of the newest runs does].",
)
def workspace(project: str, name: str | None, *, environments: bool | None) -> None:
    """Save a workspace view of the five questions in W&B, and register the charts.

    Its sections are Winning?, Why?, What failed?, Policy and Reproduce. Each call makes a view of its own; nobody's own
    view is changed. Needs the extra `workspace`.

    The charts become presets of ENTITY's custom charts, each once. Runs that end on this machine draw with them.
    """
    from karn_wandb.workspace import register_charts, save_workspace  # noqa: PLC0415 -- loads pandas: not for --help
    from karn_wandb.workspace.saved import NAME  # noqa: PLC0415

    click.echo(f"Saved: {save_workspace(project, name or NAME, environments=environments)}")
    entity = project.partition("/")[0]
    click.echo(f"Registered: {len(register_charts(entity))} charts of {entity}")
    click.echo(f"Runs on other machines draw with them by KarnConfig(chart_presets={entity!r}).")
