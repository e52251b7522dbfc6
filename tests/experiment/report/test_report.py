"""The report: one content, three forms, the same bytes for the same input, honest whatever the runs are like."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from json_schema import unlike
from report_runs import Made, controls, experiment, pairs

from karn_wandb.errors import ClaimsError, KarnError, SourceError, UsageError
from karn_wandb.experiment import report as report_room
from karn_wandb.experiment.report import build_report

TREATMENT, CONTROL = (64.9, 64.1, 66.0, 64.6, 65.2), (61.2, 62.5, 60.8, 63.1, 61.7)
LOST = Made("lost", "heuristic", 7, (40.0,), state="crashed", reason="killed")
CLAIMS = """\
family: demo
planned_runs: 5
claims:
  - name: growing beats the host alone
    treatment: {controller: heuristic}
    control: {controller: none}
    margin: 1.0
  - name: the loss is no worse
    metric: final_loss
    higher_is_better: false
    treatment: {controller: heuristic}
    control: {controller: none}
    pair_by: null
    test: non_inferiority
    margin: 0.05
"""
NASTY = '<img src=x onerror="alert(1)">|`*_\x1b[31m\u202e'


def demo():
    return [*pairs(TREATMENT, CONTROL, early=2.0, late=0.5), LOST]


@pytest.fixture
def claims(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS)
    return path


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = tmp_path_factory.mktemp("claims") / "claims.yaml"
    path.write_text(CLAIMS)
    return build_report(experiment(demo(), ("run lost: the last line was torn",)), path, "Growing CNN")


def schema() -> dict:
    return json.loads(files(report_room).joinpath("schema.json").read_text(encoding="utf-8"))


def strict_json(text: str) -> dict:
    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


class Page(HTMLParser):
    """Tags, ids and text of a page; complains when a tag is closed that is not open."""

    VOID = frozenset({"meta", "br", "img", "path", "line", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def __contains__(self, text: str) -> bool:
        return text in " ".join(" ".join(self.words).split())


def test_the_content_holds_claims_runs_and_what_became_of_them(full):
    content = full.content
    assert [claim.name for claim in content.claims] == ["growing beats the host alone", "the loss is no worse"]
    assert [claim.supported for claim in content.claims] == [True, True]
    assert content.declared.claims == 2
    assert content.arms == ("none", "heuristic")
    assert len(content.runs) == 11
    lost = next(run for run in content.runs if run.run_id == "lost")
    assert (lost.analysed, lost.left_out) == (False, ("crashed: killed",))
    treatment, control = content.claims[0].flow
    assert (treatment.arm, treatment.started, treatment.excluded, treatment.unmatched, treatment.analysed) == (
        "heuristic",
        6,
        1,
        0,
        5,
    )
    assert (control.arm, control.started, control.analysed) == ("none", 5, 5)
    assert [curve.finished for curve in content.curves.curves].count(False) == 1


def test_the_same_input_gives_the_same_bytes(claims):
    once = build_report(experiment(demo()), claims)
    again = build_report(experiment(demo()[::-1]), claims)
    assert once.to_json() == again.to_json()
    assert once.to_markdown() == again.to_markdown()
    assert once.to_html() == again.to_html()


def test_the_hash_follows_the_runs_and_the_claims(claims):
    hashes = {
        build_report(experiment(demo()), claims).content.input_hash,
        build_report(experiment(demo())).content.input_hash,
        build_report(experiment(demo()[:-1]), claims).content.input_hash,
    }
    assert len(hashes) == 3
    assert build_report(experiment(demo()), claims, "another title").content.input_hash in hashes


@pytest.mark.parametrize(
    ("made", "declared"),
    [
        (demo(), True),
        (demo(), False),
        ([Made("a", None, None, ())], False),
        ([Made("a"), Made("b", "none", loss=math.nan)], False),
        ([Made("a", state="crashed"), Made("b", "none")], True),
        (controls(TREATMENT, {"early": CONTROL, "late": CONTROL[:1]}, early=(1.0, 2.0, 0.5, 1.5, 0.0)), False),
    ],
)
def test_json_is_as_the_schema_says(made, declared, claims):
    plain = strict_json(build_report(experiment(made), claims if declared else None).to_json())
    assert list(unlike(schema(), plain, schema())) == []


def test_the_schema_check_can_fail(full):
    plain = json.loads(full.to_json())
    plain["runs"][0]["epochs"] = "many"
    plain["claims"][0]["supported"] = None
    plain["claims"][0]["level"] = None
    del plain["threats"]
    plain["extra"] = 1
    assert list(unlike(schema(), plain, schema())) == [
        "$: lacks threats",
        "$.claims[0].level: None is no number",
        "$.runs[0].epochs: 'many' is no ['integer', 'null']",
        "$: has extra",
    ]


def test_every_form_says_the_same(full):
    page, markdown = Page(full.to_html()), full.to_markdown().replace("\\", "")
    for claim in full.content.claims:
        for text in (claim.name, claim.badge, *claim.sentences):
            assert text in page
            assert text in markdown
    for text in (*full.content.methods, *full.content.citations, str(full.content.validity), full.content.input_hash):
        assert text in page
        assert text in markdown
    for threat in full.content.threats:
        assert threat.text in page
        assert threat.text in markdown
    for run in full.content.runs:
        assert run.run_id in page
        assert f"| {run.run_id} |" in markdown


def test_sections_come_in_the_order_a_reviewer_reads(full):
    headings = re.findall(r"^## (.*)$", full.to_markdown(), re.MULTILINE)
    assert headings == [
        "Verdict",
        "What was declared, and what was done",
        "Flow of runs",
        "Runs",
        "Comparison: growing beats the host alone",
        "Comparison: the loss is no worse",
        "Learning curves",
        "Attribution to slots",
        "Parameters and accuracy",
        "Robustness of the verdicts",
        "Threats to these conclusions",
        "Methods",
        "References",
        "Versions and input",
    ]


def test_the_page_is_one_file_without_scripts_and_with_a_table_under_every_figure(full):
    html = full.to_html()
    page = Page(html)
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == page.tags.count("figure") == page.tags.count("details") == 10
    assert not [value for name, value in page.attributes if name in ("src", "href", "onload", "onclick")]
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", html))
    assert used <= set(ids)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_names_cannot_become_markup_anywhere(tmp_path):
    """A name from a run, a slot, a reason, a claim, a title: HTML, Markdown, control and bidi characters stay text."""
    path = tmp_path / "claims.yaml"
    path.write_text(
        json.dumps({"claims": [{"name": NASTY, "treatment": {"controller": NASTY}, "control": {"controller": "none"}}]})
    )
    made = [
        *(Made(f"{NASTY}{s}", NASTY, s, (60.0 + s,), shapley={NASTY: 1.0}, name=NASTY, source=NASTY) for s in range(3)),
        *(Made(f"host-{s}", "none", s, (60.0 + s * s,), config={NASTY: NASTY}) for s in range(3)),
        Made("lost", NASTY, 4, state="crashed", reason=NASTY),
    ]
    found = build_report(experiment(made, (NASTY,)), path, NASTY)
    html, markdown = found.to_html(), found.to_markdown()
    page = Page(html)
    assert page.open == []
    assert "img" not in page.tags
    assert "onerror" not in [name for name, _ in page.attributes]
    for text in (html, markdown, found.to_json()):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert not re.search(r"(?<!\\)<img", markdown)
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", line.replace(NASTY, "")))
    strict_json(found.to_json())


def test_folders_of_absolute_paths_are_nobodys_business():
    made = [
        Made("a", source="/home/alice/secret/runs"),
        Made("b", "none", source="../runs"),
        Made("c", "none", 1, source="C:\\alice\\runs"),
    ]
    found = build_report(experiment(made, ("run a was found again in '/home/alice/secret/runs'",)))
    assert {run.run_id: run.source for run in found.content.runs} == {"a": "runs", "b": "../runs", "c": "runs"}
    assert "alice" not in found.to_json()
    assert "alice" not in found.to_markdown()


def test_no_runs_is_an_error():
    with pytest.raises(SourceError) as error:
        build_report(experiment([]))
    assert str(error.value) == ("there are no runs to report on. Name a folder, a project or a record log that holds runs.")


def test_one_run_is_described():
    found = build_report(experiment([Made("only", shapley={"early": 1.0})]))
    assert found.content.claims == ()
    assert "No comparison: there is no claims file" in found.to_markdown()
    assert found.content.attribution[0].ci_low is None  # one run has no interval across runs
    assert "only" in Page(found.to_html())


def test_a_run_without_anything_is_described():
    found = build_report(experiment([Made("empty", None, None, ())]))
    markdown = found.to_markdown()
    assert "No run logged an epoch with a loss or an accuracy." in markdown
    assert "No finished run logged Shapley values." in markdown
    assert "No finished run logged both a final accuracy and its parameters." in markdown
    assert Page(found.to_html()).open == []


def test_when_every_run_crashed_the_report_says_so(claims):
    made = [Made(f"{arm}-{s}", arm, s, state="crashed", reason="killed") for arm in ("heuristic", "none") for s in range(3)]
    found = build_report(experiment(made), claims)
    assert [claim.supported for claim in found.content.claims] == [False, False]
    assert [claim.badge for claim in found.content.claims] == ["Not supported", "Not supported"]
    assert found.content.claims[1].sentences == (
        "There is nothing to compare: an arm has no finished run with final_loss; 6 runs were not analysed.",
        "That the claim was declared before its runs is not shown.",
    )
    assert [claim.robustness for claim in found.content.claims] == [None, None]
    assert all(run.left_out == ("crashed: killed",) for run in found.content.runs)
    assert Page(found.to_html()).open == []


def test_runs_without_the_metric_are_listed_with_the_reason(claims):
    found = build_report(experiment([*demo(), Made("silent", "none", 9, (None,)), Made("nan", "none", 8, loss=math.nan)]), claims)
    by_id = {run.run_id: run for run in found.content.runs}
    assert by_id["silent"].left_out == ("final_accuracy is missing or NaN", "final_loss is missing or NaN")
    assert by_id["nan"].left_out == ("no analysed run of the other arm has base_seed 8", "final_loss is missing or NaN")
    assert "| no: final_accuracy is missing or NaN; final_loss is missing or NaN |" in found.to_markdown().replace("\\", "")


def test_without_claims_the_comparison_is_exploratory():
    found = build_report(experiment(demo()))
    (claim,) = found.content.claims
    assert (claim.name, claim.supported, claim.badge) == ("heuristic against none", None, "Exploratory: better")
    assert found.content.declared is None
    assert "Plan" in {threat.topic for threat in found.content.threats}


def test_a_claim_about_an_arm_there_is_not_is_an_error(claims):
    claims.write_text(CLAIMS.replace("{controller: heuristic}", "{controller: policy}", 1))
    with pytest.raises(ClaimsError) as error:
        build_report(experiment(demo()), claims)
    assert str(error.value) == (
        "the claim 'growing beats the host alone' (line 4): no run has controller = policy. "
        "The values of controller are heuristic, none."
    )


@pytest.mark.parametrize("suffix", ["html", "md", "json"])
def test_a_report_is_saved_as_its_name_says(full, tmp_path, suffix):
    path = full.save(tmp_path / f"report.{suffix}")
    written = {"html": full.to_html, "md": full.to_markdown, "json": full.to_json}[suffix]()
    assert path.read_text(encoding="utf-8") == written


def test_a_report_that_cannot_be_saved_is_an_error(full, tmp_path):
    with pytest.raises(UsageError) as ending:
        full.save(tmp_path / "report.pdf")
    assert str(ending.value) == "a report is saved as .html, .md or .json; got 'report.pdf'."
    with pytest.raises(KarnError) as missing:
        full.save("no/such/folder/report.json")
    assert str(missing.value) == ("the report cannot be written to 'no/such/folder/report.json'; got No such file or directory.")


def test_without_vl_convert_only_the_page_is_refused(full, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert full.to_markdown()
    assert full.to_json()
    with pytest.raises(KarnError) as error:
        full.to_html()
    assert str(error.value) == 'charts cannot be drawn without vl-convert. Run: pip install "karn-wandb[report]"'


def test_the_methods_say_only_what_was_done(full):
    one = build_report(experiment(pairs(TREATMENT, CONTROL))).content
    assert any("Holm's procedure" in text for text in full.content.methods)
    assert not any("Holm" in text for text in (*one.methods, *one.citations))
    assert not any("Shapley" in text for text in (*one.methods, *one.citations))
    assert any("Welch 1947" in text for text in full.content.methods)
    assert not any("Welch" in text for text in one.methods)


def test_runs_without_a_curve_are_named():
    found = build_report(experiment([Made("a"), Made("silent", finals=(None,), loss=1.0)]))
    assert "No val_accuracy was logged by silent." in found.to_markdown().replace("\\", "")


def test_runs_are_listed_by_arm_and_seed():
    made = [
        Made("z", "heuristic", 2),
        Made("a", "heuristic", 10),
        Made("m", "none", 3),
        Made("b", None, 1),
        Made("n", "none", None),
    ]
    assert [run.run_id for run in build_report(experiment(made)).content.runs] == ["m", "n", "z", "a", "b"]


def test_filters_that_chose_the_runs_are_said():
    chosen = replace(experiment(demo()), filters={"controller": "none"})
    found = build_report(chosen)
    assert found.content.filters == "controller = none"
    assert "5 runs, read from ./runs, only those with controller = none." in found.to_markdown()


def test_an_arm_of_runs_that_lack_the_name_is_called_null(claims):
    claims.write_text("claims: [{name: a, treatment: {lr: 0.1}, control: {lr: null}, pair_by: null}]")
    found = build_report(experiment([Made("a", config={"lr": 0.1}), Made("b")]), claims)
    assert found.content.arms == ("null", "0.1")


def test_versions_are_those_of_the_report_and_of_the_runs(full):
    assert full.content.versions["torch in the runs"] == "2.13.0"
    assert set(full.content.versions) >= {"python", "karn-wandb", "numpy", "scipy", "pandas"}
