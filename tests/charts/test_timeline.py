"""Shapley values over the epochs: gaps stay gaps, the onset and the stages where they belong."""

from __future__ import annotations

from itertools import pairwise

import pytest
from attribution_example import LONG, NAMES, series, stages

from karn_wandb import charts
from karn_wandb.charts.timeline import MOST_EPOCHS
from karn_wandb.records import SeedStage, ShapleyEstimate

MOST_BYTES = 200_000


def estimate(mean, low=None, high=None):
    return ShapleyEstimate(mean, None, 4, ci_low=low, ci_high=high)


def drawn(values, onsets=(), life=(), metric="accuracy"):
    return charts.onset(values, metric, 0.5, dict(onsets), dict(life))


def of(chart, kind, slot="a"):
    return [row for row in chart.rows if row["kind"] == kind and row["slot"] == slot]


def test_without_values_there_is_no_chart():
    assert drawn({}) is None
    assert drawn({1: {}}) is None


def test_each_epoch_has_a_value_with_its_interval():
    chart = drawn({1: {"a": estimate(1.0, 0.5, 1.5)}, 4: {"a": estimate(-2.0)}})
    found = [(row["epoch"], row["mean"], row["low"], row["high"]) for row in of(chart, "value")]
    assert found == [(1, 1.0, 0.5, 1.5), (4, -2.0, None, None)]


def test_an_epoch_without_an_estimate_is_a_gap():
    """A value that no line reaches gets an interval and a dot of its own."""
    values = {epoch: {"b": estimate(0.0)} for epoch in (1, 2, 3)}
    values[2]["a"] = estimate(1.0, 0.0, 2.0)
    rows = of(drawn(values), "value")
    assert [row["mean"] for row in rows] == [None, 1.0, None]
    assert [row["alone"] for row in rows] == [False, True, False]


def test_onset_and_stages_are_marked_where_they_are_known():
    life = [(1, SeedStage.DORMANT), (2, SeedStage.TRAINING), (3, SeedStage.TRAINING), (4, SeedStage.PRUNED)]
    values = {epoch: {"a": estimate(1.0), "b": estimate(0.0)} for epoch in range(1, 5)}
    chart = drawn(values, {"a": 3, "b": None}, {"a": life})
    assert [(row["epoch"], row["label"]) for row in of(chart, "onset")] == [(3, "onset 3")]
    assert [(row["epoch"], row["until"], row["stage"]) for row in of(chart, "stage")] == [(1.5, 3.5, "training")]
    assert of(chart, "onset", "b") == of(chart, "stage", "b") == []


def test_panels_come_in_the_order_of_the_slots():
    chart = drawn({1: {"z": estimate(1.0), "a": estimate(1.0)}})
    assert {row["slot"]: row["place"] for row in chart.rows} == {"z": 0, "a": 1}


def test_a_very_long_run_is_thinned_evenly_and_stays_small():
    values = {epoch: {slot: estimate(1.0, 0.5, 1.5) for slot in NAMES} for epoch in range(1, 2001)}
    chart = drawn(values, {"early": 1001})
    epochs = [row["epoch"] for row in of(chart, "value", "early")]
    assert len(epochs) <= MOST_EPOCHS
    assert {later - earlier for earlier, later in pairwise(epochs)} == {10}
    assert of(chart, "onset", "early")[0]["epoch"] == 1001
    assert len(charts.to_page(chart)) < MOST_BYTES


@pytest.mark.parametrize("slots", [NAMES[:2], NAMES, LONG], ids=len)
@pytest.mark.parametrize("epochs", [1, 2, 24])
def test_it_can_be_drawn(slots, epochs):
    values = {found.epoch: found.shapley_values for found in series(slots, epochs)}
    chart = drawn(values, {slots[0]: 1}, stages(slots, epochs))
    assert charts.to_png(chart.spec()).startswith(b"\x89PNG")
    assert len(charts.to_page(chart)) < MOST_BYTES
