"""`karn-wandb report`: many runs, one verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from karn_wandb.experiment.report.content import Content

NOT_SUPPORTED = 3
"""Exit code when a claim named with --require is not supported."""


def _ending(suffix: str) -> Callable[[click.Context, click.Parameter, Path | None], Path | None]:
    def check(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix != suffix:
            raise click.BadParameter(f"{str(path)!r} does not end in {suffix}")
        return path

    return check


_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--claims", type=_FILE, help="Declared claims (YAML). Without them the report is exploratory.")
@click.option("--out", type=_FILE, callback=_ending(".html"), help="HTML report [default: report.html, unless --json or --md].")
@click.option("--json", "json_file", type=_FILE, callback=_ending(".json"), help="The same as JSON.")
@click.option("--md", "md_file", type=_FILE, callback=_ending(".md"), help="The same as Markdown.")
@click.option("--publish", metavar="ENTITY/PROJECT", help="Publish it as a W&B report there too; needs the extra `workspace`.")
@click.option("--title", help="Title of the report.")
@click.option("--require", multiple=True, metavar="NAME", help="Exit with 3 unless this claim is supported; may be repeated.")
@click.pass_context
def report(
    ctx: click.Context,
    *,
    sources: tuple[str, ...],
    claims: Path | None,
    out: Path | None,
    json_file: Path | None,
    md_file: Path | None,
    publish: str | None,
    title: str | None,
    require: tuple[str, ...],
) -> None:
    """Compare the arms of many runs and write what that shows.

    SOURCE is a folder of runs, a run-ID.wandb file, a record log, or entity/project in W&B. Without --claims the arms are
    the values of config `arm`, else `controller`, each against the host alone.
    """
    from karn_wandb.cli.progress import shown_progress  # noqa: PLC0415
    from karn_wandb.experiment.experiment import load_experiment  # noqa: PLC0415 -- pandas: not for --help
    from karn_wandb.experiment.report import build_report  # noqa: PLC0415
    from karn_wandb.printable import printable  # noqa: PLC0415

    _check_required(require, claims)
    with shown_progress() as progress:
        experiment = load_experiment(*sources, progress=progress)
    made = build_report(experiment, claims, title)
    _say(made.content)
    for path in _targets(out, json_file, md_file):
        click.echo(f"Written: {made.save(path)}")
    if publish is not None:
        from karn_wandb.workspace import publish_report  # noqa: PLC0415

        click.echo(f"Published: {publish_report(made, publish)}")
    supported = {claim.name for claim in made.content.claims if claim.supported}
    missing = [name for name in require if name not in supported]
    if missing:
        click.echo(f"Not supported: {printable('; '.join(missing))}", err=True)
        ctx.exit(NOT_SUPPORTED)


def _check_required(require: Sequence[str], claims: Path | None) -> None:
    """Refuse names that no claim has, before any run is read."""
    if not require:
        return
    if claims is None:
        raise click.UsageError("--require needs --claims: only a declared claim can be supported.")
    from karn_wandb.experiment.claims import read_claims  # noqa: PLC0415 -- YAML: not for --help
    from karn_wandb.printable import printable  # noqa: PLC0415

    names = [claim.name for claim in read_claims(claims).claims]
    for name in require:
        if name not in names:
            said = printable(f"no claim is named {name!r}. The claims are: {'; '.join(names)}.")
            raise click.BadParameter(said, param_hint="--require")


def _targets(out: Path | None, json_file: Path | None, md_file: Path | None) -> list[Path]:
    chosen = [path for path in (out, json_file, md_file) if path is not None]
    return chosen or [Path("report.html")]


def _say(content: Content) -> None:
    """The verdicts, in the words of the report."""
    from karn_wandb.experiment.report.words import NO_COMPARISON  # noqa: PLC0415
    from karn_wandb.printable import printable  # noqa: PLC0415 -- pandas: not for --help

    for line in content.verdicts or [NO_COMPARISON]:
        click.echo(f"{printable(line)}\n")
