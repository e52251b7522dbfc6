"""What is drawn: every run, every seed, nothing hidden behind something else."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from report_runs import Made, experiment, pairs

from karn_wandb.experiment.report import build_report
from karn_wandb.experiment.report.bands import MOST_POINTS
from karn_wandb.experiment.report.blocks import Figures
from karn_wandb.experiment.report.document import document
from karn_wandb.experiment.report.few import MOST_DRAWN, MOST_LISTED
from karn_wandb.experiment.report.figures import spread

TREATMENT, CONTROL = (64.9, 64.1, 66.0, 64.6), (61.2, 62.5, 60.8, 63.1)


def drawn(made):
    layout = document(build_report(experiment(made)).content)
    return {f.chart: f for s in layout.sections for block in s.blocks if isinstance(block, Figures) for f in block.figures}


def test_every_pair_is_two_points_of_one_line():
    rows = drawn(pairs(TREATMENT, CONTROL))["arms"].rows
    assert [(row["arm"], row["pair"], row["value"]) for row in rows[:2]] == [("none", "0", 61.2), ("heuristic", "0", 64.9)]
    assert len(rows) == 8


def test_unpaired_runs_are_points_of_their_arm():
    made = [Made(f"{arm}-{s}", arm, 10 * s + (arm == "none"), (60.0 + s,)) for arm in ("heuristic", "none") for s in range(3)]
    rows = drawn(made)["arms"].rows
    assert sorted((row["arm"], row["run"]) for row in rows) == sorted((run.controller, run.run_id) for run in made)
    assert all(row["pair"] is None for row in rows)


def test_the_difference_shows_each_pair_and_both_intervals():
    rows = drawn(pairs(TREATMENT, CONTROL))["difference"].rows
    assert [row["kind"] for row in rows] == ["pair"] * 4 + ["interval"] * 2
    assert [round(row["value"], 9) for row in rows[:4]] == [3.7, 1.6, 5.2, 1.5]
    mean, bootstrap = rows[4:]
    assert mean["low"] < bootstrap["low"] < mean["value"] < bootstrap["high"] < mean["high"]


def test_below_three_pairs_no_interval_is_drawn():
    rows = drawn(pairs(TREATMENT[:2], CONTROL[:2]))["difference"].rows
    assert [row["kind"] for row in rows] == ["pair", "pair"]


def test_every_run_has_a_learning_curve_and_a_cross_where_it_broke_off():
    made = [*pairs(TREATMENT, CONTROL), Made("lost", "heuristic", 9, state="crashed", epochs=2), Made("other", None, 8)]
    rows = drawn(made)["learning_curves"].rows
    assert {row["run"] for row in rows if row["kind"] != "mean"} == {run.run_id for run in made}
    assert {row["kind"] for row in rows if row["arm"] == "in no arm"} == {"alone"}
    assert [(row["run"], row["epoch"]) for row in rows if row["end"]] == [("lost", 2)]
    assert {row["arm"] for row in rows if row["run"] == "other"} == {"in no arm"}


@pytest.fixture(scope="module")
def very_many():
    """A report on twice as many runs an arm as are drawn of all, and its layout."""
    made = [Made(f"{arm}-{s}", arm, s, (40.0 + s / 100,)) for arm in ("heuristic", "none") for s in range(2 * MOST_DRAWN)]
    report = build_report(experiment(made))
    layout = document(report.content)
    charts = {f.chart: f for s in layout.sections for block in s.blocks if isinstance(block, Figures) for f in block.figures}
    return report, layout, charts


@pytest.mark.slow
def test_of_very_many_runs_some_curves_are_drawn_the_extremes_among_them_and_it_is_said(very_many):
    report, _, charts = very_many
    figure = charts["learning_curves"]
    runs = {row["run"] for row in figure.rows if row["kind"] == "run"}
    assert len(runs) == MOST_DRAWN
    assert {f"{arm}-{s}" for arm in ("heuristic", "none") for s in (0, 2 * MOST_DRAWN - 1)} <= runs
    assert "Of 1,600 curves 400 are drawn, evenly in each arm from the lowest last value to the highest" in figure.caption
    assert len(report.content.curves.curves) == 4 * MOST_DRAWN


@pytest.mark.slow
def test_of_very_many_pairs_some_are_drawn_and_the_means_are_those_of_all(very_many):
    _, _, charts = very_many
    assert len(charts["arms"].rows) == len(charts["arms"].table.rows) == 2 * MOST_DRAWN
    assert {round(row["mean"], 9) for row in charts["arms"].rows} == {round(40 + (2 * MOST_DRAWN - 1) / 200, 9)}
    assert sum(row["kind"] == "pair" for row in charts["difference"].rows) == MOST_DRAWN
    for chart in ("arms", "difference"):
        assert "Of 800 pairs 400 are drawn, evenly from the lowest difference to the highest" in charts[chart].caption


@pytest.mark.slow
def test_of_very_many_runs_some_are_listed_and_the_json_form_holds_all(very_many):
    report, layout, _ = very_many
    said, table = next(section.blocks for section in layout.sections if section.heading == "Runs")
    assert len(table.rows) == MOST_LISTED
    assert said.text.endswith("Of 1,600 runs 1,000 are listed, evenly over the random seeds of each arm, analysed and not; "
                              "the JSON form holds all.")  # fmt: skip
    assert len(json.loads(report.to_json())["runs"]) == 4 * MOST_DRAWN


def test_each_episode_of_a_run_has_its_curve():
    rows = drawn([Made("many", finals=(60.0, 61.0))])["learning_curves"].rows
    assert {row["run"] for row in rows} == {"many 0/0", "many 0/1"}


def test_long_curves_are_thinned_to_evenly_spaced_epochs_and_the_last():
    rows = drawn([Made("long", epochs=1000)])["learning_curves"].rows
    epochs = [row["epoch"] for row in rows]
    assert len(epochs) == MOST_POINTS
    assert (epochs[0], epochs[-1]) == (0, 1000)
    assert max(b - a for a, b in pairwise(epochs)) <= 4


def test_shapley_values_are_drawn_run_by_run_and_then_their_mean():
    rows = drawn(pairs(TREATMENT, CONTROL, early=2.0))["shapley"].rows
    assert [row["kind"] for row in rows] == ["run"] * 4 + ["mean"]
    assert rows[0]["low"] < rows[0]["mean"] < rows[0]["high"]


def test_an_unknown_interval_is_drawn_without_width():
    rows = drawn([Made("one", finals=(60.0, 61.0), shapley={"early": 2.0})])["shapley"].rows
    assert rows[0]["low"] == rows[0]["mean"] == rows[0]["high"] == 2.0


def test_values_that_nearly_coincide_are_drawn_beside_each_other():
    assert spread([1.0, 1.0, 1.0, 5.0]) == [0, 1, -1, 0]
    assert spread([2.0, 2.0]) == [0, 1]
    assert spread([]) == []
    assert max(map(abs, spread([1.0] * 100))) == 5
