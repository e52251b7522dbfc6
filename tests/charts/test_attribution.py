"""Coalition matrices as charts: every value where it belongs, nothing drawn that is not known."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from attribution_example import LONG, NAMES, matrix
from hypothesis import example, given, settings
from strategies import records

from karn_wandb import CounterfactualEngine, charts
from karn_wandb.charts.attribution import MARKS, MOST_CELLS, MOST_SLOTS, MOST_TICKS
from karn_wandb.records import (
    CounterfactualConfig,
    CounterfactualMatrix,
    CounterfactualResult,
    InteractionEstimate,
    ShapleyEstimate,
)

ALL = (charts.slot_values, charts.coalitions, charts.interactions, charts.waterfall)
MOST_BYTES = 200_000


def placeholders(chart) -> set[str]:
    """Fields that the chart's file asks for."""
    return set(re.findall(r'"field": "([a-z_]+)"', str(chart.spec()).replace("'", '"')))


def by(chart, *keys):
    return {tuple(row[key] for key in keys): row for row in chart.rows}


SUBNORMAL = CounterfactualMatrix(epoch=0, configs=(), shapley_values={"early": ShapleyEstimate(1e-320, None, 0)})


@settings(max_examples=60)
@given(records(CounterfactualMatrix))
@example(SUBNORMAL)
def test_any_matrix_is_drawn_or_gives_no_chart(found):
    for chart_of in ALL:
        chart = chart_of(found)
        if chart is not None:
            assert "<svg" in charts.to_svg(chart.spec())


@pytest.mark.parametrize("slots", [NAMES[:2], NAMES[:3], NAMES, LONG], ids=len)
@pytest.mark.parametrize("chart_of", ALL, ids=lambda chart_of: chart_of.__name__)
def test_each_chart_has_every_field_its_file_asks_for_and_stays_small(chart_of, slots):
    chart = chart_of(matrix(slots, force_full_factorial=True))
    columns = {name for row in chart.rows for name in row}
    assert placeholders(chart) <= columns
    assert charts.to_png(chart.spec(), theme="dark").startswith(b"\x89PNG")
    assert len(charts.to_page(chart)) < MOST_BYTES


def test_bars_carry_value_interval_and_sign():
    found = replace(
        matrix(NAMES[:2]),
        shapley_values={
            "early": ShapleyEstimate(-1.25, 0.5, 4, ci_low=-2.25, ci_high=-0.25),
            "mid": ShapleyEstimate(0.5, 0.5, 4, ci_low=-0.5, ci_high=1.5),
        },
    )
    assert charts.slot_values(found).rows == [
        {"slot": "early", "mean": -1.25, "low": -2.25, "high": -0.25, "sign": "negative", "sure": True, "label": "−1.25"},
        {"slot": "mid", "mean": 0.5, "low": -0.5, "high": 1.5, "sign": "positive", "sure": False, "label": "+0.50"},
    ]


def test_a_slot_without_an_estimate_has_a_dash_and_no_bar():
    found = replace(matrix(NAMES[:2]), shapley_values={"mid": ShapleyEstimate(1.0, None, 4)})
    early, mid = charts.slot_values(found).rows
    assert (early["slot"], early["mean"], early["label"]) == ("early", None, "–")
    assert (mid["low"], mid["high"], mid["sure"]) == (None, None, False)
    assert charts.waterfall(found) is None


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("per_example", "each example's own Shapley values"),
        ("group_jackknife", "leaving out one group of examples at a time"),
        ("binomial_bound", "an upper bound"),
    ],
)
def test_the_caption_says_how_evaluation_error_is_known(method, said):
    found = matrix(NAMES[:2])
    estimates = {slot: replace(e, evaluation_method=method) for slot, e in found.shapley_values.items()}
    assert said in charts.slot_values(replace(found, shapley_values=estimates)).caption


def test_without_intervals_the_caption_says_so():
    found = CounterfactualEngine().evaluate(("a", "b"), lambda c: 50.0 + sum(c), epoch=1)
    assert "No interval is known" in charts.slot_values(found).caption


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_the_grid_has_each_coalition_once_and_neighbours_differ_in_one_slot(n):
    slots = tuple("abcdef"[:n])
    found = CounterfactualEngine(CounterfactualConfig(force_full_factorial=True)).evaluate(
        slots, lambda c: 50.0 + sum(on << place for place, on in enumerate(c)) / 2, epoch=1
    )
    chart = charts.coalitions(found)
    assert chart.spec()["datasets"]["wandb"] == list(chart.rows)
    values = {"".join("●" if on else "○" for on in r.config): r.val_accuracy for r in found.configs}
    assert {row["down"] + row["across"]: row["value"] for row in chart.rows} == values
    for axis in ("down", "across"):
        order = list(dict.fromkeys(row[axis] for row in chart.rows))
        assert all(sum(x != y for x, y in zip(a, b, strict=True)) == 1 for a, b in pairwise(order))


def test_the_best_coalition_is_deepest_also_when_less_is_better():
    for metric in ("accuracy", "loss"):
        found = matrix(NAMES[:4], metric=metric)
        best = max(found.configs, key=lambda r: r.val_accuracy if metric == "accuracy" else -r.val_loss)
        pattern = "".join("●" if on else "○" for on in best.config)
        deepest = max(charts.coalitions(found).rows, key=lambda row: row["shade"])
        assert deepest["down"] + deepest["across"] == pattern
        assert deepest["shade"] == 1
    assert deepest["label"] == f"{best.val_loss:.3g}"


def test_a_coalition_that_was_not_evaluated_is_a_dash_and_counted():
    engine = CounterfactualEngine(CounterfactualConfig(max_configurations=5))
    chart = charts.coalitions(engine.evaluate(("a", "b", "c"), lambda c: 50.0 + sum(c), epoch=1))
    missing = [row for row in chart.rows if row["value"] is None]
    assert len(missing) == 3
    assert all((row["shade"], row["label"]) == (None, "–") for row in missing)
    assert "3 not evaluated" in chart.caption


def test_equal_values_are_drawn_at_middle_depth():
    chart = charts.coalitions(CounterfactualEngine().evaluate(("a",), lambda _: 50.0, epoch=1))
    assert [row["shade"] for row in chart.rows] == [0.5, 0.5]


def test_more_coalitions_than_cells_are_a_strip():
    slots = tuple("abcdefg")
    assert 2 ** len(slots) > MOST_CELLS
    found = CounterfactualEngine().evaluate(slots, lambda c: 50.0 + sum(c), epoch=1)
    chart = charts.coalitions(found)
    assert (chart.name, chart.file) == ("coalitions", "coalition_strip")
    assert all(row["value"] == 50.0 + row["slots_on"] for row in chart.rows)
    assert len(chart.rows) == len(found.configs)


def test_a_strip_of_very_many_is_thinned_evenly_and_says_so():
    configs = tuple(
        CounterfactualResult(tuple(bool(number >> bit & 1) for bit in range(11)), val_accuracy=number / 32)
        for number in range(2**11)
    )
    chart = charts.coalitions(CounterfactualMatrix(epoch=1, configs=configs))
    assert len(chart.rows) <= MOST_TICKS
    assert {row["slots_on"] for row in chart.rows} >= set(range(11))
    assert f"{len(chart.rows)} of the 2048 are drawn" in chart.caption
    assert len(charts.to_page(chart)) < MOST_BYTES


def test_each_pair_is_one_cell_with_its_regime_and_an_undecided_one_is_pale():
    pairs = {
        ("a", "b"): InteractionEstimate(2.0, 0.5, 1.0, 3.0, "synergy"),
        ("a", "c"): InteractionEstimate(-2.0, 0.5, -3.0, -1.0, "interference"),
        ("b", "c"): InteractionEstimate(-2.0, 2.0, -6.0, 2.0, "undecided"),
    }
    found = CounterfactualMatrix(epoch=1, configs=(), slot_ids=("a", "b", "c"), interactions=pairs)
    cells = by(charts.interactions(found), "first", "second")
    assert set(cells) == set(pairs)
    assert [cells[pair]["mark"] for pair in pairs] == ["▲", "▼", ""]
    assert [cells[pair]["sign"] for pair in pairs] == ["positive", "negative", "negative"]
    assert cells["b", "c"]["strength"] < cells["a", "c"]["strength"] == 1
    assert [cells[pair]["decided"] for pair in pairs] == [True, True, False]


def test_every_regime_has_a_mark_of_its_own():
    assert len(set(MARKS.values())) == len(MARKS) == 4


def test_a_pair_that_was_not_evaluated_is_a_dash():
    pairs = {("a", "b"): InteractionEstimate(2.0)}
    cells = by(charts.interactions(CounterfactualMatrix(1, (), slot_ids=("a", "b", "c"), interactions=pairs)), "first", "second")
    assert cells["a", "c"]["label"] == "–"


def test_effects_without_an_interval_are_undecided():
    found = CounterfactualEngine().evaluate(("a", "b"), lambda c: 50.0 + 3 * (c[0] and c[1]), epoch=1)
    (row,) = charts.interactions(replace(found, interactions={})).rows
    assert (row["label"], row["decided"], row["mark"]) == ("+3.00", False, "")


def test_of_very_many_slots_those_with_the_strongest_interactions_are_shown():
    slots = tuple(f"s{place:02}" for place in range(MOST_SLOTS + 3))
    pairs = {(slots[0], slot): InteractionEstimate(float(place)) for place, slot in enumerate(slots) if place}
    chart = charts.interactions(CounterfactualMatrix(1, (), slot_ids=slots, interactions=pairs))
    shown = {row[end] for row in chart.rows for end in ("first", "second")}
    assert shown == {slots[0], *slots[4:]}
    assert "3 slots with weaker interactions are not shown" in chart.caption
    assert len(charts.to_page(chart)) < MOST_BYTES


def test_the_waterfall_leads_from_all_off_to_all_on():
    found = matrix(NAMES, force_full_factorial=True)
    first, *steps, last = charts.waterfall(found).rows
    assert (first["step"], last["step"]) == ("all off", "all on")
    assert first["to"] == found.value((False,) * 6)
    assert last["to"] == found.value((True,) * 6)
    assert [step["step"] for step in steps] == list(NAMES)
    for before, step in zip([first, *steps], steps, strict=False):
        assert before["to"] == step["from"]
        assert before["next"] == step["step"]
        estimate = found.shapley_values[step["step"]]
        assert step["low"] == step["from"] + estimate.ci_low
        assert step["high"] == step["from"] + estimate.ci_high
    assert steps[-1]["to"] == pytest.approx(last["to"])


def test_what_the_values_do_not_share_out_is_a_step_of_its_own():
    found = matrix(NAMES[:2])
    halved = {slot: replace(e, mean=e.mean / 2, ci_low=None, ci_high=None) for slot, e in found.shapley_values.items()}
    rows = charts.waterfall(replace(found, shapley_values=halved)).rows
    assert rows[-2]["step"] == "not shared out"
    assert rows[-2]["to"] == pytest.approx(rows[-1]["to"])
    assert rows[-2]["low"] is None


def test_the_waterfall_says_that_all_off_is_no_host_only_run():
    assert "not a host-only run" in charts.waterfall(matrix()).caption


def test_an_ablation_has_coalitions_only():
    found = CounterfactualEngine(CounterfactualConfig(strategy="ablation_only")).evaluate(
        ("a", "b", "c"), lambda c: 50.0 + sum(c), epoch=1
    )
    assert [chart_of(found) is not None for chart_of in ALL] == [False, True, False, False]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Contrast ratio of two sRGB colours, 0 to 255 (WCAG 2.1)."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("fill", [(0, 114, 178), (213, 94, 0)], ids=["blue", "orange"])
@pytest.mark.parametrize(("ink", "page"), [((27, 31, 36), (255,) * 3), ((228, 231, 235), (20, 23, 27))], ids=["light", "dark"])
def test_numbers_are_readable_on_the_deepest_cell(fill, ink, page):
    """Of the two files with numbers in cells, 0.6 is the greatest opacity; 4.5 is WCAG's level AA."""
    cell = tuple(0.6 * f + 0.4 * p for f, p in zip(fill, page, strict=True))
    assert contrast(ink, cell) > 4.5
