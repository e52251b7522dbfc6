"""Planned looks against published tables, plain integration, and simulation; and the anytime interval."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import anytime_interval, compare, looks, spent
from karn_wandb.statistics.confidence_sequence import farthest_t
from karn_wandb.statistics.sequential import sequential_p

EQUAL = (0.2, 0.4, 0.6, 0.8, 1.0)
RISING = st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True).map(lambda parts: [n / 40 for n in sorted(parts)])


def test_boundaries_are_those_of_the_tables():
    """Reboussin, DeMets, Kim & Lan 2000 (the program behind ldbounds), five equal looks, two-sided 0.05."""
    assert [round(look.boundary, 2) for look in looks(EQUAL)] == [4.88, 3.36, 2.68, 2.29, 2.03]
    assert [round(look.boundary, 2) for look in looks(EQUAL, "pocock")] == [2.44, 2.43, 2.41, 2.40, 2.39]


def test_one_look_at_the_end_is_the_ordinary_test():
    (look,) = looks([1.0])
    assert (look.spent, look.boundary, look.level, look.confidence) == pytest.approx((0.05, stats.norm.isf(0.025), 0.05, 0.95))


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_two_looks_spend_what_a_double_integral_says(spending):
    first, second = looks([0.3, 1.0], spending)

    def crosses(at):  # of the sum at the first look, given that it is within: beyond the second boundary, either side
        gap = math.sqrt(0.7)
        return stats.norm.pdf(at, scale=math.sqrt(0.3)) * (
            stats.norm.sf((second.boundary - at) / gap) + stats.norm.cdf((-second.boundary - at) / gap)
        )

    reach = first.boundary * math.sqrt(0.3)
    assert 2 * stats.norm.sf(first.boundary) == pytest.approx(first.spent, rel=1e-9)
    assert integrate.quad(crosses, -reach, reach, epsabs=1e-13)[0] == pytest.approx(second.spent - first.spent, rel=1e-8)


@given(RISING, st.sampled_from(["obrien_fleming", "pocock"]), st.sampled_from([0.8, 0.95, 0.999]))
@settings(max_examples=25, deadline=None)
def test_looking_more_often_never_makes_a_look_easier(fractions, spending, confidence):
    found = looks(fractions, spending, confidence=confidence)
    assert [look.spent for look in found] == sorted(look.spent for look in found)
    for look in found:
        alone = looks([look.fraction], spending, confidence=confidence)[0]
        assert look.boundary >= alone.boundary - 1e-9
        assert look.level <= look.spent + 1e-12
        assert look.spent <= 1 - confidence + 1e-12


@given(st.floats(0.0001, 0.2), RISING, st.sampled_from(["obrien_fleming", "pocock"]))
@settings(max_examples=8, deadline=None)
def test_a_sequential_p_is_the_level_at_which_the_look_would_just_find_something(level, fractions, spending):
    """By its definition: the look's own level, turned into a one-sided p, comes back as half of the overall level."""
    look = looks(fractions, spending, confidence=1 - level)[-1]
    if look.level > 1e-200:
        assert sequential_p(look.level / 2, fractions, spending) == pytest.approx(max(level, 1e-4) / 2, rel=1e-5)


def test_a_sequential_p_is_never_certain_and_never_more_than_one():
    assert sequential_p(0.0, [0.5]) == pytest.approx(0.00005)
    assert sequential_p(0.9, [0.5, 1.0]) == 1.0


def test_a_look_so_early_that_nothing_may_be_spent_has_no_boundary_to_cross():
    early, end = looks([0.001, 1.0])
    assert early.level < 1e-300
    assert end.level == pytest.approx(0.05)


def test_paths_of_many_experiments_cross_as_often_as_is_spent():
    draws = np.random.default_rng(0).normal(size=(40_000, 5))
    z = np.cumsum(draws, axis=1) / np.sqrt(np.arange(1, 6))
    for spending in ("obrien_fleming", "pocock"):
        found = looks(EQUAL, spending)
        crossed = np.logical_or.accumulate(np.abs(z) >= [look.boundary for look in found], axis=1).mean(axis=0)
        assert crossed == pytest.approx([look.spent for look in found], abs=4 * math.sqrt(0.05 * 0.95 / 40_000))


def test_a_look_is_a_comparison_at_its_confidence():
    look = looks([0.5, 1.0])[0]
    values = np.array([0.4, 1.9, 2.2, 0.9, 1.4, 2.5, 1.1])
    found = compare(values, 0 * values, paired=True, confidence=look.confidence)
    assert (found.verdict == "better") == (found.p_value < look.level)


@pytest.mark.parametrize(
    ("fraction", "spending", "message"),
    [
        (0, "pocock", ("a look's fraction of the planned runs must be above 0 and at most 1; got 0. "
         "Divide the runs that are in by the runs planned; beyond the plan nothing is left to be spent.")),
        (1.1, "pocock", ("a look's fraction of the planned runs must be above 0 and at most 1; got 1.1. "
         "Divide the runs that are in by the runs planned; beyond the plan nothing is left to be spent.")),
        (0.5, "linear", 'unknown spending function; got \'linear\'. Use "obrien_fleming" or "pocock".'),
    ],
)  # fmt: skip
def test_what_is_no_look_is_refused(fraction, spending, message):
    with pytest.raises(StatisticsError) as error:
        spent(fraction, spending)
    assert str(error.value) == message


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [1.0, 0.5]])
def test_looks_come_one_after_the_other(fractions):
    with pytest.raises(StatisticsError) as error:
        looks(fractions)
    assert str(error.value) == f"fractions must rise from look to look; got {fractions!r}. Leave out repeated looks."


@pytest.mark.parametrize("paired", [True, False])
def test_peeking_after_every_run_at_the_anytime_interval_misses_as_rarely_as_promised(paired):
    """Until forty runs; the ordinary interval at each of them misses zero in more than a quarter of experiments."""
    n = np.arange(3, 41)
    draws = np.random.default_rng(1).normal(size=(2, 1_500, 40))
    sums, squares = np.cumsum(draws, axis=-1)[..., n - 1], np.cumsum(draws**2, axis=-1)[..., n - 1]
    if paired:
        sums, squares, runs, freedom = sums[:1], squares[:1], n, n - 1
    else:
        runs, freedom = n / 2, 2 * n - 2
    deviation = np.sqrt((squares - sums**2 / n).sum(axis=0) / freedom)
    gaps = sums[0] / n - (0 if paired else sums[1] / n)
    t = np.abs(gaps) / deviation * np.sqrt(runs)
    reach = [farthest_t(df, size, confidence=0.95, scale=1.0) for df, size in zip(freedom, runs, strict=True)]
    assert np.mean((t > reach).any(axis=1)) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1_500)
    assert np.mean((t > stats.t.ppf(0.975, freedom)).any(axis=1)) > 0.2


@given(st.lists(st.integers(-40, 40).map(lambda i: i / 4), min_size=1, max_size=12), st.sampled_from([0.9, 0.95, 0.99]))
@settings(max_examples=50)
def test_it_contains_students_interval(deltas, confidence):
    low, high = anytime_interval(deltas, np.zeros(len(deltas)), paired=True, confidence=confidence)
    found = compare(deltas, np.zeros(len(deltas)), paired=True, confidence=confidence)
    if found.ci_low is not None:
        assert low <= found.ci_low
        assert found.ci_high <= high


@pytest.mark.parametrize(("n", "finite"), [(1, False), (2, False), (4, False), (5, True), (10, True)])
def test_before_there_are_enough_runs_it_is_the_whole_line(n, finite):
    low, high = anytime_interval(np.arange(n, dtype=float), np.zeros(n), paired=True)
    assert math.isfinite(low) == math.isfinite(high) == finite


@pytest.mark.parametrize("paired", [True, False])
def test_without_spread_it_is_the_whole_line_too(paired):
    assert anytime_interval([1.1] * 10, [1.0] * 10, paired) == (-math.inf, math.inf)


def test_two_arms_take_the_effective_number_of_runs():
    rng = np.random.default_rng(0)
    treatment, control = rng.normal(1, 1, 9), rng.normal(0, 1, 6)
    low, high = anytime_interval(treatment, control)
    pooled = compare(treatment, control).std_delta
    assert (high - low) / 2 == pytest.approx(
        farthest_t(13, 9 * 6 / 15, confidence=0.95, scale=1.0) * pooled / math.sqrt(9 * 6 / 15)
    )
    assert (high + low) / 2 == pytest.approx(treatment.mean() - control.mean())


@pytest.mark.parametrize("scale", [0, -1.0, math.inf, math.nan, True, "1"])
def test_the_scale_is_a_positive_number(scale):
    with pytest.raises(StatisticsError) as error:
        anytime_interval([1.0], [2.0], scale=scale)
    assert str(error.value) == f"scale must be a positive number; got {scale!r}. Use 1, and declare it."
