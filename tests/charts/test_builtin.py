"""W&B's own presets: asked as `wandb.plot` asks them, never for an estimate without the ends of its interval beside it."""

from __future__ import annotations

import pytest
import wandb
from attribution_example import NAMES, matrix, series

from karn_wandb import charts
from karn_wandb.charts.builtin import bars, lines, points, with_ends
from karn_wandb.records import ShapleyEstimate


def as_plot(made):
    spec = made.spec
    return (spec.spec_name, tuple(made.table.columns), spec.fields, spec.string_fields)


@pytest.mark.parametrize(
    ("ours", "wandbs"),
    [
        (
            bars("t", [("a", 1.0)]),
            lambda: wandb.plot.bar(wandb.Table(["label", "value"], [["a", 1.0]]), "label", "value", title="t"),
        ),
        (
            lines("t", "epoch", [(1, "a", 2.0)]),
            lambda: wandb.plot.line_series([1], [[2.0]], keys=["a"], title="t", xname="epoch"),
        ),
        (
            points("t", "on", "acc (%)", [(1, 2.0)]),
            lambda: wandb.plot.scatter(wandb.Table(["on", "acc (%)"], [[1, 2.0]]), "on", "acc (%)", title="t"),
        ),
    ],
    ids=["bar", "line_series", "scatter"],
)
def test_a_plot_is_the_one_that_wandb_makes(ours, wandbs):
    made = wandbs()
    assert as_plot(made) == (ours.preset, ours.columns, dict(ours.fields), dict(ours.texts))
    assert made.table.data == [list(row) for row in ours.rows]


def test_without_values_there_is_no_plot():
    assert bars("t", []) is None
    assert lines("t", "x", []) is None
    assert points("t", "x", "y", []) is None


def test_both_ends_of_an_interval_stand_beside_the_estimate():
    estimate = ShapleyEstimate(1.0, 0.5, 8, ci_low=0.0, ci_high=2.0)
    assert [*with_ends("a", estimate)] == [("a", 1.0), ("a, 95 % low", 0.0), ("a, 95 % high", 2.0)]


def test_bars_of_shapley_values_leave_out_what_has_no_interval():
    found = matrix(NAMES[:2])
    assert [label for label, _ in charts.slot_values(found).plain.rows] == [
        *("early", "early, 95 % low", "early, 95 % high"),
        *("mid", "mid, 95 % low", "mid, 95 % high"),
    ]
    bare = {slot: ShapleyEstimate(e.mean, None, 0) for slot, e in found.shapley_values.items()}
    assert (
        charts.slot_values(type(found)(epoch=1, configs=found.configs, shapley_values=bare, slot_ids=found.slot_ids)).plain
        is None
    )


def test_coalitions_are_points_by_slots_on():
    plot = charts.coalitions(matrix(NAMES[:2])).plain
    assert sorted(on for on, _ in plot.rows) == [0, 1, 1, 2]
    assert plot.columns == ("slots on", "validation accuracy (%)")


def test_shapley_values_over_the_epochs_are_lines_with_both_ends():
    by_epoch = {found.epoch: found.shapley_values for found in series(NAMES[:2], 3)}
    plot = charts.onset(by_epoch, "accuracy", 0.5, {}, {}).plain
    assert len(plot.rows) == 3 * 2 * 3
    assert {name for _, name, _ in plot.rows} == {
        f"{slot}{end}" for slot in NAMES[:2] for end in ("", ", 95 % low", ", 95 % high")
    }


@pytest.mark.parametrize("chart", [charts.waterfall, charts.interactions])
def test_what_none_of_them_can_show_is_left_to_the_picture(chart):
    assert chart(matrix()).plain is None
