"""Workspaces and reports as W&B gets them: saved in the stand-in by the real wandb-workspaces, and read again."""

from __future__ import annotations

import re
import sys

import pytest
from click.testing import CliRunner
from report_runs import pairs, write_logs

import karn_wandb
from karn_wandb.cli import main
from karn_wandb.errors import KarnError, UsageError
from karn_wandb.workspace import publish_report, save_workspace

pytestmark = [
    pytest.mark.online,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydantic.*"),
]
PROJECT = "standin/growing-cnn"


@pytest.fixture
def project(wandb_service):
    wandb_service.add_project(*PROJECT.split("/"))
    return wandb_service


@pytest.fixture
def report(tmp_path):
    write_logs(tmp_path / "runs", pairs((64.9, 64.1, 66.0, 64.6, 65.2), (61.2, 62.5, 60.8, 63.1, 61.7), early=1.0))
    return karn_wandb.build_report(karn_wandb.load_experiment(tmp_path / "runs"), title="Growing *wins*?")


def test_a_workspace_asks_the_five_questions(project):
    from wandb_workspaces import workspaces

    found = workspaces.Workspace.from_url(save_workspace(PROJECT))
    assert found.name == "karn_wandb"
    assert [section.name for section in found.sections] == ["Winning?", "Why?", "What failed?", "Policy", "Reproduce"]
    panels = {type(panel).__name__ for section in found.sections for panel in section.panels}
    assert panels == {"LinePlot", "MediaBrowser", "WeavePanelSummaryTable", "MarkdownPanel", "RunComparer"}
    lines = {panel.title: panel for section in found.sections for panel in section.panels if type(panel).__name__ == "LinePlot"}
    accuracy = lines["Validation accuracy (%)"]
    assert (accuracy.x.name, [metric.name for metric in accuracy.y]) == ("epoch", ["host/val_accuracy"])
    assert lines["Alpha by slot"].metric_regex == "^(slot/[^/]+/alpha)$"
    assert lines["Entropy of the policy"].x.name == "decision"


def curves(url):
    from wandb_workspaces import workspaces

    found = workspaces.Workspace.from_url(url)
    return {section.name: [panel for panel in section.panels if type(panel).__name__ == "LinePlot"] for section in found.sections}


def test_runs_that_train_several_hosts_have_their_panels_in_every_section(project):
    with karn_wandb.init("growing-cnn") as run:
        for env_id in range(2):
            run.episode(env_id).log_epoch(val_accuracy=50.0 + env_id)
    rows = [key for row in project.run(run.id).rows for key in row]
    found = curves(save_workspace(PROJECT))
    for section in ("Winning?", "Why?", "What failed?", "Policy"):
        scoped = [panel for panel in found[section] if panel.metric_regex and panel.metric_regex.startswith("^env/")]
        assert scoped
        assert {panel.x.name for panel in scoped} == {"Step"}
    (accuracy,) = [panel for panel in found["Winning?"] if panel.title.startswith("Validation accuracy")]
    assert {key for key in rows if re.search(accuracy.metric_regex, key)} == {
        "env/0/host/val_accuracy",
        "env/1/host/val_accuracy",
    }


def test_whether_there_are_panels_of_environments_can_be_said_before_there_are_runs(project):
    assert not any(
        panel.title.endswith("each environment") for panels in curves(save_workspace(PROJECT)).values() for panel in panels
    )
    said = curves(save_workspace(PROJECT, environments=True))
    assert all(panel.title.endswith("each environment") for panels in said.values() for panel in panels)
    assert project.requests["CreateCustomChart"] == 0


def test_each_call_saves_a_view_of_its_own(project):
    assert save_workspace(PROJECT) != save_workspace(PROJECT, "another")
    assert len(project.views.all) == 2


def test_a_published_report_says_what_the_report_says_of_a_fixed_set_of_runs(project, report):
    import wandb_workspaces.reports.v2 as reports

    found = reports.Report.from_url(publish_report(report, PROJECT))
    assert found.title == "Growing *wins*?"  # though its address has the title in it
    (text,) = [block.text for block in found.blocks if isinstance(block, reports.MarkdownBlock)]
    assert text == report.to_markdown().partition("\n")[2].strip()
    (grid,) = [block for block in found.blocks if isinstance(block, reports.PanelGrid)]
    assert [panel.title for panel in grid.panels][:1] == ["Validation accuracy (%)"]
    (runs,) = grid.runsets
    assert all(run.run_id in runs.filters for run in report.content.runs)


@pytest.mark.parametrize("path", ["growing-cnn", "/p", "e/", "e/p/r", ""])
def test_a_path_that_is_none_is_a_clear_error(path):
    with pytest.raises(UsageError) as raised:
        save_workspace(path)
    assert str(raised.value) == f"W&B is told where as ENTITY/PROJECT; got {path!r}."


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(KarnError) as raised:
        save_workspace(PROJECT)
    assert str(raised.value) == (
        'workspaces and reports cannot be saved without wandb-workspaces. Run: pip install "karn-wandb[workspace]"'
    )


def test_what_w_and_b_refuses_is_a_clear_error(project):
    project.faults.answer(403)
    with pytest.raises(KarnError, match="W&B does not take it; got "):
        save_workspace(PROJECT)


def test_the_command_line_saves_and_publishes(project, tmp_path, monkeypatch, report):
    monkeypatch.chdir(tmp_path)
    saved = CliRunner().invoke(main, ["workspace", PROJECT, "--name", "mine"])
    assert saved.exit_code == 0, saved.output
    assert saved.stdout.startswith(f"Saved: {project.url}/{PROJECT}")
    assert f"Registered: {len(project.charts)} charts of standin\n" in saved.stdout
    assert "KarnConfig(chart_presets='standin')" in saved.stdout
    made = CliRunner().invoke(main, ["report", "runs", "--md", "r.md", "--publish", PROJECT])
    assert made.exit_code == 0, made.output
    assert f"Published: {project.url}/{PROJECT}/reports/" in made.stdout
