"""When a contribution counts as begun."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.attribution import contribution_onset_epoch
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
