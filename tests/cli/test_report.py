"""`karn-wandb report`: real record logs in, report files and an exit code out."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from report_runs import Made, pairs, write_logs

from karn_wandb.cli import main

TREATMENT, CONTROL = (64.9, 64.1, 66.0, 64.6, 65.2), (61.2, 62.5, 60.8, 63.1, 61.7)
CLAIMS = """\
claims:
  - {name: growing wins, treatment: {controller: heuristic}, control: {controller: none}}
  - {name: the host wins, treatment: {controller: none}, control: {controller: heuristic}}
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command in a folder that has runs/ and claims.yaml."""
    monkeypatch.chdir(tmp_path)
    write_logs(tmp_path / "runs", [*pairs(TREATMENT, CONTROL, early=1.0), Made("lost", "heuristic", 9, state="crashed")])
    (tmp_path / "claims.yaml").write_text(CLAIMS)
    return lambda *arguments: CliRunner().invoke(main, ["report", *arguments])


def test_without_options_an_html_report_is_written_and_the_verdict_said(command, tmp_path):
    done = command("runs")
    assert done.exit_code == 0
    assert done.stdout.startswith("heuristic against none (Exploratory: better). In final_accuracy, heuristic is ")
    assert done.stdout.endswith("\n\nWritten: report.html\n")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert done.stderr == ""


def test_the_forms_that_are_named_are_written_and_no_others(command, tmp_path):
    done = command("runs", "--json", "r.json", "--md", "r.md", "--title", "Demo", "--claims", "claims.yaml")
    assert done.exit_code == 0
    assert "Written: r.json\nWritten: r.md\n" in done.stdout
    assert (tmp_path / "r.md").read_text().startswith("# Demo\n")
    plain = json.loads((tmp_path / "r.json").read_text())
    assert [claim["supported"] for claim in plain["claims"]] == [True, False]
    assert {run["run_id"]: run["state"] for run in plain["runs"]}["lost"] == "crashed"
    assert {run["source"] for run in plain["runs"]} == {"runs"}
    assert not (tmp_path / "report.html").exists()


def test_several_sources_are_one_experiment(command, tmp_path):
    done = command("runs/grown-0", "runs/host-0/records.jsonl", "--json", "r.json")
    assert done.exit_code == 0
    assert len(json.loads((tmp_path / "r.json").read_text())["runs"]) == 2


@pytest.mark.parametrize(
    ("required", "code", "said"),
    [
        (["growing wins"], 0, ""),
        (["the host wins"], 3, "Not supported: the host wins\n"),
        (["growing wins", "the host wins"], 3, "Not supported: the host wins\n"),
    ],
)
def test_a_required_claim_that_is_not_supported_is_code_3_after_the_report_is_written(command, tmp_path, required, code, said):
    options = [option for name in required for option in ("--require", name)]
    done = command("runs", "--claims", "claims.yaml", "--json", "r.json", *options)
    assert (done.exit_code, done.stderr) == (code, said)
    assert (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--claims", "claims.yaml", "--require", "growing win"],
            "Error: Invalid value for --require: no claim is named 'growing win'. The claims are: growing wins; the host wins.\n",
        ),
        (["--require", "growing wins"], "Error: --require needs --claims: only a declared claim can be supported.\n"),
        (["--out", "report.pdf"], "Error: Invalid value for '--out': 'report.pdf' does not end in .html\n"),
        (["--json", "report.html"], "Error: Invalid value for '--json': 'report.html' does not end in .json\n"),
    ],
)
def test_wrong_usage_is_said_and_is_code_2(command, tmp_path, arguments, said):
    done = command("runs", *arguments)
    assert done.exit_code == 2
    assert done.stderr.endswith(said)
    assert not list(tmp_path.glob("report.*"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            CLAIMS.replace("control:", "contrl:", 1),
            "Error: claims.yaml, line 2: a claim has an unknown field 'contrl'. Did you mean 'control'?\n",
        ),
        (
            CLAIMS.replace("heuristic", "heuristc", 1),
            (
                "Error: the claim 'growing wins' (line 2): no run has controller = heuristc. "
                "The values of controller are heuristic, none.\n"
            ),
        ),
    ],
)
def test_a_claims_file_that_is_wrong_is_code_1_and_nothing_is_written(command, tmp_path, text, said):
    (tmp_path / "claims.yaml").write_text(text)
    done = command("runs", "--claims", "claims.yaml")
    assert (done.exit_code, done.stderr) == (1, said)
    assert not (tmp_path / "report.html").exists()


def test_an_empty_folder_is_code_1(command, tmp_path):
    (tmp_path / "empty").mkdir()
    done = command("empty")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: no runs were found in the folder 'empty'")


def test_runs_without_arms_are_described(command, tmp_path):
    done = command("runs/grown-0", "--md", "r.md")
    assert done.exit_code == 0
    assert done.stdout.startswith("No comparison: there is no claims file")


def test_names_from_runs_reach_the_terminal_without_control_characters(command, tmp_path):
    write_logs(tmp_path / "odd", [Made(f"{who}-{s}", f"{who}\x1b]0;title\x07", s) for who in "ab" for s in range(2)])
    done = command("odd", "--md", "r.md")
    assert done.exit_code == 0
    assert "b\\x1b]0;title\\x07 against a\\x1b]0;title\\x07" in done.stdout
    assert "\x1b" not in done.stdout + (tmp_path / "r.md").read_text()
