"""When a contribution counts as begun, and when as ended."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.attribution import Period, contribution_onset_epoch, contribution_periods
from karn_wandb.errors import AttributionError


def test_the_onset_is_the_first_epoch_of_the_first_long_enough_run():
    epochs = list(range(1, 11))
    values = [0.1, 0.9, 0.2, 0.8, 0.7, 0.1, 0.6, 0.7, 0.8, 0.9]
    assert contribution_onset_epoch(epochs, values, 0.5) == 7
    assert contribution_onset_epoch(epochs, values, 0.5, consecutive=2) == 4
    assert contribution_onset_epoch(epochs, values, 0.5, consecutive=1) == 2
    assert contribution_onset_epoch(epochs, values, 0.5, consecutive=5) is None


def test_lower_bounds_decide_when_given():
    epochs, values = [1, 2, 3, 4, 5], [0.9, 0.9, 0.9, 0.9, 0.9]
    assert contribution_onset_epoch(epochs, values, 0.5) == 1
    assert contribution_onset_epoch(epochs, values, 0.5, lower=[0.1, 0.4, 0.6, 0.6, 0.6]) == 3
    assert contribution_onset_epoch(epochs, values, 0.5, lower=[None] * 5) is None


def test_epochs_are_returned_as_they_were_counted():
    assert contribution_onset_epoch([5, 10, 15, 20], [0.1, 0.6, 0.6, 0.6], 0.5) == 10


@pytest.mark.parametrize("gap", [None, float("nan"), 0.5])
def test_what_was_not_measured_or_not_above_the_threshold_ends_a_run(gap):
    assert contribution_onset_epoch([1, 2, 3, 4, 5, 6], [0.9, 0.9, gap, 0.9, 0.9, 0.9], 0.5) == 4


def test_nothing_measured_has_no_onset():
    assert contribution_onset_epoch([], [], 0.5) is None


@given(st.lists(st.one_of(st.none(), st.floats(-1, 2)), max_size=30), st.integers(1, 4))
def test_the_onset_begins_a_run_and_no_earlier_run_is_long_enough(values, consecutive):
    above = [value is not None and value > 0.5 for value in values]
    starts = [i for i in range(len(values)) if all(above[i : i + consecutive]) and i + consecutive <= len(values)]
    found = contribution_onset_epoch(range(len(values)), values, 0.5, consecutive=consecutive)
    assert found == (starts[0] if starts else None)


def test_noise_alone_seldom_looks_like_an_onset():
    """A slot that contributes nothing, standard error 0.3, 100 epochs: one epoch above 0.5 is near certain."""
    noise = np.random.default_rng(0).normal(0, 0.3, size=(500, 100)).tolist()
    epochs = range(100)
    assert np.mean([contribution_onset_epoch(epochs, n, 0.5, consecutive=1) is not None for n in noise]) > 0.95
    assert np.mean([contribution_onset_epoch(epochs, n, 0.5) is not None for n in noise]) < 0.03


def test_a_null_slot_of_standard_error_02_has_an_onset_in_few_of_a_thousand_runs():
    """100 epochs, threshold 0.5: the first epoch above it fires in nearly half of the runs."""
    noise = np.random.default_rng(1).normal(0, 0.2, size=(1000, 100))
    epochs = range(100)
    naive = [contribution_onset_epoch(epochs, n, 0.5, consecutive=1) is not None for n in noise.tolist()]
    ours = [
        contribution_onset_epoch(epochs, n, 0.5, lower=low) is not None
        for n, low in zip(noise.tolist(), (noise - 1.96 * 0.2).tolist(), strict=True)
    ]
    assert 0.40 < np.mean(naive) < 0.52
    assert np.mean(ours) < 0.03


def test_errors_that_repeat_from_epoch_to_epoch_are_what_lower_bounds_are_for():
    """One validation set for all epochs: errors of correlation 0.95 stay above a threshold once they are there."""
    rng = np.random.default_rng(2)
    noise = np.empty((1000, 100))
    noise[:, 0] = rng.normal(0, 0.2, size=1000)
    for epoch in range(1, 100):
        noise[:, epoch] = 0.95 * noise[:, epoch - 1] + rng.normal(0, 0.2 * np.sqrt(1 - 0.95**2), size=1000)
    epochs = range(100)
    by_values = [contribution_onset_epoch(epochs, n, 0.5) is not None for n in noise.tolist()]
    by_lower = [
        contribution_onset_epoch(epochs, n, 0.5, lower=low) is not None
        for n, low in zip(noise.tolist(), (noise - 1.96 * 0.2).tolist(), strict=True)
    ]
    assert np.mean(by_values) > 0.05
    assert np.mean(by_lower) < 0.01


# Periods


def test_a_contribution_that_only_dips_between_the_thresholds_goes_on():
    values = [0.0, 0.6, 0.7, 0.3, 0.3, 0.3, 0.6, 0.1, 0.6, 0.1, 0.1, 0.6, 0.7]
    epochs = list(range(1, 14))
    assert contribution_periods(epochs, values, 0.5, off_threshold=0.2, consecutive=2) == (Period(2, 10), Period(12))
    assert contribution_periods(epochs, values, 0.5, consecutive=2) == (Period(2, 4), Period(12))
    assert contribution_onset_epoch(epochs, values, 0.5, consecutive=2) == 2


def test_one_low_or_missing_measurement_ends_nothing_and_as_many_as_an_onset_needs_do():
    on = [0.9, 0.9, 0.9]
    assert contribution_periods(range(8), [*on, 0.0, 0.0, 0.9, None, 0.9], 0.5) == (Period(0),)
    assert contribution_periods(range(8), [*on, 0.0, None, float("nan"), 0.9, 0.9], 0.5) == (Period(0, 3),)
    assert contribution_periods(range(6), [*on, None, None, None], 0.5) == (Period(0, 3),)


def test_lower_bounds_begin_a_period_and_values_end_it():
    values, lower = [0.9] * 6 + [0.1] * 2, [0.6] * 2 + [-0.1] * 6
    assert contribution_periods(range(8), values, 0.5, off_threshold=0.25, lower=lower, consecutive=2) == (Period(0, 6),)


def test_what_lies_at_a_threshold_has_neither_begun_nor_ended():
    assert contribution_periods(range(3), [0.5] * 3, 0.5, consecutive=1) == ()
    assert contribution_periods(range(3), [0.6, 0.2, 0.2], 0.5, off_threshold=0.2, consecutive=1) == (Period(0),)


@given(st.lists(st.one_of(st.none(), st.floats(-1, 2)), max_size=40), st.integers(1, 4), st.floats(-0.5, 0.5))
def test_periods_follow_each_other_and_each_begins_and_ends_with_its_evidence(values, consecutive, off):
    epochs = range(3, 3 + len(values))
    periods = contribution_periods(epochs, values, 0.5, off_threshold=off, consecutive=consecutive)
    times = [time for period in periods for time in (period.onset, period.offset) if time is not None]
    assert times == sorted(times)
    assert all(later - earlier >= consecutive for earlier, later in pairwise(times))
    for period in periods:
        begun = values[period.onset - 3 :][:consecutive]
        assert len(begun) == consecutive
        assert all(value is not None and value > 0.5 for value in begun)
        if period.offset is not None:
            ended = values[period.offset - 3 :][:consecutive]
            assert len(ended) == consecutive
            assert all(value is None or value < off for value in ended)
    assert all(period.offset is not None for period in periods[:-1])


def test_a_slot_at_the_threshold_switches_less_with_hysteresis():
    noise = 0.5 + np.random.default_rng(0).normal(0, 0.2, size=(200, 100))
    count = [len(contribution_periods(range(100), n, 0.5, consecutive=2)) for n in noise.tolist()]
    with_band = [len(contribution_periods(range(100), n, 0.5, off_threshold=0.25, consecutive=2)) for n in noise.tolist()]
    assert np.mean(with_band) < 0.3 * np.mean(count)


def test_bad_series_are_refused():
    with pytest.raises(AttributionError) as caught:
        contribution_onset_epoch([1, 2], [0.5], 0.5)
    assert str(caught.value) == "epochs, values and lower must be equally long; got 2, 1 and 1."
    with pytest.raises(AttributionError) as caught:
        contribution_onset_epoch([1, 1], [0.5, 0.5], 0.5)
    assert str(caught.value) == "epochs must increase; got [1, 1]."
    with pytest.raises(AttributionError) as caught:
        contribution_onset_epoch([1], [0.5], 0.5, consecutive=0)
    assert str(caught.value) == "consecutive must be at least 1; got 0."
    with pytest.raises(AttributionError) as caught:
        contribution_periods([1], [0.5], 0.5, off_threshold=0.6)
    assert str(caught.value) == "off_threshold must be at most the threshold; got 0.6 and 0.5."
