"""The flow of runs: every run that was started is in it, and the diagram says what its table says."""

from __future__ import annotations

import re

import pytest
from report_runs import Made, experiment, pairs

from karn_wandb import charts
from karn_wandb.experiment.report import build_report
from karn_wandb.experiment.report.flow import flow_figures

GROWN, HOST = (64.9, 64.1, 66.0), (61.2, 62.5, 60.8)
MIXED = [
    *pairs(GROWN, HOST),
    Made("crashed", "heuristic", 7, (40.0,), state="crashed"),
    Made("failed", "heuristic", 8, (50.0,), state="failed"),
    Made("going", "heuristic", 9, (55.0,), state="running"),
    Made("silent", "none", 10, (None,)),
    Made("alone", "none", 11, (61.0,)),
]
CLAIM = "- {{name: {name}, treatment: {{controller: heuristic}}, control: {{controller: none}}, {more}}}\n"


@pytest.fixture
def figures(tmp_path):
    """Figures and flows of a report with a claim for each of these fields."""

    def of(made, *fields):
        path = tmp_path / "claims.yaml"
        path.write_text("claims:\n" + "".join(CLAIM.format(name=f"c{i}", more=more) for i, more in enumerate(fields)))
        content = build_report(experiment(made), path).content
        return flow_figures(content.claims, content.arms), [claim.flow for claim in content.claims]

    return of


def labels(figure, arm):
    return [row["label"] for row in figure.rows if row["arm"] == arm]


def test_every_run_that_was_started_is_somewhere(figures):
    _, ((treatment, control),) = figures(MIXED, "margin: 1")
    for arm in (treatment, control):
        assert arm.started == arm.excluded + arm.unmatched + arm.analysed
        assert arm.excluded == arm.crashed + arm.failed + arm.running + arm.without_metric
    assert (treatment.started, treatment.crashed, treatment.failed, treatment.running, treatment.analysed) == (6, 1, 1, 1, 3)
    assert (control.started, control.without_metric, control.unmatched, control.analysed, control.pairs) == (5, 1, 1, 3, 3)


def test_the_diagram_leads_from_started_to_analysed_and_both_arms_have_the_same_lanes(figures):
    ((figure,), _) = figures(MIXED, "margin: 1")
    assert labels(figure, "heuristic") == [
        *("6 started", "1 crashed", "1 failed", "1 still running", "0 without the metric"),
        *("3 with a result", "0 without a partner", "3 analysed, 3 pairs"),
    ]
    assert labels(figure, "none") == [
        *("5 started", "0 crashed", "0 failed", "0 still running", "1 without the metric"),
        *("4 with a result", "1 without a partner", "3 analysed, 3 pairs"),
    ]
    for arm in ("heuristic", "none"):
        assert [row["lane"] for row in figure.rows if row["arm"] == arm] == list(range(8))
    assert figure.table.rows == (
        ("none", "5", "0", "0", "0", "1", "0", "1", "3"),
        ("heuristic", "6", "1", "1", "1", "0", "0", "0", "3"),
    )


def test_unpaired_runs_need_no_partner(figures):
    ((figure,), _) = figures(pairs(GROWN, HOST), "pair_by: null")
    assert labels(figure, "none") == ["3 started", "none lost", "3 analysed"]


def test_runs_that_count_by_rule_are_not_lost(figures):
    ((figure,), ((treatment, _),)) = figures(MIXED, "pair_by: null, unfinished: worst")
    assert (treatment.started, treatment.excluded, treatment.counted, treatment.analysed) == (6, 0, 3, 6)
    assert labels(figure, "heuristic") == ["6 started", "3 counted by rule", "6 analysed"]


def test_claims_whose_arms_fared_alike_share_a_diagram_and_others_are_named(figures):
    drawn, _ = figures(MIXED, "margin: 1", "margin: 2", "pair_by: null")
    assert [re.findall("“(c.)”", figure.caption) for figure in drawn] == [["c0", "c1"], ["c2"]]
    ((only,), _) = figures(MIXED, "margin: 1", "margin: 2")
    assert "“" not in only.caption


def test_what_is_drawn_is_what_the_rows_say(figures):
    ((figure,), _) = figures(MIXED, "margin: 1")
    svg = charts.to_svg(charts.fill(figure.chart, figure.rows, domains=figure.domains))
    drawn = re.findall(r">([^<>]+)</text>", svg)
    assert set(drawn) == {"none", "heuristic", *labels(figure, "none"), *labels(figure, "heuristic")}
    heights = {text: float(y) for y, text in re.findall(r'translate\([\d.]+,([\d.]+)\)"[^>]*>([^<>]+)</text>', svg)}
    below = ["6 started", "1 crashed", "1 failed", "1 still running", "3 with a result", "0 without a partner"]
    assert [heights[text] for text in below] == sorted(heights[text] for text in below)
