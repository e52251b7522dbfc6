"""Permutation tests against plain enumeration, and what the smallest sizes can attain."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from karn_wandb.statistics.permutation import (
    EXACT_LIMIT,
    RELABELLINGS,
    attainable_p,
    permutation_test,
    smallest_sufficient_n,
)

EIGHTHS = st.integers(-80, 80).map(lambda i: i / 8)
"""Numbers whose sums are exact, so that ties are ties; many of them."""


def arms(low, high):
    return st.lists(EIGHTHS, min_size=low, max_size=high).map(np.array)


def run(treatment, control, *, paired, seed=0):
    return permutation_test(np.asarray(treatment), np.asarray(control), paired=paired, rng=np.random.default_rng(seed))


def welch(a, b):
    gap = abs(np.mean(a) - np.mean(b))
    error = np.sqrt(np.var(a, ddof=1) / len(a) + np.var(b, ddof=1) / len(b))
    return gap / error if error else np.inf if gap else 0.0


@given(st.integers(2, 8).flatmap(lambda n: st.tuples(arms(n, n), arms(n, n))))
def test_paired_p_is_that_of_all_sign_flips(pair):
    deltas = pair[0] - pair[1]
    flips = [abs(sum(s * d for s, d in zip(signs, deltas, strict=True))) for signs in product((1, -1), repeat=len(deltas))]
    assert run(*pair, paired=True) == (np.mean([flip >= abs(sum(deltas)) for flip in flips]), "exact")


@given(arms(2, 5), arms(2, 4))
def test_unpaired_p_is_that_of_all_relabellings_by_welchs_t(treatment, control):
    both, observed = np.concatenate((treatment, control)), welch(treatment, control)
    extreme = [
        welch(both[list(chosen)], np.delete(both, chosen)) >= observed * (1 - 1e-9)
        for chosen in combinations(range(both.size), treatment.size)
    ]
    assert run(treatment, control, paired=False) == (pytest.approx(np.mean(extreme)), "exact")


@given(st.lists(st.integers(-9, 9), min_size=3, max_size=10), st.booleans())
def test_ties_count_although_tenths_do_not_add_up_exactly(whole, paired):
    values, zeros = np.array(whole, dtype=float), np.arange(float(len(whole))) % 2
    assert run(values / 10, zeros / 10, paired=paired).p_value == run(values, zeros, paired=paired).p_value


@given(arms(2, 6), arms(2, 6), st.booleans())
def test_exchanging_the_arms_changes_nothing(treatment, control, paired):
    if paired:
        n = min(treatment.size, control.size)
        treatment, control = treatment[:n], control[:n]
    assert run(treatment, control, paired=paired) == run(control, treatment, paired=paired)


@pytest.mark.parametrize(("n", "paired"), [(30, False), (30, True)])
def test_exchanging_the_arms_changes_nothing_when_drawing_either(n, paired):
    rng = np.random.default_rng(1)
    treatment, control = rng.normal(0.5, 1, n), rng.normal(0, 1, n)
    there, back = run(treatment, control, paired=paired), run(control, treatment, paired=paired)
    assert there == back
    assert there.method == "monte_carlo"


@pytest.mark.parametrize("paired", [True, False])
def test_monte_carlo_agrees_with_the_t_test_on_normal_data(paired):
    """Within four standard errors of a p-value from 9,999 draws, with room for the difference between the two tests."""
    rng = np.random.default_rng(2)
    treatment, control = rng.normal(0.4, 1, 60), rng.normal(0, 1, 60)
    expected = (stats.ttest_rel if paired else stats.ttest_ind)(treatment, control).pvalue
    assert run(treatment, control, paired=paired).p_value == pytest.approx(expected, abs=0.012)


def test_monte_carlo_agrees_with_scipy_when_spreads_and_sizes_differ():
    rng = np.random.default_rng(3)
    treatment, control = rng.normal(1.0, 3, 9), rng.normal(0, 1, 25)

    def statistic(a, b, axis):
        error = np.var(a, ddof=1, axis=axis) / a.shape[axis] + np.var(b, ddof=1, axis=axis) / b.shape[axis]
        return np.abs(np.mean(a, axis=axis) - np.mean(b, axis=axis)) / np.sqrt(error)

    theirs = stats.permutation_test(
        (treatment, control), statistic, vectorized=True, n_resamples=9999, alternative="greater", rng=7
    )
    ours = run(treatment, control, paired=False)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.02)


@pytest.mark.parametrize("paired", [True, False])
def test_monte_carlo_never_gives_zero(paired):
    """As the bootstrap test of deepsig 1.2.8 can."""
    values = np.arange(40.0)
    assert run(values + 1e6 + values % 3, values, paired=paired) == (1 / (RELABELLINGS + 1), "monte_carlo")


@pytest.mark.parametrize("n", range(3, 9))
def test_the_most_extreme_pairs_attain_the_smallest_p(n):
    values = np.arange(n) / 7
    assert run(values + 1 + values / 9, values, paired=True).p_value == attainable_p(n, n, paired=True) == 2 / 2**n


@pytest.mark.parametrize(("n", "m"), [(3, 3), (4, 4), (5, 5), (3, 4), (4, 3), (3, 7), (6, 4)])
def test_the_most_extreme_relabelling_attains_the_smallest_p(n, m):
    """Whichever labelling of some values is the most extreme gives the floor, and none gives less."""
    rng = np.random.default_rng(n * 10 + m)
    both = rng.normal(size=n + m)
    labellings = [(both[list(chosen)], np.delete(both, chosen)) for chosen in combinations(range(n + m), n)]
    p_values = [run(treatment, control, paired=False).p_value for treatment, control in labellings]
    floor = (2 if n == m else 1) / comb(n + m, n)
    assert min(p_values) == pytest.approx(attainable_p(n, m, paired=False), rel=1e-12) == floor


def test_five_pairs_cannot_reach_five_percent_and_six_can():
    assert attainable_p(5, 5, paired=True) == 0.0625
    assert smallest_sufficient_n(0.05, paired=True) == 6
    assert attainable_p(3, 3, paired=False) == 0.1
    assert smallest_sufficient_n(0.05, paired=False) == 4


def test_constant_arms_that_differ_are_the_most_extreme():
    assert run([1.0] * 4, [0.1] * 4, paired=False).p_value == attainable_p(4, 4, paired=False)
    assert run([0.1] * 4, [0.1] * 4, paired=False).p_value == 1.0


def test_enumeration_ends_where_the_limit_says():
    values = np.arange(18.0) ** 1.5
    assert comb(18, 9) <= EXACT_LIMIT < comb(20, 10)
    assert run(values[:9], values[9:], paired=False).method == "exact"
    assert run(np.append(values[:9], 3.1), np.append(values[9:], 4.2), paired=False).method == "monte_carlo"
    assert run(values[:15], values[:15] ** 1.01, paired=True).method == "exact"
    assert run(values[:16], values[:16] ** 1.01, paired=True).method == "monte_carlo"


def test_huge_arms_have_a_floor_too():
    assert attainable_p(2000, 2000, paired=True) == 0.0
    assert attainable_p(2000, 2000, paired=False) == 0.0
