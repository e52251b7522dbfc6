"""The engine: what is evaluated, in which order, and what is said of it."""

import time
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.attribution import CounterfactualEngine, claims
from karn_wandb.attribution.games import shapley_values
from karn_wandb.records import CounterfactualConfig, CounterfactualResult, CounterfactualValidityNote, Evaluation

SLOTS = ("early", "mid", "late")
MATRIX = dict(zip(product((False, True), repeat=3), (62.3, 64.1, 63.8, 65.2, 63.5, 65.8, 64.9, 66.4), strict=True))
"""The requirement's example: accuracy by coalition, early, mid, late."""

SAMPLING = CounterfactualConfig(strategy="shapley", shapley_samples=4)
PERMUTATIONS = CounterfactualConfig(strategy="shapley", shapley_samples=6, estimator="permutation_antithetic")
REGRESSION = CounterfactualConfig(strategy="shapley", shapley_samples=6, estimator="leverage_regression")
BOTH = pytest.mark.parametrize("config", [PERMUTATIONS, REGRESSION], ids=lambda config: config.estimator)
ABLATION = CounterfactualConfig(strategy="ablation_only")


class Counting:
    """A value function that remembers what it was asked."""

    def __init__(self, value):
        self.value, self.asked = value, []

    def __call__(self, config):
        self.asked.append(config)
        return self.value(config)


def game(n, seed=0):
    table = np.random.default_rng(seed).uniform(0, 100, size=(2,) * n)
    return lambda config: float(table[tuple(map(int, config))])


def table_of(value, n):
    return np.array([value(config) for config in product((False, True), repeat=n)])


def names(n):
    return tuple(f"slot{i}" for i in range(n))


# The requirement's example, by hand


def test_the_example_matrix_has_the_shapley_values_computed_by_hand():
    """Gains of a slot, weighed 1/3 when it comes first or last, 1/6 for each of the two coalitions between."""
    matrix = CounterfactualEngine().evaluate(SLOTS, MATRIX.__getitem__, epoch=7)
    early = (
        Fraction(1, 3) * (Fraction("63.5") - Fraction("62.3"))
        + Fraction(1, 6) * (Fraction("64.9") - Fraction("63.8"))
        + Fraction(1, 6) * (Fraction("65.8") - Fraction("64.1"))
        + Fraction(1, 3) * (Fraction("66.4") - Fraction("65.2"))
    )
    mid = (
        Fraction(1, 3) * (Fraction("63.8") - Fraction("62.3"))
        + Fraction(1, 6) * (Fraction("64.9") - Fraction("63.5"))
        + Fraction(1, 6) * (Fraction("65.2") - Fraction("64.1"))
        + Fraction(1, 3) * (Fraction("66.4") - Fraction("65.8"))
    )
    late = (
        Fraction(1, 3) * (Fraction("64.1") - Fraction("62.3"))
        + Fraction(1, 6) * (Fraction("65.8") - Fraction("63.5"))
        + Fraction(1, 6) * (Fraction("65.2") - Fraction("63.8"))
        + Fraction(1, 3) * (Fraction("66.4") - Fraction("64.9"))
    )
    assert (early, mid, late) == (Fraction(19, 15), Fraction(67, 60), Fraction(103, 60))
    assert early + mid + late == Fraction("66.4") - Fraction("62.3") == Fraction("4.1")
    found = {slot: estimate.mean for slot, estimate in matrix.shapley_values.items()}
    assert found == pytest.approx({"early": 19 / 15, "mid": 67 / 60, "late": 103 / 60}, abs=1e-12)


def test_the_example_matrix_has_the_marginals_computed_by_hand():
    """Mean of the four coalitions with the slot minus mean of the four without: "seed's average effect"."""
    matrix = CounterfactualEngine().evaluate(SLOTS, MATRIX.__getitem__, epoch=7)
    early = (Fraction("63.5") + Fraction("65.8") + Fraction("64.9") + Fraction("66.4")) / 4 - (
        Fraction("62.3") + Fraction("64.1") + Fraction("63.8") + Fraction("65.2")
    ) / 4
    mid = (Fraction("63.8") + Fraction("65.2") + Fraction("64.9") + Fraction("66.4")) / 4 - (
        Fraction("62.3") + Fraction("64.1") + Fraction("63.5") + Fraction("65.8")
    ) / 4
    late = (Fraction("64.1") + Fraction("65.2") + Fraction("65.8") + Fraction("66.4")) / 4 - (
        Fraction("62.3") + Fraction("63.8") + Fraction("63.5") + Fraction("64.9")
    ) / 4
    assert (early, mid, late) == (Fraction("1.3"), Fraction("1.15"), Fraction("1.75"))
    assert matrix.marginal_contributions == pytest.approx({"early": 1.3, "mid": 1.15, "late": 1.75}, abs=1e-12)
    assert matrix.marginal_basis == "factorial_main_effect"


def test_the_example_matrix_has_the_interactions_computed_by_hand():
    """Does early+mid together exceed early and mid separately? Seen from all slots off."""
    matrix = CounterfactualEngine().evaluate(SLOTS, MATRIX.__getitem__, epoch=7)
    early_mid = Fraction("64.9") - Fraction("63.5") - Fraction("63.8") + Fraction("62.3")
    early_late = Fraction("65.8") - Fraction("63.5") - Fraction("64.1") + Fraction("62.3")
    mid_late = Fraction("65.2") - Fraction("63.8") - Fraction("64.1") + Fraction("62.3")
    assert (early_mid, early_late, mid_late) == (Fraction("-0.1"), Fraction("0.5"), Fraction("-0.4"))
    assert matrix.interaction_effects == pytest.approx(
        {("early", "mid"): -0.1, ("early", "late"): 0.5, ("mid", "late"): -0.4}, abs=1e-12
    )
    assert matrix.interaction_basis == "empty_corner"


def test_the_example_matrix_is_complete_and_says_what_it_is():
    matrix = CounterfactualEngine().evaluate(SLOTS, MATRIX.__getitem__, epoch=7)
    assert {result.config: result.val_accuracy for result in matrix.configs} == MATRIX
    assert [result.config for result in matrix.configs] == sorted(MATRIX)
    assert (matrix.epoch, matrix.slot_ids, matrix.strategy, matrix.metric) == (7, SLOTS, "full_factorial", "accuracy")
    assert (matrix.complete, matrix.skipped, matrix.stop_reason) == (True, (), "")
    assert matrix.validity == CounterfactualValidityNote()
    assert matrix.removal_delta() == pytest.approx(4.1)
    assert matrix.seconds >= 0


def test_eight_accuracies_alone_support_no_claim():
    """An exact value has no sampling error, but of the validation set's error nothing is known."""
    matrix = CounterfactualEngine().evaluate(SLOTS, MATRIX.__getitem__, epoch=7)
    for found in matrix.shapley_values.values():
        assert (found.std, found.ci_low, found.exact, found.sampling_std, found.evaluation_std) == (None, None, True, 0.0, None)
        assert (found.n_samples, found.algorithm) == (8, "exact")
    assert matrix.positive_claims() == claims(matrix) == ()


# Strategies


@pytest.mark.parametrize("n", range(1, 7))
def test_a_full_factorial_evaluates_every_coalition_once_from_both_corners_inwards(n):
    value = Counting(game(n))
    matrix = CounterfactualEngine(CounterfactualConfig(strategy="full_factorial")).evaluate(names(n), value, 1)
    assert sorted(value.asked) == sorted(product((False, True), repeat=n))
    assert value.asked[:2] == [(True,) * n, (False,) * n]
    assert {sum(config) for config in value.asked[2 : 2 + n]} <= {n - 1}
    assert matrix.complete


@pytest.mark.parametrize("n", range(3, 8))
def test_ablation_switches_each_slot_off_alone_and_gives_removal_costs(n):
    value = Counting(game(n))
    matrix = CounterfactualEngine(ABLATION).evaluate(names(n), value, 1)
    all_on = (True,) * n
    one_off = [(*all_on[:i], False, *all_on[i + 1 :]) for i in range(n)]
    assert value.asked == [all_on, (False,) * n, *one_off]
    assert matrix.marginal_basis == "removal_cost"
    assert matrix.marginal_contributions == {
        slot: value.value(all_on) - value.value(off) for slot, off in zip(names(n), one_off, strict=True)
    }
    assert (matrix.strategy, matrix.complete) == ("ablation_only", True)
    assert (matrix.shapley_values, matrix.interaction_effects, matrix.interaction_basis) == (None, {}, "none")


def test_ablation_of_two_slots_happens_to_know_everything_and_still_calls_its_marginals_removal_costs():
    matrix = CounterfactualEngine(ABLATION).evaluate(("a", "b"), game(2), 1)
    assert len(matrix.configs) == 4
    assert matrix.marginal_basis == "removal_cost"
    assert matrix.shapley_values["a"].exact


def test_one_slot_is_worth_what_it_adds():
    for config in (CounterfactualConfig(), ABLATION, SAMPLING, PERMUTATIONS, REGRESSION):
        matrix = CounterfactualEngine(config).evaluate(["early"], lambda on: 60.0 + 2.5 * on[0], 1)
        assert matrix.shapley_values["early"].mean == 2.5
        assert matrix.marginal_contributions == {"early": 2.5}
        assert (len(matrix.configs), matrix.interaction_effects, matrix.interaction_basis) == (2, {}, "none")


@BOTH
@given(st.integers(6, 9), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_sampling_evaluates_each_coalition_once_and_distributes_the_whole_gain(config, n, seed):
    value = Counting(game(n, seed))
    matrix = CounterfactualEngine(config, seed).evaluate(names(n), value, 1)
    assert len(value.asked) == len(set(value.asked)) == len(matrix.configs) <= 6 * (n - 1) + 2
    assert value.asked[:2] == [(True,) * n, (False,) * n]
    gain = value.value((True,) * n) - value.value((False,) * n)
    assert sum(found.mean for found in matrix.shapley_values.values()) == pytest.approx(gain, abs=1e-9)
    assert {(found.algorithm, found.exact) for found in matrix.shapley_values.values()} == {(config.estimator, False)}
    assert (matrix.complete, matrix.early_stop) == (True, "")


def test_permutations_are_sampled_until_their_distinct_coalitions_reach_the_budget():
    """Twenty permutations of six slots may cost 102 calls, were they all different; 40 calls are soon all that is new."""
    config = CounterfactualConfig(strategy="shapley", shapley_samples=8, estimator="permutation_antithetic")
    matrix = CounterfactualEngine(config).evaluate(names(6), game(6), 1)
    assert 8 * 5 + 2 - 10 < len(matrix.configs) <= 8 * 5 + 2
    assert {found.n_samples > 8 for found in matrix.shapley_values.values()} == {True}


def test_a_regression_spends_the_whole_budget_on_distinct_coalitions():
    matrix = CounterfactualEngine(REGRESSION).evaluate(names(8), game(8), 1)
    assert len(matrix.configs) == 6 * 7 + 2
    assert {found.n_samples for found in matrix.shapley_values.values()} == {6 * 7 + 2}


@pytest.mark.parametrize(
    ("cap", "algorithm"), [(None, "leverage_regression"), (18, "leverage_regression"), (17, "permutation_antithetic")]
)
def test_auto_fits_from_one_pair_of_coalitions_a_slot_on(cap, algorithm):
    config = CounterfactualConfig(strategy="shapley", max_configurations=cap)
    matrix = CounterfactualEngine(config).evaluate(names(8), game(8), 1)
    assert {found.algorithm for found in matrix.shapley_values.values()} == {algorithm}


@BOTH
@given(st.integers(6, 8), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_sampling_is_exact_for_a_game_of_single_slots_and_pairs(config, n, seed):
    rng = np.random.default_rng(seed)
    alone, together = rng.uniform(0, 3, size=n), np.triu(rng.uniform(-0.5, 0.5, size=(n, n)), 1)

    def value(config):
        on = np.array(config, dtype=float)
        return 50 + float(on @ alone + on @ together @ on)

    matrix = CounterfactualEngine(config, seed).evaluate(names(n), value, 1)
    for found, exact in zip(matrix.shapley_values.values(), shapley_values(table_of(value, n)), strict=True):
        assert found.mean == pytest.approx(exact, abs=1e-9)
        assert found.std == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("estimator", ["permutation_antithetic", "leverage_regression"])
def test_twenty_slots_are_sampled(estimator):
    strength = np.linspace(-1, 1, 20)

    def value(config):
        on = np.array(config, dtype=float)
        return 50 + float(on @ strength) + 2.0 * float(on[:3].prod())

    asked = Counting(value)
    matrix = CounterfactualEngine(CounterfactualConfig(estimator=estimator)).evaluate(names(20), asked, 1)
    assert (matrix.strategy, matrix.complete) == ("shapley", True)
    assert len(matrix.configs) <= 20 * 19 + 2
    for i, found in enumerate(matrix.shapley_values.values()):
        expected = strength[i] + (2 / 3 if i < 3 else 0)
        assert found.mean == pytest.approx(expected, abs=max(4 * found.std, 1e-9))
    assert set(matrix.marginal_contributions) <= set(names(20))
    assert matrix.marginal_basis == "removal_cost"


@pytest.mark.parametrize("estimator", ["permutation_antithetic", "leverage_regression"])
def test_coalitions_that_sampling_happens_to_exhaust_give_exact_values(estimator):
    config = CounterfactualConfig(strategy="shapley", shapley_samples=60, estimator=estimator)
    matrix = CounterfactualEngine(config).evaluate(SLOTS, MATRIX.get, 1)
    assert len(matrix.configs) == 8
    assert matrix.shapley_values["early"].algorithm == "exact"
    assert matrix.shapley_values["early"].mean == pytest.approx(19 / 15)
    assert matrix.marginal_basis == "factorial_main_effect"


def test_auto_is_exact_wherever_sampling_would_cost_as_much():
    assert CounterfactualEngine().evaluate(names(6), game(6), 1).strategy == "full_factorial"
    assert CounterfactualEngine().evaluate(names(8), game(8), 1).strategy == "shapley"


def test_the_same_seed_and_epoch_repeat_and_another_of_either_does_not():
    def run(seed, epoch):
        return [r.config for r in CounterfactualEngine(SAMPLING, seed).evaluate(names(8), game(8), epoch).configs]

    assert run(0, 3) == run(0, 3)
    assert run(0, 3) != run(1, 3)
    assert run(0, 3) != run(0, 4)


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 -- the one under test
    CounterfactualEngine(SAMPLING).evaluate(names(8), game(8), 1)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002 -- the same


# Budgets


def test_a_factorial_cut_short_lists_what_was_skipped_and_claims_no_shapley_value():
    config = CounterfactualConfig(strategy="full_factorial", max_configurations=5)
    matrix = CounterfactualEngine(config).evaluate(SLOTS, MATRIX.__getitem__, 1)
    assert (matrix.complete, matrix.stop_reason) == (False, "max_configurations=5 reached")
    evaluated = {result.config for result in matrix.configs}
    assert (len(evaluated), len(matrix.skipped)) == (5, 3)
    assert evaluated | set(matrix.skipped) == set(MATRIX)
    assert (matrix.shapley_values, matrix.interaction_effects, matrix.interaction_basis) == (None, {}, "none")
    assert matrix.marginal_basis == "removal_cost"
    assert matrix.marginal_contributions == pytest.approx({"early": 1.2, "mid": 0.6, "late": 1.5})


def test_a_budget_of_one_evaluates_all_on_and_says_nothing_else():
    config = CounterfactualConfig(strategy="full_factorial", max_configurations=1)
    matrix = CounterfactualEngine(config).evaluate(SLOTS, MATRIX.__getitem__, 1)
    assert [result.config for result in matrix.configs] == [(True, True, True)]
    assert (matrix.marginal_contributions, matrix.marginal_basis) == ({}, "none")
    assert matrix.removal_delta() is None


def test_a_budget_that_just_suffices_is_no_cut():
    config = CounterfactualConfig(strategy="full_factorial", max_configurations=8)
    assert CounterfactualEngine(config).evaluate(SLOTS, MATRIX.__getitem__, 1).complete


@BOTH
def test_sampling_cut_short_uses_whole_pairs_only(config):
    n, value = 8, game(8)
    full = CounterfactualEngine(config).evaluate(names(n), value, 1)
    cap = len(full.configs) - 1
    cut = CounterfactualEngine(replace(config, max_configurations=cap)).evaluate(names(n), value, 1)
    (unit,) = {found.n_samples for found in full.shapley_values.values()} - {None}
    assert (cut.complete, cut.stop_reason, len(cut.configs)) == (False, f"max_configurations={cap} reached", cap)
    assert set(cut.skipped) == {r.config for r in full.configs} - {r.config for r in cut.configs}
    assert {found.n_samples for found in cut.shapley_values.values()} == {unit - 2}
    whole = replace(config, max_configurations=30 if config is PERMUTATIONS else cap - 1)
    assert cut.shapley_values == CounterfactualEngine(whole).evaluate(names(n), value, 1).shapley_values


def test_a_regression_cut_before_it_has_a_pair_of_coalitions_for_each_slot_gives_none():
    """With just the single slots there is a fit, but no pair tells how far those of other sizes are from it."""
    for cap, known in ((17, False), (18, True)):
        matrix = CounterfactualEngine(replace(REGRESSION, max_configurations=cap)).evaluate(names(8), game(8), 1)
        assert (matrix.complete, len(matrix.configs)) == (False, cap)
        assert (matrix.shapley_values is not None) == known
    for found in matrix.shapley_values.values():
        assert (found.std, found.sampling_std, found.ci_low, found.n_samples) == (None, None, None, 18)


@BOTH
def test_a_timeout_in_the_middle_leaves_an_estimate_from_the_whole_pairs_known_by_then(config):
    clock = []

    def value(coalition):
        clock.append(coalition)
        if len(clock) == 35:
            time.sleep(0.5)
        return game(8)(coalition)

    matrix = CounterfactualEngine(replace(config, timeout_seconds=0.5)).evaluate(names(8), value, 1)
    assert (matrix.complete, matrix.stop_reason, len(matrix.configs)) == (False, "timeout_seconds=0.5 reached", 35)
    capped = CounterfactualEngine(replace(config, max_configurations=35)).evaluate(names(8), game(8), 1)
    assert matrix.shapley_values == capped.shapley_values
    assert matrix.skipped == capped.skipped


def test_one_pair_gives_values_without_a_standard_error():
    config = CounterfactualConfig(strategy="shapley", shapley_samples=2, estimator="permutation_antithetic")
    for found in CounterfactualEngine(config).evaluate(names(8), game(8), 1).shapley_values.values():
        assert (found.n_samples, found.std, found.sampling_std, found.ci_low) == (2, None, None, None)


def test_sampling_cut_before_the_first_pair_gives_none():
    config = CounterfactualConfig(strategy="shapley", max_configurations=5)
    matrix = CounterfactualEngine(config).evaluate(names(8), game(8), 1)
    assert (matrix.shapley_values, len(matrix.configs), matrix.complete) == (None, 5, False)


def test_a_timeout_starts_no_further_evaluation():
    def slow(config):
        time.sleep(0.1)
        return MATRIX[config]

    config = CounterfactualConfig(timeout_seconds=0.15)
    matrix = CounterfactualEngine(config).evaluate(SLOTS, slow, 1)
    assert (matrix.complete, matrix.stop_reason) == (False, "timeout_seconds=0.15 reached")
    assert 1 <= len(matrix.configs) <= 2
    assert len(matrix.configs) + len(matrix.skipped) == 8
    assert matrix.shapley_values is None
    assert matrix.seconds >= 0.1


def test_no_time_at_all_evaluates_nothing():
    matrix = CounterfactualEngine(CounterfactualConfig(timeout_seconds=0)).evaluate(SLOTS, MATRIX.__getitem__, 1)
    assert (matrix.configs, matrix.complete, len(matrix.skipped)) == ((), False, 8)


def test_a_cap_and_a_timeout_that_both_suffice_cut_nothing():
    config = CounterfactualConfig(timeout_seconds=60, max_configurations=100)
    assert CounterfactualEngine(config).evaluate(SLOTS, MATRIX.__getitem__, 1).stop_reason == ""


# Early stopping


def smooth(n, rough=0.0, seed=0):
    """Accuracy that saturates: nearly a game of single slots and pairs, unless made rough."""
    rng = np.random.default_rng(seed)
    strength, noise = rng.uniform(0.5, 1.5, size=n) / n, rng.normal(0, rough, size=(2,) * n)
    return lambda config: 60 + 10 * float(1 - np.exp(-np.dot(strength, config))) + float(noise[tuple(map(int, config))])


@BOTH
def test_sampling_stops_once_every_error_is_small_enough_and_says_so(config):
    n, value = 10, Counting(smooth(10))
    wanted = replace(config, shapley_samples=20, target_std=0.1)
    matrix = CounterfactualEngine(wanted).evaluate(names(n), value, 1)
    full = CounterfactualEngine(replace(wanted, target_std=None)).evaluate(names(n), smooth(n), 1)
    assert len(value.asked) == len(matrix.configs) < len(full.configs)
    assert (matrix.complete, matrix.skipped, matrix.stop_reason) == (True, (), "")
    assert matrix.early_stop == (
        "the sampling error of every Shapley value is at most target_std=0.1 "
        f"after {len(matrix.configs)} of {len(full.configs)} coalitions"
    )
    assert all(found.sampling_std <= 0.1 for found in matrix.shapley_values.values())
    assert set(matrix.configs) < set(full.configs)


@BOTH
def test_an_error_that_stays_too_large_takes_all_that_the_budget_allows(config):
    matrix = CounterfactualEngine(replace(config, target_std=1e-9)).evaluate(names(8), smooth(8, rough=1.0), 1)
    full = CounterfactualEngine(config).evaluate(names(8), smooth(8, rough=1.0), 1)
    assert replace(matrix, seconds=None) == replace(full, seconds=None)
    assert matrix.early_stop == ""


def test_each_look_at_the_errors_comes_after_about_twice_as_many_coalitions():
    class Batches:
        def __init__(self):
            self.asked = []

        def evaluate_all(self, configs):
            self.asked.append(len(configs))
            return [Evaluation(accuracy=smooth(10, rough=1.0)(config)) for config in configs]

    value = Batches()
    config = CounterfactualConfig(estimator="leverage_regression", target_std=1e-9)
    CounterfactualEngine(config).evaluate(names(10), value, 1)
    assert np.cumsum(value.asked).tolist() == [2 + 2 * 16, 2 + 2 * 32, 2 + 2 * 64, 182]


def test_what_is_exact_has_no_sampling_error_to_stop_at():
    config = CounterfactualConfig(target_std=100.0)
    matrix = CounterfactualEngine(config).evaluate(SLOTS, MATRIX.__getitem__, 1)
    assert (len(matrix.configs), matrix.early_stop) == (8, "")


# What a value function may return, and what is kept of it


def test_with_metric_loss_a_number_is_the_loss_and_less_of_it_is_better():
    losses = {config: 3.0 - 0.5 * config[0] + 0.25 * config[1] for config in product((False, True), repeat=2)}
    matrix = CounterfactualEngine().evaluate(("good", "bad"), losses.__getitem__, 1, metric="loss")
    assert {result.config: result.val_loss for result in matrix.configs} == losses
    assert all(result.val_accuracy is None for result in matrix.configs)
    assert {slot: found.mean for slot, found in matrix.shapley_values.items()} == pytest.approx({"good": 0.5, "bad": -0.25})
    assert matrix.value((True, True)) == -2.75
    assert matrix.metric == "loss"


def test_an_evaluation_keeps_loss_accuracy_and_classes():
    evaluation = Evaluation(loss=0.7, accuracy=80.0, per_class_accuracy={0: 70.0, 1: 90.0})
    matrix = CounterfactualEngine().evaluate(("early",), lambda _: evaluation, 1)
    (off, _) = matrix.configs
    assert off == CounterfactualResult(config=(False,), val_loss=0.7, val_accuracy=80.0, per_class_accuracy={0: 70.0, 1: 90.0})
    assert matrix.n_examples is None


def test_a_result_is_kept_as_it_is():
    def value(config):
        return CounterfactualResult(config=config, alpha_settings={"early": 0.3 * config[0]}, val_loss=1.0, val_accuracy=50.0)

    matrix = CounterfactualEngine().evaluate(("early",), value, 1, alphas={"early": 0.9})
    assert matrix.configs == (value((False,)), value((True,)))


def test_the_accuracy_may_be_left_to_the_correct_bits():
    matrix = CounterfactualEngine().evaluate(("early",), lambda on: Evaluation(correct=(True, False, False, on[0])), 1)
    assert [result.val_accuracy for result in matrix.configs] == [25.0, 50.0]
    assert matrix.n_examples == 4


def test_numpy_numbers_are_numbers():
    matrix = CounterfactualEngine().evaluate(("early",), lambda on: np.float32(50 + on[0]), 1)
    assert matrix.shapley_values["early"].mean == 1.0


def test_numpy_epochs_and_seeds_are_whole_numbers():
    matrix = CounterfactualEngine(SAMPLING, seed=np.int64(1)).evaluate(iter(names(6)), game(6), np.int32(3))
    plain = CounterfactualEngine(SAMPLING, seed=1).evaluate(names(6), game(6), 3)
    assert matrix.epoch == 3
    assert matrix.configs == plain.configs


def bits(n, examples=400, seed=0):
    """Correctness by coalition: each example needs some strength, of which each slot gives it a different part."""
    rng = np.random.default_rng(seed)
    needed, given_by = rng.uniform(0, n, size=examples), rng.normal(1, 0.5, size=(n, examples))
    correct = {c: tuple((np.array(c) @ given_by > needed).tolist()) for c in product((False, True), repeat=n)}
    return lambda config: Evaluation(correct=correct[config])


def test_per_example_outcomes_give_an_exact_value_its_standard_error():
    value = bits(3)
    matrix = CounterfactualEngine().evaluate(SLOTS, value, 1)
    correct = np.array([value(config).correct for config in product((False, True), repeat=3)], dtype=float)
    for slot, found in enumerate(matrix.shapley_values.values()):
        per_example = [shapley_values(100 * correct[:, x])[slot] for x in range(correct.shape[1])]
        assert found.mean == pytest.approx(np.mean(per_example))
        assert found.std == found.evaluation_std == pytest.approx(np.std(per_example, ddof=1) / np.sqrt(400))
        assert found.ci_low < found.mean < found.ci_high
    assert matrix.n_examples == 400
    assert matrix.positive_claims() == claims(matrix) == SLOTS


@BOTH
def test_sampled_values_have_both_errors(config):
    n, value = 8, bits(8)
    sampled = CounterfactualEngine(replace(config, shapley_samples=20)).evaluate(names(n), value, 1).shapley_values
    exact = CounterfactualEngine(CounterfactualConfig(force_full_factorial=True)).evaluate(names(n), value, 1).shapley_values
    for slot, found in sampled.items():
        assert found.std == pytest.approx(np.hypot(found.sampling_std, found.evaluation_std))
        assert abs(found.mean - exact[slot].mean) < 5 * found.sampling_std

    def variance(estimates):
        return np.mean([found.evaluation_std**2 for found in estimates.values()])

    # One slot's is itself estimated from ten pairs; over eight slots that evens out.
    assert variance(sampled) == pytest.approx(variance(exact), rel=0.25)


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_sampled_values_have_both_errors_from_groups_too(metric):
    """Groups of one example each are examples; losses of groups likewise, with the sign turned."""
    n, value, config = 8, bits(8, examples=40), CounterfactualConfig(strategy="shapley")

    def by_group(coalition):
        values = tuple(100.0 * right for right in value(coalition).correct)
        return Evaluation(group_accuracies=values) if metric == "accuracy" else Evaluation(group_losses=tuple(-v for v in values))

    by_example = CounterfactualEngine(config).evaluate(names(n), value, 1).shapley_values
    grouped = CounterfactualEngine(config).evaluate(names(n), by_group, 1, metric=metric).shapley_values
    for slot, found in grouped.items():
        assert (found.evaluation_method, by_example[slot].evaluation_method) == ("group_jackknife", "per_example")
        assert (found.mean, found.std) == pytest.approx((by_example[slot].mean, by_example[slot].std), abs=1e-9)


def test_sampled_values_of_accuracies_alone_are_bounded_and_of_no_number_of_examples_have_sampling_error_only():
    n, value, config = 8, bits(8), CounterfactualConfig(strategy="shapley")
    known = CounterfactualEngine(config).evaluate(names(n), value, 1).shapley_values
    shares = CounterfactualEngine(config).evaluate(
        names(n), lambda c: Evaluation(accuracy=100 * value(c).correct.ones() / 400, n_examples=400), 1
    )
    alone = CounterfactualEngine(config).evaluate(names(n), lambda c: 100 * value(c).correct.ones() / 400, 1).shapley_values
    for slot, found in shares.shapley_values.items():
        assert found.evaluation_method == "binomial_bound"
        assert found.evaluation_std > known[slot].evaluation_std
        assert found.sampling_std == pytest.approx(known[slot].sampling_std)
        assert (alone[slot].std, alone[slot].evaluation_std) == (alone[slot].sampling_std, None)


def test_outcomes_of_some_coalitions_only_tell_no_more_than_their_number():
    value = bits(2)
    matrix = CounterfactualEngine().evaluate(("a", "b"), lambda c: value(c) if all(c) else 50.0, 1)
    assert matrix.n_examples == 400
    assert matrix.shapley_values["a"].evaluation_method == "binomial_bound"


def test_eight_accuracies_and_their_number_of_examples_bound_the_error():
    """Early's is at most that of flips as 63.5 and 62.3 % allow, and so on: of 10,000 examples, about 0.84 points."""
    value = lambda config: Evaluation(accuracy=MATRIX[config], n_examples=10_000)  # noqa: E731 -- one line
    found = CounterfactualEngine().evaluate(SLOTS, value, 7).shapley_values["early"]
    assert (found.mean, found.std, found.evaluation_method) == (
        pytest.approx(19 / 15),
        pytest.approx(0.84, abs=0.01),
        "binomial_bound",
    )


def test_correct_bits_are_no_outcomes_of_a_loss():
    matrix = CounterfactualEngine().evaluate(
        ("a",), lambda on: Evaluation(loss=1.0 - 0.5 * on[0], correct=(True, False, on[0])), 1, metric="loss"
    )
    assert matrix.shapley_values["a"].mean == 0.5
    assert matrix.shapley_values["a"].std is None


# Alphas: on means the present alpha


def test_alphas_are_recorded_as_given_and_zero_for_what_was_off():
    matrix = CounterfactualEngine().evaluate(("early", "mid"), game(2), 1, alphas={"early": 0.4, "mid": 1.0})
    assert {result.config: result.alpha_settings for result in matrix.configs} == {
        (False, False): {"early": 0.0, "mid": 0.0},
        (False, True): {"early": 0.0, "mid": 1.0},
        (True, False): {"early": 0.4, "mid": 0.0},
        (True, True): {"early": 0.4, "mid": 1.0},
    }


def test_alphas_that_nobody_knows_are_not_invented():
    matrix = CounterfactualEngine().evaluate(("early",), game(1), 1)
    assert all(result.alpha_settings == {} for result in matrix.configs)


class AllAtOnce:
    """A value that knows its slots and takes coalitions together."""

    slot_ids = SLOTS
    alphas = {"early": 0.25, "mid": 0.5, "late": 1.0}  # noqa: RUF012 -- never changed

    def __init__(self):
        self.calls = []

    def evaluate_all(self, configs):
        self.calls.append(len(configs))
        return [Evaluation(accuracy=MATRIX[config]) for config in configs]


def test_a_value_that_takes_all_coalitions_gets_them_in_one_call_and_tells_its_alphas():
    value = AllAtOnce()
    matrix = CounterfactualEngine().evaluate(SLOTS, value, 1)
    assert value.calls == [8]
    assert matrix.shapley_values["early"].mean == pytest.approx(19 / 15)
    assert matrix.configs[-1].alpha_settings == value.alphas


def test_a_cap_counts_for_coalitions_handed_over_together():
    value = AllAtOnce()
    config = CounterfactualConfig(strategy="full_factorial", max_configurations=5)
    assert len(CounterfactualEngine(config).evaluate(SLOTS, value, 1).configs) == value.calls[0] == 5


def test_a_timeout_hands_over_all_at_once_after_two_have_shown_that_there_is_time():
    value = AllAtOnce()
    assert CounterfactualEngine(CounterfactualConfig(timeout_seconds=600)).evaluate(SLOTS, value, 1).complete
    assert value.calls == [2, 6]


def test_a_timeout_in_the_middle_of_coalitions_handed_over_together_lists_what_was_skipped():
    class Slow(AllAtOnce):
        def evaluate_all(self, configs):
            time.sleep(0.1 * len(configs))
            return super().evaluate_all(configs)

    value, config = Slow(), CounterfactualConfig(strategy="full_factorial", timeout_seconds=0.3)
    matrix = CounterfactualEngine(config).evaluate(SLOTS, value, 1)
    assert (matrix.complete, matrix.stop_reason) == (False, "timeout_seconds=0.3 reached")
    assert value.calls[0] == 2
    assert 2 <= len(matrix.configs) == sum(value.calls) < 8
    assert {result.config for result in matrix.configs} | set(matrix.skipped) == set(MATRIX)
    assert (len(matrix.configs) + len(matrix.skipped), matrix.shapley_values) == (8, None)


class CheckingItself(AllAtOnce):
    repeats = 1


@pytest.mark.parametrize(
    ("cap", "evaluated", "reason"),
    [
        (9, 8, ""),
        (8, 7, "max_configurations=8 reached, 1 of them by evaluating again"),
        (2, 1, "max_configurations=2 reached, 1 of them by evaluating again"),
    ],
)
def test_what_a_value_evaluates_again_is_charged_to_the_budget(cap, evaluated, reason):
    config = CounterfactualConfig(strategy="full_factorial", max_configurations=cap)
    matrix = CounterfactualEngine(config).evaluate(SLOTS, CheckingItself(), 1)
    assert (len(matrix.configs), matrix.stop_reason, matrix.complete) == (evaluated, reason, not reason)


def test_auto_samples_where_the_budget_does_not_pay_for_the_repetition():
    for cap, strategy in ((9, "full_factorial"), (8, "shapley")):
        matrix = CounterfactualEngine(CounterfactualConfig(max_configurations=cap)).evaluate(SLOTS, CheckingItself(), 1)
        assert matrix.strategy == strategy
        assert len(matrix.configs) + 1 <= cap


def test_interactions_name_every_pair_in_order():
    matrix = CounterfactualEngine().evaluate(names(4), game(4), 1)
    assert list(matrix.interaction_effects) == list(combinations(names(4), 2))


def test_a_matrix_of_the_engine_is_stored_without_loss():
    config = CounterfactualConfig(strategy="shapley", shapley_samples=4, max_configurations=20)
    matrix = CounterfactualEngine(config).evaluate(names(6), bits(6), 1, alphas=dict.fromkeys(names(6), 0.5))
    assert type(matrix).from_plain(matrix.to_plain()) == matrix
