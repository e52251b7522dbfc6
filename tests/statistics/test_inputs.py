"""What is refused at the door, word for word."""

import numpy as np
import pytest

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import compare

GOOD = [60.0, 61.0, 62.5]


def refusal(*arguments, **options):
    with pytest.raises(StatisticsError) as caught:
        compare(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "treatment must be one-dimensional; got shape (2, 3). Pass one number per run."),
        (61.2, "treatment must be one-dimensional; got shape (). Pass one number per run."),
        ([[1.0], [2.0, 3.0]], "treatment must be one-dimensional; got ragged rows. Pass one number per run."),
        ([], "treatment is empty. Pass the value of at least one run."),
        (["61.2", "60.8", "61.9"], "treatment must hold numbers; got dtype <U4. Pass one number per run."),
        ([61.2, None, 60.8], "treatment must hold numbers; got dtype object. Pass one number per run."),
        ([True, False, True], "treatment must hold numbers; got dtype bool. Pass one number per run."),
    ],
)
def test_an_arm_is_one_number_per_run(values, message):
    assert refusal(values, GOOD) == message


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (1e200, "1e+200")])
def test_a_value_that_is_not_finite_is_named_by_its_index(value, shown):
    assert refusal(GOOD, [60.0, 61.0, value, 59.0]) == (
        f"control must hold finite numbers of size at most 1e+150; got {shown} at index 2. "
        "Decide what a run without a proper value counts as: leave it out by name, or give it the worst value."
    )


def test_paired_arms_have_the_same_length():
    assert refusal(GOOD, GOOD[:2], paired=True) == (
        "paired arms must have the same length; got 3 and 2 values. Match the runs one to one, or compare with paired=False."
    )


@pytest.mark.parametrize("margin", [0, -1.0, np.nan, np.inf, "1", True])
def test_a_margin_is_positive(margin):
    assert refusal(GOOD, GOOD, margin=margin) == (
        f"margin must be a positive number or None; got {margin!r}. "
        "Give the largest loss that does not matter, in the metric's unit."
    )


@pytest.mark.parametrize("confidence", [0.5, 0.05, 1.0, 95, 0.99995, np.nan, "0.95", None])
def test_confidence_is_a_fraction_above_one_half(confidence):
    assert refusal(GOOD, GOOD, confidence=confidence) == (
        f"confidence must be above 0.5 and at most 0.9999; got {confidence!r}. Use 0.95 unless there is a reason."
    )


@pytest.mark.parametrize("rng", [None, -1, 0.5, True, "seed"])
def test_randomness_is_given_explicitly(rng):
    assert refusal(GOOD, GOOD, rng=rng) == (
        f"rng must be a whole number of at least 0 or a numpy Generator; got {rng!r}. "
        "Pass rng=0: a comparison must be repeatable."
    )


def test_integers_and_single_precision_are_numbers():
    assert compare(np.array([3, 4, 8]), np.array([1, 2, 3], dtype=np.float32)).mean_delta == 3.0


def test_the_callers_arrays_are_left_as_they_were():
    treatment, control = np.array([3.0, 1.0, 2.0]), np.array([9.0, 7.0, 8.5])
    compare(treatment, control)
    assert treatment.tolist() == [3.0, 1.0, 2.0]
    assert control.tolist() == [9.0, 7.0, 8.5]
