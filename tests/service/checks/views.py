"""Checks of what people look at: a saved report and a saved workspace."""

from __future__ import annotations

from .bench import Bench
from .check import check


@check("a report saved, and found again", needs="wandb_workspaces")
def report(bench: Bench) -> None:
    import wandb_workspaces.reports.v2 as reports

    assert bench.full
    made = reports.Report(entity=bench.entity, project=bench.project, title="A verdict", description="made for checks")
    made.blocks = [reports.H1("Winning?"), reports.P("Not yet.")]
    made.save()
    assert "A verdict" in {found.display_name for found in bench.api.reports(bench.path)}
    assert reports.Report.from_url(made.url).title == "A verdict"


@check("a workspace saved, and found again", needs="wandb_workspaces")
def workspace(bench: Bench) -> None:
    import wandb_workspaces.reports.v2 as reports
    from wandb_workspaces import workspaces

    assert bench.full
    panels = [reports.LinePlot(x="epoch", y=["host/val_accuracy"])]
    made = workspaces.Workspace(
        entity=bench.entity,
        project=bench.project,
        name="Winning?",
        sections=[workspaces.Section(name="Winning?", panels=panels)],
    )
    made.save()
    found = workspaces.Workspace.from_url(made.url)
    assert (found.name, [section.name for section in found.sections]) == ("Winning?", ["Winning?"])
