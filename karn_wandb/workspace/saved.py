"""Workspaces and reports saved in W&B, through wandb-workspaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from karn_wandb.errors import KarnError, UsageError
from karn_wandb.experiment import Report
from karn_wandb.experiment.service import api_error
from karn_wandb.workspace.layout import SECTIONS, Section

NAME = "karn_wandb"
"""Name of the workspace."""

LONGEST_TITLE = 128
"""Characters W&B takes in a report's title."""


def save_workspace(path: str, name: str = NAME) -> str:
    """Save a workspace view whose sections answer the five questions; each call makes a view of its own.

    Args:
        path: "entity/project".
        name: Name of the view.

    Returns:
        Its address.

    Raises:
        UsageError: The path is none.
        KarnError: wandb-workspaces is not installed, or W&B refuses.
    """
    entity, project = _split(path)
    reports, workspaces = _modules()
    sections = [
        workspaces.Section(
            name=section.name,
            panels=list(_panels(section, reports)),
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
    curves = [panel for panel in _panels(SECTIONS[0], reports) if isinstance(panel, reports.LinePlot)]
    text = report.to_markdown().partition("\n")[2].strip()  # without its title
    made = reports.Report(
        entity=entity,
        project=project,
        title=report.content.title[:LONGEST_TITLE],
        blocks=[reports.MarkdownBlock(text=text), reports.PanelGrid(runsets=[runs], panels=curves)],
    )
    start, reports_at, name = _saved(made).partition("/reports/")
    return f"{start}{reports_at}{quote(name)}"  # the title is in it, as it is


def _panels(section: Section, reports: Any) -> Iterator[Any]:
    if section.text:
        yield reports.MarkdownPanel(markdown=section.text)
    for lines in section.lines:
        found = {"metric_regex": lines.regex} if lines.regex else {"y": lines.keys}
        yield reports.LinePlot(title=lines.title, x=lines.clock, **found)
    for chart in section.charts:
        yield reports.MediaBrowser(title=chart.replace("_", " "), media_keys=[f"charts/{chart}"])
    for table in section.tables:
        yield reports.WeavePanelSummaryTable(table_name=table)
    if section.compares_runs:
        yield reports.RunComparer(diff_only="split")


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
        raise KarnError(
            "W&B does not take it", got=" ".join(str(error).split()), do="Check the name, the login and the network."
        ) from error
    url: str = made.url
    return url
