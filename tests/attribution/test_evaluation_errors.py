"""Errors from the finite validation set: against simulations, other formulas, and the largest there can be."""

import math
import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from karn_wandb.attribution import CounterfactualEngine, claims
from karn_wandb.attribution.games import main_effect_weights, shapley_values, shapley_weights
from karn_wandb.attribution.sampling import antithetic_permutations, coalitions_along, pair_estimates, pair_weights
from karn_wandb.attribution.uncertainty import evaluation_errors, sampled_evaluation_errors
from karn_wandb.attribution.units import Shares, Units, best_outcomes
from karn_wandb.attribution.values import packed
from karn_wandb.records import CounterfactualConfig, CounterfactualResult, Evaluation

SLOTS = ("early", "mid", "late")
COALITIONS = tuple(product((False, True), repeat=3))
BATCH = 25


def drawn_bits(rng, examples):
    """Correctness of each example under each coalition: one difficulty per example, "late" changes nothing on average.

    Coalitions agree on most examples, as those of a real model do; "late" flips some both ways, equally often.
    """
    on = (np.arange(8)[:, None] >> np.array([2, 1, 0])) & 1
    skill = 0.60 + 0.05 * on[:, 0] + 0.02 * on[:, 1] + 0.02 * on[:, 0] * on[:, 1]
    difficulty, flips = rng.uniform(size=examples), rng.uniform(-0.1, 0.1, size=examples)
    return difficulty + on[:, 2:] * flips < skill[:, None]


TRUE = 100 * shapley_values(np.array([0.60, 0.60, 0.62, 0.62, 0.65, 0.65, 0.69, 0.69]))
"""Of the population that `drawn_bits` draws from."""


def by_example(correct):
    return Units("per_example", np.packbits(correct, axis=1), np.ones(correct.shape[1]), 100 * correct.mean(axis=1))


def by_group(values, sizes=None):
    sizes = np.ones(values.shape[1]) if sizes is None else np.asarray(sizes, dtype=float)
    return Units("group_jackknife", values, sizes, values @ sizes / sizes.sum())


# By example


def test_the_error_is_the_spread_over_validation_sets():
    rng = np.random.default_rng(0)
    drawn = [drawn_bits(rng, 500) for _ in range(1000)]
    values = np.array([shapley_values(100.0 * correct.mean(axis=1)) for correct in drawn])
    errors = np.array([evaluation_errors(shapley_weights(3), by_example(correct)).std for correct in drawn])
    # The sd of 1,000 draws is itself uncertain by 2.2 %.
    np.testing.assert_allclose(errors.mean(axis=0), values.std(axis=0, ddof=1), rtol=0.08)


def test_the_error_is_that_of_each_examples_own_values():
    correct = drawn_bits(np.random.default_rng(3), 77)
    own = np.stack([shapley_values(100.0 * correct[:, x]) for x in range(77)])
    found = evaluation_errors(shapley_weights(3), by_example(correct))
    np.testing.assert_allclose(found.std, own.std(axis=0, ddof=1) / math.sqrt(77), rtol=1e-12)
    assert (found.method, found.degrees_of_freedom) == ("per_example", 76)


def test_the_error_of_one_slot_is_that_of_paired_proportions():
    """Reference: McNemar's setting, 30 examples gained and 10 lost of 1,000: var = (40 - 20^2/1000) / 999 / 1000."""
    off = np.array([False] * 30 + [True] * 10 + [True] * 960)
    on = np.array([True] * 30 + [False] * 10 + [True] * 960)
    (error,) = evaluation_errors(np.array([[-1.0, 1.0]]), by_example(np.stack([off, on]))).std
    assert error == pytest.approx(100 * math.sqrt((40 - 20**2 / 1000) / 999 / 1000), rel=1e-12)


@pytest.mark.parametrize("chunk", [1, 8 * 7, 8 * 100])
def test_many_units_are_solved_in_parts(monkeypatch, chunk):
    correct = drawn_bits(np.random.default_rng(0), 101)
    for outcomes in (by_example(correct), by_group(100.0 * correct)):
        whole = evaluation_errors(shapley_weights(3), outcomes).std
        with monkeypatch.context() as patch:
            patch.setattr("karn_wandb.attribution.units._CHUNK", chunk)
            np.testing.assert_allclose(evaluation_errors(shapley_weights(3), outcomes).std, whole, rtol=1e-12)


def test_a_table_of_many_slots_and_examples_is_never_unpacked_at_once():
    """12 slots, 10,000 examples: 330 MB as numbers, 5 MB as bits."""
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, size=(2**12, 1250), dtype=np.uint8)
    outcomes = Units("per_example", stored, np.ones(10_000), 100 * np.unpackbits(stored, axis=1).mean(axis=1))
    tracemalloc.start()
    try:
        evaluation_errors(shapley_weights(12), outcomes)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


# By group


@given(arrays(np.float64, (8, 6), elements=st.floats(0, 100)))
def test_groups_of_one_size_have_the_error_of_a_mean_of_groups(values):
    found = evaluation_errors(main_effect_weights(3), by_group(values))
    own = main_effect_weights(3) @ values
    np.testing.assert_allclose(found.std, own.std(axis=1, ddof=1) / math.sqrt(6), atol=1e-9)
    assert (found.method, found.degrees_of_freedom) == ("group_jackknife", 5)


@given(arrays(np.float64, (4, 5), elements=st.floats(-10, 10)), st.lists(st.integers(1, 500), min_size=5, max_size=5))
def test_groups_are_left_out_one_at_a_time(losses, sizes):
    """Reference: the delete-one jackknife written out, around the mean of all (Efron and Stein 1981)."""
    weights, sizes = shapley_weights(2), np.array(sizes, dtype=float)
    mean = weights @ (losses @ sizes / sizes.sum())
    without = []
    for left_out in range(5):
        kept = np.arange(5) != left_out
        without.append(weights @ (losses[:, kept] @ sizes[kept] / sizes[kept].sum()))
    expected = np.sqrt(4 / 5 * ((np.array(without) - mean) ** 2).sum(axis=0))
    np.testing.assert_allclose(evaluation_errors(weights, by_group(losses, sizes)).std, expected, atol=1e-9)


def test_examples_as_groups_of_one_are_examples():
    correct = drawn_bits(np.random.default_rng(0), 60)
    for weights in (shapley_weights(3), main_effect_weights(3)):
        by_bits, by_ones = (evaluation_errors(weights, found).std for found in (by_example(correct), by_group(100.0 * correct)))
        np.testing.assert_allclose(by_bits, by_ones, rtol=1e-12)


def test_groups_whose_examples_depend_on_each_other_have_the_spread_over_sets_of_groups():
    """Sequences of varying length whose tokens share a difficulty: counting tokens would be far too sure."""
    rng = np.random.default_rng(4)
    values, errors, of_tokens = [], [], []
    for _ in range(600):
        sizes = rng.integers(20, 200, size=40)
        gain = 0.1 + rng.normal(0, 0.2, size=40) + rng.normal(0, 1, size=40) / np.sqrt(sizes)
        losses = np.stack([np.zeros(40), gain])
        weights = np.array([[-1.0, 1.0]])
        values.append(gain @ sizes / sizes.sum())
        errors.append(evaluation_errors(weights, by_group(losses, sizes)).std[0])
        of_tokens.append(1 / math.sqrt(sizes.sum()))
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.1)
    assert np.mean(of_tokens) < 0.6 * np.std(values, ddof=1)


# The bound


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(0, 1)), min_size=1, max_size=5))
def test_the_bound_is_the_largest_variance_any_dependence_gives(terms):
    """Reference: linear programming over all joint distributions of the coalitions' outcomes (scipy, HiGHS)."""
    weights, shares = np.array(terms).T
    atoms = np.array(list(product((0.0, 1.0), repeat=len(weights))))
    sums = atoms @ weights
    best = linprog(-(sums**2), A_eq=np.vstack([atoms.T, np.ones(len(atoms))]), b_eq=[*shares, 1.0], bounds=(0, 1), method="highs")
    expected = max(-best.fun - (weights @ shares) ** 2, 0.0)
    found = evaluation_errors(weights[None], Shares(shares, 101))
    assert found.std[0] == pytest.approx(100 * math.sqrt(expected / 100), abs=1e-3)
    assert (found.method, found.degrees_of_freedom) == ("binomial_bound", math.inf)


def test_the_bound_of_one_slot_is_the_most_examples_it_may_have_flipped():
    """Accuracies 60 and 62 %: at most 78 % of the examples differ, by 2 % more gained than lost."""
    (bound,) = evaluation_errors(np.array([[-1.0, 1.0]]), Shares(np.array([0.60, 0.62]), 1001)).std
    assert bound == pytest.approx(100 * math.sqrt((0.78 - 0.02**2) / 1000))


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_no_examples_have_a_larger_error_than_the_bound(seed):
    rng = np.random.default_rng(seed)
    correct = rng.uniform(size=(8, 50)) < rng.uniform(size=(8, 1))
    weights = np.concatenate([shapley_weights(3), main_effect_weights(3), rng.normal(size=(3, 8))])
    known = evaluation_errors(weights, by_example(correct)).std
    assert (known <= evaluation_errors(weights, Shares(correct.mean(axis=1), 50)).std * (1 + 1e-12)).all()


# Sampled permutations


@pytest.fixture
def sampled():
    """Four antithetic pairs of five slots: rows of their coalitions in a table, and their orders."""
    orders = antithetic_permutations(5, 4, np.random.default_rng(0))
    return coalitions_along(orders) @ (1 << np.arange(4, -1, -1)), orders


def test_weights_of_sampled_pairs_give_their_mean(sampled):
    rows, orders = sampled
    table = np.random.default_rng(1).uniform(0, 100, 32)
    np.testing.assert_allclose(pair_weights(rows, orders, 32) @ table, pair_estimates(table[rows], orders).mean(axis=0))


def test_the_error_of_sampled_values_is_what_pairs_share(sampled):
    """Reference: covariances over examples between the pairs' per-example estimates, one pair of pairs at a time."""
    rows, orders = sampled
    correct = np.random.default_rng(2).uniform(size=(32, 90)) < 0.6
    own = pair_estimates(100.0 * correct[rows], orders)
    expected = np.zeros(5)
    for one, other in product(range(4), repeat=2):
        if one != other:
            expected += [np.cov(own[one, slot], own[other, slot])[0, 1] / 12 for slot in range(5)]
    for outcomes in (by_example(correct), by_group(100.0 * correct)):
        found = sampled_evaluation_errors(outcomes, rows, orders)
        np.testing.assert_allclose(found.std, np.sqrt(np.maximum(expected, 0) / 90), atol=1e-9)


def test_a_single_pair_or_no_outcomes_tell_nothing(sampled):
    rows, orders = sampled
    assert sampled_evaluation_errors(None, rows, orders) is None
    assert sampled_evaluation_errors(by_group(np.ones((32, 4))), rows[:1], orders[:1]) is None
    assert evaluation_errors(np.ones((1, 2)), None) is None


def test_accuracies_alone_bound_the_error_of_sampled_values(sampled):
    rows, orders = sampled
    correct = np.random.default_rng(2).uniform(size=(32, 90)) < 0.6
    found = sampled_evaluation_errors(Shares(correct.mean(axis=1), 90), rows, orders)
    assert found.method == "binomial_bound"
    assert (found.std >= sampled_evaluation_errors(by_example(correct), rows, orders).std).all()


# Which outcomes are the best


BITS = tuple(drawn_bits(np.random.default_rng(0), 40).astype(bool).tolist())
GROUPS = tuple((100 * np.array(bits, dtype=float)).reshape(8, 5).mean(axis=1).tolist() for bits in BITS)


def chosen(*, bits=8, groups=8, metric="accuracy", n_examples=None, losses=0):
    results = [
        CounterfactualResult(
            config=config,
            val_accuracy=float(100 * np.mean(BITS[i])),
            val_loss=1.0,
            correct=BITS[i] if i < bits else None,
            group_accuracies=GROUPS[i] if i < groups else None,
            group_losses=(0.5, 1.5) if i < losses else None,
        )
        for i, config in enumerate(COALITIONS)
    ]
    found = best_outcomes(results, metric, None, n_examples)
    return found.method if isinstance(found, Units) else type(found).__name__


def test_the_finest_outcomes_that_all_coalitions_have_are_used():
    assert chosen() == "per_example"
    assert chosen(bits=7) == "group_jackknife"
    assert chosen(bits=7, groups=7, n_examples=40) == "Shares"
    assert chosen(bits=7, groups=7) == "NoneType"
    assert chosen(metric="loss", n_examples=40) == "NoneType"
    assert chosen(metric="loss", losses=8) == "group_jackknife"


def test_a_single_example_or_group_has_no_spread():
    one = [
        CounterfactualResult(config=(on,), val_accuracy=100.0, correct=(True,), group_accuracies=(100.0,)) for on in (False, True)
    ]
    assert best_outcomes(one, "accuracy", None, 1) is None
    assert best_outcomes([], "accuracy", None, 40) is None


def test_groups_of_a_stored_matrix_that_do_not_fit_their_sizes_are_no_outcomes():
    results = [CounterfactualResult(config=(on,), val_accuracy=50.0, group_accuracies=(40.0, 60.0)) for on in (False, True)]
    assert isinstance(best_outcomes(results, "accuracy", (3, 3), 40), Units)
    assert isinstance(best_outcomes(results, "accuracy", (3, 3, 3), 40), Shares)


# The engine's intervals


def evaluation_of(correct, known):
    """What is told of one coalition's outcomes, shape [N]."""
    if known == "per_example":
        return Evaluation(correct=packed(correct))
    if known == "group_jackknife":
        groups = np.split(correct, range(BATCH, len(correct), BATCH))
        sizes = tuple(map(len, groups))
        return Evaluation(group_accuracies=tuple(100 * float(group.mean()) for group in groups), group_sizes=sizes)
    return Evaluation(accuracy=100 * float(correct.mean()), n_examples=len(correct))


def coverage(known, games, examples, seed=0):
    """Share of the intervals that hold the truth; how often "late", worth nothing, is positive by the plain rule."""
    rng = np.random.default_rng(seed)
    covered, false_claims, true_claims = [], 0, 0
    for _ in range(games):
        correct = dict(zip(COALITIONS, drawn_bits(rng, examples), strict=True))
        matrix = CounterfactualEngine().evaluate(SLOTS, lambda c, of=correct: evaluation_of(of[c], known), 1)
        estimates = matrix.shapley_values.values()
        assert {found.evaluation_method for found in estimates} == {known}
        covered += [found.ci_low <= true <= found.ci_high for found, true in zip(estimates, TRUE, strict=True)]
        false_claims += "late" in matrix.positive_claims()
        true_claims += "early" in claims(matrix)
    return np.mean(covered), false_claims / games, true_claims / games


@pytest.mark.parametrize("known", ["per_example", "group_jackknife"])
def test_intervals_hold_the_truth_as_often_as_they_say(known):
    """410 examples, the last of 17 batches smaller than the others."""
    covered, false, true = coverage(known, games=400, examples=410)
    assert 0.93 <= covered <= 0.97
    assert false <= 0.04
    assert true > 0.9


def test_the_bounds_intervals_hold_the_truth_more_often_than_they_say():
    covered, false, _ = coverage("binomial_bound", games=100, examples=410)
    assert covered == 1.0
    assert false == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("known", ["per_example", "group_jackknife", "binomial_bound"])
def test_intervals_of_four_thousand_games(known):
    covered, false, _ = coverage(known, games=4000, examples=1000, seed=1)
    assert covered >= 0.95 if known == "binomial_bound" else 0.93 <= covered <= 0.97
    assert false <= 0.03


def test_a_slot_without_effect_is_rarely_claimed_positive_although_its_value_mostly_is_half_of_the_time():
    """The exact value of a slot without effect is positive half of the time; the rule mean - 2 std > 0 allows 2.3 %."""
    rng = np.random.default_rng(1)
    positive = 0
    for _ in range(250):
        values = 100 * drawn_bits(rng, 400).mean(axis=1)
        positive += shapley_values(values)[2] > 0
    assert 95 < positive < 155


def test_losses_by_sequence_give_a_loss_game_its_errors():
    rng = np.random.default_rng(0)
    sizes = tuple(rng.integers(10, 50, size=30).tolist())
    base = rng.normal(3, 0.5, size=30)
    losses = {on: tuple((base - 0.2 * on + rng.normal(0, 0.05, 30)).tolist()) for on in (False, True)}
    matrix = CounterfactualEngine().evaluate(
        ("early",), lambda c: Evaluation(group_losses=losses[c[0]], group_sizes=sizes), 1, metric="loss"
    )
    found, gains = matrix.shapley_values["early"], np.subtract(losses[False], losses[True])
    assert found.mean == pytest.approx(np.average(gains, weights=sizes))
    assert found.std == pytest.approx(gains.std(ddof=1) / math.sqrt(30), rel=0.25)
    assert (found.evaluation_method, claims(matrix)) == ("group_jackknife", ("early",))
    assert matrix.configs[0].val_loss == pytest.approx(np.average(losses[False], weights=sizes))


def test_outcomes_are_kept_in_the_matrix_or_not():
    def value(config):
        return Evaluation(
            correct=(True, False, config[0], True), group_accuracies=(50.0, 50.0 + 50 * config[0]), group_sizes=(2, 2)
        )

    kept = CounterfactualEngine().evaluate(("early",), value, 1)
    assert [tuple(result.correct) for result in kept.configs] == [(True, False, False, True), (True, False, True, True)]
    assert (kept.configs[1].group_accuracies, kept.group_sizes) == ((50.0, 100.0), (2, 2))
    bare = CounterfactualEngine(CounterfactualConfig(keep_outcomes=False)).evaluate(("early",), value, 1)
    assert {(r.correct, r.group_accuracies, r.group_losses) for r in bare.configs} == {(None, None, None)}
    assert (bare.group_sizes, bare.n_examples, bare.shapley_values) == (None, 4, kept.shapley_values)
