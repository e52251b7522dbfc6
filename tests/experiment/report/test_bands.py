"""Mean curves: the interval of each epoch is the textbook one, a run counts once, and nothing moves because runs drop out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import Made, controls, experiment, pairs
from scipy import stats

from karn_wandb.experiment.report import build_report
from karn_wandb.experiment.report.bands import MOST_POINTS, Moments
from karn_wandb.experiment.report.curve_figures import MOST_ROWS, curve_figures

TREATMENT, CONTROL = (64.9, 64.1, 66.0, 64.6), (61.2, 62.5, 60.8, 63.1)


def curves(made):
    return build_report(experiment(made)).content.curves


def of(found, arm):
    return next(mean.band for mean in found.means if mean.arm == arm)


def reached(final, epoch, epochs=4):
    return 10 + (final - 10) * (1 - np.exp(-3 * epoch / epochs)) if epoch < epochs else final


def test_each_epoch_has_the_t_interval_of_its_mean():
    """Against scipy.stats.ttest_1samp, which shares no code with it."""
    band = of(curves(pairs(TREATMENT, CONTROL)), "heuristic")
    assert (band.curves, band.epochs) == (4, (0, 1, 2, 3, 4))
    for place, epoch in enumerate(band.epochs[1:], 1):
        values = [reached(final, epoch) for final in TREATMENT]
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert band.mean[place] == pytest.approx(np.mean(values), rel=1e-12)
        assert (band.low[place], band.high[place]) == pytest.approx(tuple(expected), rel=1e-9)
    assert band.low[0] == band.mean[0] == band.high[0] == 10  # all start alike


def test_the_difference_is_that_of_pairs():
    """The last epoch is the final accuracy, so its interval is the primary one of the comparison itself."""
    report = build_report(experiment(pairs(TREATMENT, CONTROL))).content
    (found,) = report.curves.differences
    comparison = report.claims[0].aggregation.comparison
    assert (found.treatment, found.control, found.pair_by, found.band.curves) == ("heuristic", "none", "base_seed", 4)
    ends = (found.band.mean[-1], found.band.low[-1], found.band.high[-1])
    assert ends == pytest.approx((comparison.mean_delta, comparison.ci_low, comparison.ci_high), rel=1e-9)


def test_below_three_runs_there_is_no_mean_and_the_lines_are_drawn_boldly():
    found = curves(pairs(TREATMENT[:2], CONTROL[:2]))
    assert (found.means, found.differences) == ((), ())
    (figure,) = curve_figures(found, ("none", "heuristic"))
    assert {row["kind"] for row in figure.rows} == {"alone"}
    assert "mean" not in figure.caption


def test_runs_that_did_not_finish_are_in_no_mean_and_make_no_difference():
    whole = pairs(TREATMENT, CONTROL)
    lost = [Made("lost", "heuristic", 9, (40.0,), state="crashed", epochs=2), Made("its-host", "none", 9)]
    assert of(curves([*whole, *lost]), "heuristic") == of(curves(whole), "heuristic")
    assert curves([*whole, *lost]).differences == curves(whole).differences
    assert of(curves([*whole, *lost]), "none").curves == 5


def test_a_mean_covers_only_epochs_that_all_runs_have():
    """A run that stops early must not bend the mean of the others."""
    made = [Made(f"a-{seed}", "heuristic", seed, (60.0 + seed,), epochs=8 - 3 * (seed == 0)) for seed in range(3)]
    assert of(curves([*made, Made("b", "none")]), "heuristic").epochs == (0, 1, 2, 3, 4, 5)


def test_episodes_of_a_run_count_once():
    """Three runs of two episodes are three curves, each the mean of its episodes."""
    made = [Made(f"a-{seed}", "heuristic", seed, (60.0 + seed, 62.0 + 3 * seed)) for seed in range(3)]
    band = of(curves([*made, Made("b", "none")]), "heuristic")
    expected = stats.ttest_1samp([61.0, 63.0, 65.0], 0).confidence_interval(0.95)
    assert band.curves == 3
    assert (band.low[-1], band.high[-1]) == pytest.approx(tuple(expected), rel=1e-9)


def test_a_run_with_several_partners_is_paired_with_each():
    found = curves(controls(TREATMENT, {"early": CONTROL, "late": (63.0, 62.0, 64.0, 63.5)}))
    assert [(d.treatment, d.control, d.band.curves) for d in found.differences] == [
        ("all slots", "without early", 4),
        ("all slots", "without late", 4),
    ]
    expected = np.mean(np.subtract(TREATMENT, (63.0, 62.0, 64.0, 63.5)))
    assert found.differences[1].band.mean[-1] == pytest.approx(expected, rel=1e-12)


def test_without_arms_there_is_one_mean_of_all_runs():
    found = curves([Made(f"a-{seed}", None, seed, (60.0 + seed,)) for seed in range(3)])
    assert [(mean.arm, mean.band.curves) for mean in found.means] == [("", 3)]


def test_many_epochs_are_thinned_in_the_figure_and_further_in_its_table():
    found = curves([Made(f"{arm}-{s}", arm, s, (60.0 + s,), epochs=900) for arm in ("heuristic", "none") for s in range(3)])
    band = of(found, "none")
    assert (len(band.epochs), band.epochs[0], band.epochs[-1]) == (MOST_POINTS, 0, 900)
    drawn, difference = curve_figures(found, ("none", "heuristic"))
    assert len(drawn.further[0].rows) == 2 * MOST_ROWS
    assert len(difference.table.rows) == MOST_ROWS
    assert "pointwise" in drawn.caption
    assert "pointwise" in difference.caption


@given(
    st.lists(
        st.dictionaries(st.integers(0, 12), st.floats(-1e6, 1e6), min_size=1).map(lambda curve: sorted(curve.items())),
        min_size=2,
        max_size=6,
    )
)
def test_one_curve_at_a_time_gives_what_all_together_give(drawn):
    moments = Moments()
    for curve in drawn:
        epochs, values = zip(*curve, strict=True)
        moments.add(np.array(epochs), np.array(values))
    common = sorted(set.intersection(*({epoch for epoch, _ in curve} for curve in drawn)))
    table = np.array([[dict(curve)[epoch] for epoch in common] for curve in drawn])
    assert moments.epochs.tolist() == common
    assert moments.mean == pytest.approx(table.mean(axis=0), rel=1e-9, abs=1e-6)
    half = stats.t.ppf(0.975, len(drawn) - 1) * table.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    assert moments.half_width() == pytest.approx(half, rel=1e-9, abs=1e-5)
