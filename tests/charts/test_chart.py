"""One chart's data: which file draws it, and how numbers are written in it."""

from __future__ import annotations

import pytest

from karn_wandb.charts import Chart, fill
from karn_wandb.charts.chart import signed, unsigned


def test_a_chart_is_drawn_by_the_file_of_its_name_unless_it_names_another():
    rows = [{"slots_on": 1, "value": 2.0}]
    chart = Chart("coalitions", rows, "", {"title": "t"}, file="coalition_strip")
    assert chart.spec() == fill("coalition_strip", rows, title="t")
    assert Chart("waterfall", [], "", {}).spec() == fill("waterfall", [])


@pytest.mark.parametrize(
    ("value", "metric", "text"), [(1.234, "accuracy", "+1.23"), (-0.5, "accuracy", "−0.50"), (-0.01234, "loss", "−0.0123")]
)
def test_a_difference_has_a_sign(value, metric, text):
    assert signed(value, metric) == text


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [(61.26, "accuracy", "61.3"), (100.0, "accuracy", "100.0"), (0.3456, "loss", "0.346"), (-2.0, "loss", "−2")],
)
def test_a_value_fits_a_cell(value, metric, text):
    assert unsigned(value, metric) == text
