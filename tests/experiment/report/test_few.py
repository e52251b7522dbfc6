"""Of very many some are drawn: quantiles of each group, the extremes among them, and it is said."""

from __future__ import annotations

from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.experiment.report import figures
from karn_wandb.experiment.report.content import RunContent, SlotAttribution, SlotValue
from karn_wandb.experiment.report.few import MOST_DRAWN, MOST_LANES, evenly, said

ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=60)


@given(ITEMS, st.integers(6, 30))
def test_each_group_keeps_its_extremes_and_the_order_stays(items, most):
    kept = evenly(items, itemgetter(1), itemgetter(0), most)
    if len(items) <= most:
        assert kept == items
    rest = iter(items)
    assert all(item in rest for item in kept)
    groups = {group for group, _ in items}
    assert len(kept) <= most + 2 * len(groups)
    for group in groups:
        every, some = ([value for of, value in chosen if of == group] for chosen in (items, kept))
        assert (min(some), max(some)) == (min(every), max(every))


def test_what_is_kept_are_evenly_spaced_quantiles():
    assert evenly(list(range(101)), lambda value: -value, most=5) == [0, 25, 50, 75, 100]


def test_groups_share_by_their_sizes():
    items = [*(("large", value) for value in range(900)), *(("small", value) for value in range(100))]
    kept = [group for group, _ in evenly(items, itemgetter(1), itemgetter(0), 100)]
    assert (kept.count("large"), kept.count("small")) == (90, 10)


def test_more_groups_than_can_be_drawn_are_taken_together():
    kept = evenly([(group, group) for group in range(1000)], itemgetter(1), itemgetter(0), 100)
    assert (len(kept), kept[0], kept[-1]) == (100, (0, 0), (999, 999))


def test_it_is_said_what_is_not_there():
    assert said(5, 5, "runs", "from the lowest to the highest") == ""
    assert said(400, 10_000, "runs", "from the lowest to the highest") == (
        " Of 10,000 runs 400 are drawn, evenly from the lowest to the highest; the JSON form holds all."
    )


def finished(number: int) -> RunContent:
    return RunContent(
        run_id=f"run-{number:04}",
        name="",
        arm="none" if number % 2 else "heuristic",
        source="runs",
        state="finished",
        reason="",
        episodes=1,
        base_seed=number,
        epochs=3,
        final_accuracy=float(number),
        final_loss=None,
        host_params=1.0,
        total_params=2.0,
        analysed=True,
        left_out=(),
    )


def test_of_very_many_runs_some_are_points_of_accuracy_against_parameters():
    figure = figures.parameters([finished(number) for number in range(3 * MOST_DRAWN)], (), ("none", "heuristic"))
    assert len(figure.rows) == len(figure.table.rows) == MOST_DRAWN
    assert {row["value"] for row in figure.rows} >= {0.0, 1.0, 1198.0, 1199.0}
    assert " Of 1,200 runs 400 are drawn, evenly in each arm from the lowest accuracy to the highest;" in figure.caption


def test_slots_show_the_same_runs_of_very_many_and_the_mean_of_all():
    runs = {
        slot: tuple(SlotValue(f"run-{n:04}", 9, sign * n + n / 2, None, None, "exact", exact=True) for n in range(200))
        for slot, sign in (("early", 1), ("mid", -1))
    }
    slots = [SlotAttribution("heuristic", slot, "", 7.0, 6.0, 8.0, 0.1, 0.1, values) for slot, values in runs.items()]
    figure = figures.shapley(slots, ("heuristic",))
    drawn = {slot: {row["run"] for row in figure.rows if row["slot"] == slot} for slot in runs}
    assert drawn["early"] == drawn["mid"] >= {"run-0000", "run-0199", "mean over runs"}
    assert len(drawn["early"]) == MOST_LANES + 1
    assert [row["mean"] for row in figure.rows if row["kind"] == "mean"] == [7.0, 7.0]
    assert " Of 200 runs 40 are drawn, evenly from the lowest sum over slots to the highest" in figure.caption
