"""A run's events as charts of attribution: of one episode, the one evaluated last."""

from __future__ import annotations

from attribution_example import NAMES, matrix, series
from hypothesis import given, settings
from logged import epoch, event
from strategies import event_sequences

from karn_wandb.analysis.attribution_charts import AttributionCharts
from karn_wandb.records import SeedStage, SlotSnapshot


def evaluated(found, where=(0, 0), *, scoped=False):
    return event("COUNTERFACTUAL_MATRIX_COMPUTED", found, *where, scoped=scoped)


def drawn(*events):
    return {chart.name: chart for chart in AttributionCharts(events).charts()}


@settings(max_examples=30)
@given(event_sequences(max_size=20))
def test_any_events_give_charts_each_at_most_once(events):
    names = [chart.name for chart in AttributionCharts(events).charts()]
    assert len(set(names)) == len(names)


def test_without_a_matrix_there_is_nothing_to_show():
    assert drawn(epoch(1, val_accuracy=50.0)) == {}


def test_five_charts_of_the_newest_matrix_and_of_the_way_there():
    found = drawn(*map(evaluated, series(epochs=6)))
    assert list(found) == ["slot_values", "waterfall", "coalitions", "interactions", "onset"]
    assert found["slot_values"].titles["title"].endswith("epoch 6")
    assert {row["epoch"] for row in found["onset"].rows if row["kind"] == "value"} == set(range(1, 7))


def test_the_onset_is_the_analytics_own_and_stages_are_the_snapshots():
    snapshots = [
        epoch(n, slots=[SlotSnapshot("early", SeedStage.TRAINING if n < 12 else SeedStage.BLENDING)]) for n in range(1, 25)
    ]
    found = drawn(*snapshots, *map(evaluated, series()))["onset"]
    onsets = {row["slot"]: row["epoch"] for row in found.rows if row["kind"] == "onset"}
    assert set(onsets) == {"early", "mid"}  # the third one harms
    assert [row["stage"] for row in found.rows if row["kind"] == "stage"] == ["training", "blending"]


def test_of_several_episodes_the_one_evaluated_last_is_shown_alone():
    events = [
        evaluated(matrix(NAMES[:2], 1), (1, 0), scoped=True),
        evaluated(matrix(NAMES[:3], 2), (2, 0), scoped=True),
        evaluated(matrix(NAMES[:4], 3), (1, 1), scoped=True),
    ]
    found = drawn(*events)
    assert [row["slot"] for row in found["slot_values"].rows] == list(NAMES[:4])
    assert {row["epoch"] for row in found["onset"].rows} == {3}
