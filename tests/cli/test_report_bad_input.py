"""`karn-wandb report` on runs as they should not be: clear words, exit codes as designed, nothing written outside."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from click.testing import CliRunner
from report_runs import Made, pairs, write_logs

from karn_wandb.cli import main

GROWN, HOST = (64.9, 64.1, 66.0, 64.6, 65.2), (61.2, 62.5, 60.8, 63.1, 61.7)
CLAIMS = "claims:\n  - {name: growing wins, treatment: {controller: heuristic}, control: {controller: none}}\n"
NOT_SHOWN = "That the claim was declared before its runs is not shown."


@pytest.fixture
def reported(tmp_path, monkeypatch):
    """Runs the command on these runs, judged by claims where they are given; gives its result and the report as JSON."""
    monkeypatch.chdir(tmp_path)

    def of(made, *options, claims=CLAIMS):
        (tmp_path / "runs").mkdir()
        write_logs(tmp_path / "runs", made)
        if claims:
            (tmp_path / "claims.yaml").write_text(claims)
            options = ("--claims", "claims.yaml", *options)
        done = CliRunner().invoke(main, ["report", "runs", "--json", "r.json", *options])
        written = tmp_path / "r.json"
        return done, json.loads(written.read_text()) if written.exists() else None

    return of


def test_no_runs(reported):
    done, written = reported([])
    assert (done.exit_code, done.stdout, written) == (1, "", None)
    assert done.stderr == (
        "Error: no runs were found in the folder 'runs'. It must hold run-ID.wandb files of W&B or records.jsonl files of this "
        "package, at any depth.\n"
    )


def test_one_run_and_a_claim_about_two_arms(reported):
    done, written = reported([Made("only")])
    assert (done.exit_code, written) == (1, None)
    assert done.stderr == (
        "Error: the claim 'growing wins' (line 2): no run has controller = none. The values of controller are heuristic.\n"
    )


def test_one_run_alone_is_described(reported):
    done, written = reported([Made("only")], claims="")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        "No comparison: there is no claims file, and the config of the runs names no two arms (config arm, else "
        "controller).\n\n"
        "Written: r.json\n"
    )
    assert [run["run_id"] for run in written["runs"]] == ["only"]


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--require", "growing wins"), 3)])
def test_all_crashed(reported, options, code):
    made = [Made(f"{arm}-{s}", arm, s, state="crashed") for arm in ("heuristic", "none") for s in range(3)]
    done, written = reported(made, *options)
    assert done.exit_code == code
    assert done.stdout == (
        "growing wins (Not supported). There is nothing to compare: an arm has no finished run with final_accuracy; 6 runs "
        "were not "
        f"analysed. {NOT_SHOWN}\n\nWritten: r.json\n"
    )
    assert done.stderr == ("Not supported: growing wins\n" if code else "")
    assert {(arm["started"], arm["crashed"], arm["analysed"]) for arm in written["claims"][0]["flow"]} == {(3, 3, 0)}


def test_all_crashed_and_a_rule_that_counts_them(reported):
    """Their last values are there, so that something can be compared; that all were counted by rule is said."""
    made = [
        Made(f"{arm}-{s}", arm, s, (40.0 + s + (arm == "none"),), state="crashed")
        for arm in ("heuristic", "none")
        for s in range(3)
    ]
    done, written = reported(made, claims=CLAIMS.replace("}}", "}, unfinished: last}"))
    assert done.exit_code == 0
    assert "3 pairs by base_seed" not in done.stdout  # all differences are one: nothing is inferred
    assert [arm["counted"] for arm in written["claims"][0]["flow"]] == [3, 3]
    assert any(
        t["text"].startswith("6 runs that did not finish with a result count as the last value") for t in written["threats"]
    )


def test_a_metric_that_some_runs_lack(reported):
    done, written = reported([*pairs(GROWN, HOST), Made("silent", "none", 9, (None,))])
    assert done.exit_code == 0
    assert done.stdout.startswith(
        "growing wins (Supported: better). In final_accuracy, heuristic is 3.10 percentage points above none"
    )
    reasons = {run["run_id"]: run["left_out"] for run in written["runs"] if run["left_out"]}
    assert reasons == {"silent": ["final_accuracy is missing or NaN"]}


def test_final_values_that_are_nan_or_infinite(reported):
    made = [*pairs(GROWN, HOST), Made("nan", "none", 8, loss=math.nan), Made("inf", "heuristic", 9, loss=math.inf)]
    loss = CLAIMS.replace("}}", "}, metric: final_loss, higher_is_better: false}")
    done, written = reported(made, claims=loss)
    assert done.exit_code == 0
    assert {run["run_id"]: run["left_out"] for run in written["runs"] if run["left_out"]} == {
        "nan": ["final_loss is missing or NaN"],
        "inf": ["final_loss is inf"],
    }
    assert {run["run_id"]: run["final_loss"] for run in written["runs"]}["nan"] is None


def test_a_metric_that_no_run_has(reported):
    done, written = reported(pairs(GROWN, HOST), claims=CLAIMS.replace("}}", "}, metric: final_acuracy}"))
    assert (done.exit_code, written) == (1, None)
    assert done.stderr == (
        "Error: the claim 'growing wins' (line 2): there is no metric 'final_acuracy'. "
        "Did you mean 'final_accuracy' or 'best_accuracy'?\n"
    )


def test_a_claim_about_an_arm_that_no_run_is_in(reported):
    done, written = reported(pairs(GROWN, HOST), claims=CLAIMS.replace("heuristic", "policy"))
    assert (done.exit_code, written) == (1, None)
    assert done.stderr == (
        "Error: the claim 'growing wins' (line 2): no run has controller = policy. The values of controller are heuristic, "
        "none.\n"
    )


def test_a_claim_about_a_setting_that_no_run_has(reported):
    done, written = reported(pairs(GROWN, HOST), claims=CLAIMS.replace("{controller: heuristic}", "{controler: heuristic}"))
    assert (done.exit_code, written) == (1, None)
    assert done.stderr == (
        "Error: the claim 'growing wins' (line 2): no run has a 'controler' to filter by. Did you mean 'controller'?\n"
    )


def test_names_with_markup_and_path_tricks(reported, tmp_path):
    """Of runs, arms, settings and reasons: they stay text, and nothing is written but what was asked for."""
    nasty = '../../<script>alert("1")</script>|`$(rm)`\x1b[2J\u202e'
    made = [
        replace(run, name=nasty, reason=nasty, config={nasty: "../../etc/passwd"}, controller=nasty if s % 2 else "none")
        for s, run in enumerate(pairs(HOST, GROWN))
    ]
    before = set(tmp_path.parent.iterdir())
    done, written = reported(made, "--out", "r.html", "--md", "r.md", claims="")
    assert done.exit_code == 0, done.output
    assert len(written["runs"]) == 10
    html, markdown = ((tmp_path / name).read_text(encoding="utf-8") for name in ("r.html", "r.md"))
    assert "<script" not in html + markdown.replace("\\<script", "")
    assert not {"\x1b", "\u202e"} & set(html + markdown + done.output)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "r.json", "r.html", "r.md"}
    assert set(tmp_path.parent.iterdir()) == before


@pytest.mark.slow
def test_runs_of_ten_thousand_settings(reported):
    """Every one of them differs between the arms: some are named, all are counted."""
    made = [
        replace(run, config={f"setting {i}": run.controller for i in range(10_000)} | {"controller": run.controller})
        for run in pairs(GROWN[:2], HOST[:2])
    ]
    done, written = reported(made)
    assert done.exit_code == 0
    (settings,) = (threat["text"] for threat in written["threats"] if threat["topic"] == "Settings")
    assert settings.endswith("and 9988 more. Each of these could explain the difference.")
    assert len(json.dumps(written)) < 100_000


@pytest.mark.slow
def test_ten_thousand_runs_each_of_a_configuration_of_its_own(reported, tmp_path):
    """Every run is listed; the page stays one that a browser opens."""
    rng = random.Random(0)
    made = [
        Made(
            f"{arm}-{s}",
            arm,
            s,
            (rng.gauss(60 + 2 * (arm == "heuristic"), 2),),
            config={"lr": 10 ** rng.uniform(-4, -1), "width": rng.randrange(8, 64)},
        )
        for s in range(5_000)
        for arm in ("heuristic", "none")
    ]
    done, written = reported(made, "--out", "r.html")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("growing wins (Supported: better).")
    assert len(written["runs"]) == 10_000
    assert (tmp_path / "r.html").stat().st_size < 15e6
