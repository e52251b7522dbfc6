"""Checks of what people look at: a saved report and a saved workspace."""

from __future__ import annotations

import karn_wandb
from karn_wandb import charts

from .bench import Bench
from .check import check

ROWS = [{"slots_on": 0, "value": 50.0}, {"slots_on": 1, "value": 52.0}]


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


@check("a chart registered as a preset, twice, and drawn by a run")
def custom_chart(bench: Bench) -> None:
    import wandb

    from karn_wandb.workspace.presets import register_charts

    names = register_charts(bench.entity, bench.folder)
    assert register_charts(bench.entity, bench.folder) == names
    plot = charts.plot(charts.Chart("coalition_strip", ROWS, "", {"title": "Two coalitions"}), bench.entity)
    run_id = bench.new_id("chart")
    with bench.init(id=run_id, karn=karn_wandb.KarnConfig(chart_presets="")) as run:
        table = wandb.Table(columns=[*plot.columns], data=[list(row) for row in plot.rows])
        run.wandb.log({"drawn": wandb.plot_table(plot.preset, table, dict(plot.fields), dict(plot.texts))})
    drawn = bench.read(run_id).rawconfig["_wandb"]["visualize"]["drawn"]["panel_config"]
    assert drawn["panelDefId"].partition("/")[2] in names
    assert drawn["fieldSettings"] == {"slots_on": "slots_on", "value": "value"}
