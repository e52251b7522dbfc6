"""Workspaces and reports saved in W&B, through wandb-workspaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote

from karn_wandb.errors import KarnError, UsageError
from karn_wandb.experiment import Report
from karn_wandb.experiment.service import api_error
from karn_wandb.workspace.layout import SECTIONS, Lines, Section, lines_for

NAME = "karn_wandb"
"""Name of the workspace."""

NEWEST = 20
"""Runs that are asked for the keys they have logged."""

TIMEOUT = 30
"""Seconds an answer of W&B may take."""

LONGEST_TITLE = 128
"""Characters W&B takes in a report's title."""


def save_workspace(path: str, name: str = NAME, *, environments: bool | None = None) -> str:
    """Save a workspace view whose sections answer the five questions; each call makes a view of its own.

    Args:
        path: "entity/project".
        name: Name of the view.
        environments: Whether there are panels of keys below `env/<id>/`, which runs log that train several hosts; None for
            when one of the newest runs has such keys.

    Returns:
        Its address.

    Raises:
        UsageError: The path is none.
        KarnError: wandb-workspaces is not installed, or W&B refuses.
    """
    entity, project = _split(path)
    reports, workspaces = _modules()
    keys = frozenset() if environments is False else _logged_keys(path)
    scoped = any(key.startswith("env/") for key in keys) if environments is None else environments
    sections = [
        workspaces.Section(
            name=section.name,
            panels=list(_panels(section, lines_for(section, keys, environments=scoped), reports)),
            is_open=True,
            layout_settings=workspaces.SectionLayoutSettings(columns=3, rows=3),
        )
        for section in SECTIONS
    ]
    return _saved(workspaces.Workspace(entity=entity, project=project, name=name, sections=sections))


def publish_report(report: Report, path: str) -> str:
    """Publish what a report says, with curves of exactly the runs it rests on; each call makes a new report.

    Args:
        report: The report.
        path: "entity/project": where it goes, and where its runs are.

    Returns:
        Its address.

    Raises:
        UsageError: The path is none.
        KarnError: wandb-workspaces is not installed, or W&B refuses.
    """
    entity, project = _split(path)
    reports, _ = _modules()
    run_ids = sorted({run.run_id for run in report.content.runs})
    runs = reports.Runset(entity=entity, project=project, name="The report's runs", filters=f"Metric('ID') in {run_ids!r}")
    curves = [_curves(lines, reports) for lines in SECTIONS[0].lines]
    text = report.to_markdown().partition("\n")[2].strip()  # without its title
    made = reports.Report(
        entity=entity,
        project=project,
        title=report.content.title[:LONGEST_TITLE],
        blocks=[reports.MarkdownBlock(text=text), reports.PanelGrid(runsets=[runs], panels=curves)],
    )
    start, reports_at, name = _saved(made).partition("/reports/")
    return f"{start}{reports_at}{quote(name)}"  # the title is in it, as it is


def _panels(section: Section, curves: Iterable[Lines], reports: Any) -> Iterator[Any]:
    if section.text:
        yield reports.MarkdownPanel(markdown=section.text)
    yield from (_curves(lines, reports) for lines in curves)
    for chart in section.charts:
        yield reports.MediaBrowser(title=chart.replace("_", " "), media_keys=[f"charts/{chart}"])
    for table in section.tables:
        yield reports.WeavePanelSummaryTable(table_name=table)
    if section.compares_runs:
        yield reports.RunComparer(diff_only="split")


def _curves(lines: Lines, reports: Any) -> Any:
    found = {"metric_regex": lines.regex} if lines.regex else {"y": lines.keys}
    return reports.LinePlot(title=lines.title, x=lines.clock, **found)


def _logged_keys(path: str) -> frozenset[str]:
    """Keys that the newest runs of a project have logged; none when there is no such project yet."""
    import wandb  # noqa: PLC0415 -- takes seconds

    try:
        newest = islice(wandb.Api(timeout=TIMEOUT).runs(path, order="-created_at", per_page=NEWEST, lazy=False), NEWEST)
        return frozenset(key for run in newest for key in dict(run.summary))
    except ValueError:  # what W&B's client says of a project that is not there
        return frozenset()
    except (wandb.errors.Error, api_error(), OSError) as error:
        raise _refused(error) from error


def _split(path: str) -> tuple[str, str]:
    entity, _, project = path.partition("/")
    if not entity or not project or "/" in project:
        raise UsageError("W&B is told where as ENTITY/PROJECT", got=repr(path))
    return entity, project


def _modules() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as reports  # noqa: PLC0415 -- an extra, and seconds to load
        from wandb_workspaces import workspaces  # noqa: PLC0415
    except ImportError as error:
        raise KarnError(
            "workspaces and reports cannot be saved without wandb-workspaces", do='Run: pip install "karn-wandb[workspace]"'
        ) from error
    return reports, workspaces


def _saved(made: Any) -> str:
    import wandb  # noqa: PLC0415 -- takes seconds

    try:
        made.save()
    except (wandb.errors.Error, api_error(), ValueError, OSError) as error:
        raise _refused(error) from error
    url: str = made.url
    return url


def _refused(error: Exception) -> KarnError:
    return KarnError("W&B does not take it", got=" ".join(str(error).split()), do="Check the name, the login and the network.")
