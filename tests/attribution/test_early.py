"""When a part of the examples has decided a claim: by hand, and against what all examples would say."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import norm, t

from karn_wandb.attribution.early import all_decided, is_decided, looks
from karn_wandb.records import ShapleyEstimate

K = 1000
"""Examples of the part, of which enough are changed by a slot whose standard error is 1."""


def exact(mean, std=1.0, method="per_example", freedom=None):
    return ShapleyEstimate(
        mean=mean,
        std=std,
        n_samples=8,
        algorithm="exact",
        exact=True,
        sampling_std=0.0,
        evaluation_std=std,
        evaluation_method=method,
        degrees_of_freedom=freedom,
    )


def sampled(mean, sampling, evaluation):
    return ShapleyEstimate(
        mean=mean,
        std=math.hypot(sampling, evaluation),
        n_samples=20,
        sampling_std=sampling,
        evaluation_std=evaluation,
        evaluation_method="per_example",
    )


@pytest.mark.parametrize(
    ("available", "at"),
    [(4000, (500, 1000, 2000, 4000)), (1001, (126, 251, 501, 1001)), (100, (50, 100)), (59, (30, 59)), (7, (7,))],
)
def test_looks_are_at_an_eighth_a_quarter_a_half_and_all_but_never_at_fewer_than_thirty(available, at):
    assert looks(available) == at


@pytest.mark.parametrize("parts", [8, 4, 2])
@pytest.mark.parametrize(("slots", "strictest"), [(1, 2.0), (2, 2.0), (3, 2.128), (16, 2.734)])
def test_a_claim_is_decided_when_the_mean_of_all_exceeds_every_threshold_with_all_but_a_thousandth(parts, slots, strictest):
    """Standard error 1: that of all is sqrt(1/8); their mean scatters by sqrt(7/8), a thousandth below 3.09 of it."""
    least = strictest / math.sqrt(parts) + 3.0902 * math.sqrt(1 - 1 / parts)
    assert is_decided(exact(least + 0.01), slots, K, parts * K)
    assert not is_decided(exact(least - 0.01), slots, K, parts * K)


@pytest.mark.parametrize("parts", [8, 4, 2])
@pytest.mark.parametrize("slots", [1, 3, 16])
def test_no_claim_is_decided_when_the_mean_of_all_stays_below_every_threshold(parts, slots):
    """The lowest is Holm's last, 1.645, however many slots there are."""
    most = 1.6449 / math.sqrt(parts) - 3.0902 * math.sqrt(1 - 1 / parts)
    assert is_decided(exact(most - 0.01), slots, K, parts * K)
    assert not is_decided(exact(most + 0.01), slots, K, parts * K)


def test_few_degrees_of_freedom_take_more():
    """Of five: a thousandth lies beyond 5.893 standard errors, and a fiftieth of 5 % for three slots beyond 2.912."""
    least = t.ppf(1 - 0.05 / 3, 5) * math.sqrt(1 / 8) + t.ppf(0.999, 5) * math.sqrt(7 / 8)
    assert is_decided(exact(least + 0.01, freedom=5), 3, K, 8 * K)
    assert not is_decided(exact(least - 0.01, freedom=5), 3, K, 8 * K)


THRESHOLDS = st.sampled_from([1.6449, 1.8, 2.0, 2.128])


@given(
    mean=st.floats(-8, 12),
    sampling=st.floats(0, 3),
    noise=st.floats(0, 1),
    parts=st.sampled_from([8, 4, 2, 1.5]),
    threshold=THRESHOLDS,
)
def test_what_is_decided_changes_in_less_than_a_thousandth_however_much_of_the_sampling_error_is_noise(
    mean, sampling, noise, parts, threshold
):
    """Noise of the examples is in the sampling error of a sampled value too: that part of it shrinks with more examples."""
    found, share = sampled(mean, sampling, 1.0), 1 / parts
    assume(is_decided(found, 3, K, parts * K))
    of_examples = 1.0 + noise * sampling**2
    final = math.sqrt((1 - noise) * sampling**2 + of_examples * share)
    claimed = norm.sf(threshold * final, loc=mean, scale=math.sqrt(of_examples * (1 - share)))
    now = mean > threshold * found.std
    assert (1 - claimed if now else claimed) <= 0.00101


def test_some_sampled_values_are_decided_either_way():
    assert is_decided(sampled(8, 0.5, 1.0), 3, K, 4 * K)
    assert is_decided(sampled(-8, 0.5, 1.0), 3, K, 4 * K)
    assert not is_decided(sampled(3, 0.5, 1.0), 3, K, 4 * K)


@pytest.mark.parametrize(("changed", "decided"), [(9, False), (11, True)])
def test_a_slot_that_changed_few_examples_is_not_decided(changed, decided):
    """All of them for the worse, each by 100 points, one in two hundred."""
    examples = 200 * changed
    mean, variance = -100 / 200, 100**2 * (1 / 200) * (1 - 1 / 200)
    found = exact(mean, math.sqrt(variance / examples))
    assert mean < -2.9 * found.std
    assert is_decided(found, 3, examples, 4 * examples) == decided


def test_graded_examples_are_not_counted():
    assert is_decided(exact(-0.0026, 0.001, method="group_jackknife"), 3, K, 8 * K)
    assert not is_decided(exact(-0.0026, 0.001), 3, K, 8 * K)


def test_many_small_changes_of_one_sign_are_many():
    """A fiftieth of a point by every example on average, twelve standard errors: a few of 100 points could not be so."""
    assert is_decided(exact(0.02, 0.02 / 12), 3, K, 8 * K)


def test_a_slot_that_changed_no_example_is_decided_only_when_it_is_inactive():
    estimates = {"a": exact(8.0), "b": exact(0.0, 0.0)}
    assert not all_decided(estimates, K, 8 * K)
    assert not all_decided(estimates, K, 8 * K, inactive=["a"])
    assert all_decided(estimates, K, 8 * K, inactive=["b"])


def test_a_slot_that_changes_something_is_not_inactive_whatever_its_alpha():
    assert not all_decided({"a": exact(1.0)}, K, 8 * K, inactive=["a"])


def test_one_undecided_slot_is_enough_to_go_on():
    assert all_decided({"a": exact(8.0), "b": exact(-8.0)}, K, 8 * K)
    assert not all_decided({"a": exact(8.0), "b": exact(1.0)}, K, 8 * K)


def test_nothing_is_decided_by_no_estimate_or_one_without_a_standard_error():
    assert not all_decided({}, K, 8 * K)
    assert not is_decided(ShapleyEstimate(mean=9.0, std=None, n_samples=8), 1, K, 8 * K)
    assert not is_decided(ShapleyEstimate(mean=9.0, std=0.1, n_samples=8, sampling_std=0.1), 1, K, 8 * K)
