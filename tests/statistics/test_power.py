"""Power and required runs, by the definition, by simulation, and where solvers give up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import (
    minimum_detectable_delta,
    paired_plan,
    power_of_difference,
    power_of_equivalence,
    power_of_non_inferiority,
    required_runs,
    unpaired_plan,
)
from karn_wandb.statistics.power import FEWEST_RUNS, MOST_RUNS, required_n


def power(effect, n, *, paired, alpha):
    """Chance of significance in the right direction, from the non-central t distribution."""
    freedom, size = (n - 1, n) if paired else (2 * n - 2, n / 2)
    return stats.nct.sf(stats.t.isf(alpha / 2, freedom), freedom, effect * np.sqrt(size))


@given(st.floats(0.01, 3), st.booleans(), st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([0.5, 0.8, 0.95]))
def test_it_is_the_smallest_number_that_suffices(effect, paired, alpha, wanted):
    n = required_n(effect, paired=paired, alpha=alpha, power=wanted)
    assert power(effect, n, paired=paired, alpha=alpha) >= wanted
    assert n == FEWEST_RUNS or power(effect, n - 1, paired=paired, alpha=alpha) < wanted


@pytest.mark.parametrize("paired", [True, False])
def test_the_sign_of_the_effect_does_not_matter(paired):
    assert required_n(-0.7, paired=paired, alpha=0.05) == required_n(0.7, paired=paired, alpha=0.05)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("effect", [6.0, 8.0, 24.0, 100.0, 1e6, 1e13, float("inf")])
def test_a_glaring_effect_needs_the_fewest_runs(effect, paired):
    """The two-sided power of statsmodels 0.15 is NaN for many of these."""
    assert required_n(effect, paired=paired, alpha=0.05) == FEWEST_RUNS


@pytest.mark.parametrize("paired", [True, False])
def test_no_effect_cannot_be_found_by_any_number(paired):
    assert required_n(0.0, paired=paired, alpha=0.05) is None


def test_the_search_ends_at_a_million():
    """At such sizes t is normal: n = ((z(0.975) + z(0.8)) / effect)^2."""
    normal = ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 0.0029) ** 2
    assert required_n(0.0029, paired=True, alpha=0.05) == pytest.approx(normal, abs=3)
    assert normal < MOST_RUNS
    assert required_n(0.0028, paired=True, alpha=0.05) is None


def test_simulated_experiments_of_that_size_succeed_that_often():
    rng = np.random.default_rng(0)
    n = required_n(0.8, paired=False, alpha=0.05)
    draws = rng.normal(size=(2, 4_000, n)) + np.array([0.8, 0.0])[:, None, None]
    rate = np.mean(stats.ttest_ind(draws[0], draws[1], axis=1).pvalue < 0.05)
    assert rate == pytest.approx(power(0.8, n, paired=False, alpha=0.05), abs=4 * np.sqrt(0.16 / 4_000))


def chance_of(inside, n, *, paired, delta, confidence=0.95, draws=20_000):
    """How often simulated intervals are where they should be."""
    rng = np.random.default_rng(0)
    if paired:
        deltas = rng.normal(delta, 1, (draws, n))
        mean, error, freedom = deltas.mean(axis=1), deltas.std(axis=1, ddof=1) / np.sqrt(n), n - 1
    else:
        arms = rng.normal(size=(2, draws, n)) + np.array([delta, 0.0])[:, None, None]
        mean = arms[0].mean(axis=1) - arms[1].mean(axis=1)
        parts = arms.var(axis=2, ddof=1) / n
        error, freedom = np.sqrt(parts.sum(axis=0)), parts.sum(axis=0) ** 2 * (n - 1) / (parts**2).sum(axis=0)
    half = error * stats.t.ppf((1 + confidence) / 2, freedom)
    return np.mean(inside(mean - half, mean + half))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("n", "delta"), [(10, 0.0), (10, 0.5), (25, 0.3)])
def test_simulated_verdicts_come_as_often_as_their_power_says(n, delta, paired):
    """Within four standard errors, and the half point that Welch's estimated degrees of freedom cost."""
    plan = paired_plan(delta, 1.0, n) if paired else unpaired_plan(delta, 1.0, n)
    near = 4 * np.sqrt(0.25 / 20_000) + 0.005 * (not paired)
    assert chance_of(lambda low, high: (low > -1) & (high < 1), n, paired=paired, delta=delta) == pytest.approx(
        power_of_equivalence(plan, 1.0), abs=near
    )
    assert chance_of(lambda low, high: low > -1, n, paired=paired, delta=delta) == pytest.approx(
        power_of_non_inferiority(plan, 1.0), abs=near
    )


@pytest.mark.parametrize(("n", "percent"), [(5, (2, 6)), (10, (17, 39)), (20, (74, 86)), (30, (94, 97))])
def test_power_of_equivalence_is_what_decision_0004_found_by_simulation(n, percent):
    plan = unpaired_plan(0.0, 1.0, n)
    found = [power_of_equivalence(plan, 1.0, confidence=confidence) for confidence in (0.95, 0.9)]
    assert [100 * power for power in found] == pytest.approx(percent, abs=1.2)


def test_a_study_with_the_least_detectable_difference_has_the_power_asked_for():
    plan = unpaired_plan(0.0, (1.0, 3.0), 6, 9)
    least = minimum_detectable_delta(plan, power=0.9)
    assert power_of_difference(unpaired_plan(least, (1.0, 3.0), 6, 9)) == pytest.approx(0.9, rel=1e-9)
    assert power_of_difference(unpaired_plan(-least, (1.0, 3.0), 6, 9)) == pytest.approx(0.9, rel=1e-9)


def test_non_inferiority_knows_which_way_is_better():
    worse = paired_plan(-0.5, 1.0, 20)
    assert power_of_non_inferiority(worse, 1.0) < power_of_non_inferiority(paired_plan(0.0, 1.0, 20), 1.0)
    assert power_of_non_inferiority(worse, 1.0, higher_is_better=False) > 0.99


@given(st.integers(3, 200), st.floats(-2, 2), st.floats(0.05, 4), st.sampled_from([0.8, 0.95, 0.9999]), st.booleans())
def test_powers_are_probabilities_and_equivalence_implies_non_inferiority(n, delta, margin, confidence, paired):
    plan = paired_plan(delta, 1.0, n) if paired else unpaired_plan(delta, 1.0, n)
    both = power_of_equivalence(plan, margin, confidence=confidence)
    one = power_of_non_inferiority(plan, margin, confidence=confidence)
    assert -1e-12 <= both <= one + 1e-12
    assert one <= 1 + 1e-12


def test_the_number_of_runs_for_equivalence_is_the_smallest_that_suffices():
    def plan(n):
        return unpaired_plan(0.0, 1.0, n)

    n = required_runs(plan, lambda made: power_of_equivalence(made, 1.0))
    assert power_of_equivalence(plan(n), 1.0) >= 0.8 > power_of_equivalence(plan(n - 1), 1.0)
    assert n == 23


def test_a_true_difference_at_the_margin_is_never_shown_to_be_within_it():
    assert required_runs(lambda n: paired_plan(1.0, 1.0, n), lambda made: power_of_equivalence(made, 1.0)) is None


@pytest.mark.parametrize("power", [0.4, 1.0, 80, "0.8", np.nan])
def test_power_is_a_fraction_of_at_least_one_half(power):
    with pytest.raises(StatisticsError) as error:
        minimum_detectable_delta(paired_plan(0.0, 1.0, 9), power=power)
    assert str(error.value) == (
        f"power must be at least 0.5 and at most 0.9999; got {power!r}. Use 0.8 or 0.9: below one half a plan is no plan."
    )


@pytest.mark.parametrize("call", [power_of_equivalence, power_of_non_inferiority])
def test_a_margin_is_needed(call):
    with pytest.raises(StatisticsError) as error:
        call(paired_plan(0.0, 1.0, 9), -1.0)
    assert str(error.value).startswith("margin must be a positive number or None; got -1.0.")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: paired_plan(1.0, 0.0, 9),
            "a plan's standard deviation must be a positive number; got 0.0. Take it from earlier runs of the same kind.",
        ),
        (
            lambda: unpaired_plan(1.0, (1.0, np.nan), 9),
            "a plan's standard deviation must be a positive number; got 1.0, nan. Take it from earlier runs of the same kind.",
        ),
        (lambda: unpaired_plan(1.0, 1.0, 9, 1), "a plan needs two runs an arm; got 9, 1. Plan at least three."),
    ],
)
def test_what_is_no_plan_is_refused(call, message):
    with pytest.raises(StatisticsError) as error:
        call()
    assert str(error.value) == message
