"""Declared and done: the report says when claims were declared, what was changed since, and which runs show it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pytest
from json_schema import unlike
from report_runs import Made, experiment, pairs, write_logs

import karn_wandb
from karn_wandb.experiment import report as report_room
from karn_wandb.experiment.report import build_report

GROWN, HOST = (64.9, 64.1, 66.0, 64.6, 65.2), (61.2, 62.5, 60.8, 63.1, 61.7)
CLAIMS = """\
claims:
  - {name: growing wins, treatment: {controller: heuristic}, control: {controller: none}, margin: 1.0}
"""


@pytest.fixture
def reported(tmp_path):
    """A report by these claims on runs that were started with those texts, in turn."""

    def of(*texts, now=CLAIMS):
        path = tmp_path / "claims.yaml"
        path.write_text(now)
        made = [replace(run, claims=texts[i % len(texts)], began=i) for i, run in enumerate(pairs(GROWN, HOST))]
        return build_report(experiment(made), path)

    return of


def section(report):
    text = report.to_markdown().replace("\\", "")
    return text[text.index("## What was declared") : text.index("## Flow of runs")]


def test_claims_that_every_run_carries_were_declared_before_the_runs(reported):
    found = reported(CLAIMS)
    assert (
        "Declared before the runs: all 10 runs in its arms were started with this file, the first on 2026-01-02 00:00 UTC."
    ) in section(found)
    assert "Plan" not in {threat.topic for threat in found.content.threats}
    assert not any("is not shown" in sentence for claim in found.content.claims for sentence in claim.sentences)


def test_a_margin_that_was_changed_is_said_in_the_plan_and_in_the_verdict(reported):
    found = reported(CLAIMS.replace("1.0", "0.5"))
    assert "10 of 10 runs in its arms were started with another claims file (SHA-256 " in section(found)
    assert ", the first on 2026-01-02 00:00 UTC). Since then was changed:" in section(found)
    assert "- **Claim “growing wins”.** margin was 0.5, is 1.0" in section(found)
    assert found.content.claims[0].sentences[-1] == "Changed since runs were started: margin was 0.5, is 1.0."


def test_a_claim_that_was_added_says_so(reported):
    second = "  - {name: late, treatment: {controller: none}, control: {controller: heuristic}}\n"
    found = reported(CLAIMS, now=CLAIMS + second)
    assert [claim.sentences[-1] for claim in found.content.claims][1] == "Changed since runs were started: it was added."
    assert "- **Claim “late”.** it was added" in section(found)


def test_runs_without_claims_are_named(reported):
    found = reported(CLAIMS, "")
    assert "5 of 10 runs in its arms were started with this file, the first on 2026-01-02 00:00 UTC." in section(found)
    assert (
        "5 runs were started without a claims file (host-0, host-1, host-2, host-3, host-4): "
        "that it was declared before these is not shown."
    ) in section(found)
    assert found.content.claims[0].sentences[-1] == "That the claim was declared before its runs is not shown."


def test_another_layout_is_the_same_declaration(reported):
    found = reported("# before\n" + CLAIMS)
    assert "all 10 runs in its arms were started with a file that declares the same." in section(found)
    assert "which declares the same in another text." in section(found)


def test_a_hash_alone_cannot_be_compared(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS)
    made = [replace(run, config={"karn_claims": {"sha256": "ab" * 32}}) for run in pairs(GROWN, HOST)]
    found = build_report(experiment(made), path)
    assert "whose text is not in the runs: what was changed since cannot be told." in section(found)


@pytest.mark.parametrize("texts", [(CLAIMS,), (CLAIMS.replace("1.0", "0.5"), ""), ("",)])
def test_json_has_it_all_as_the_schema_says(reported, texts):
    found = reported(*texts)
    plain = json.loads(found.to_json())
    schema = json.loads(files(report_room).joinpath("schema.json").read_text(encoding="utf-8"))
    assert list(unlike(schema, plain, schema)) == []
    assert plain["declared"]["sentences"] == list(found.content.declared.sentences)
    assert plain["declared"]["found"]["runs"] == 10


def test_names_in_claims_that_runs_carry_cannot_become_markup(reported):
    nasty = '<img src=x onerror="alert(1)">|\\u202e'
    found = reported(CLAIMS.replace("growing wins", f"'{nasty}'"))
    html = found.to_html()
    assert "<img" not in html
    assert "\u202e" not in found.to_markdown() + html + found.to_json()


def test_it_is_read_back_from_record_logs(tmp_path):
    """The whole way: logs on disk, the real reader, the report."""
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS)
    made = [replace(run, claims=CLAIMS) for run in [*pairs(GROWN, HOST), Made("lost", "heuristic", 9, state="crashed")]]
    runs = karn_wandb.load_experiment(write_logs(tmp_path / "runs", made))
    found = karn_wandb.build_report(runs, path).content.declared.found
    assert (found.standing, found.runs, found.carried) == ("before", 11, 11)


def test_no_claims_file_is_said(reported):
    assert (
        "No claims file was given, so nothing was declared beforehand."
        in build_report(experiment(pairs(GROWN, HOST))).to_markdown()
    )
