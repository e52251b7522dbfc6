"""What follows from a matrix alone: the same numbers as the engine gave it, also after being stored."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.attribution import (
    CounterfactualEngine,
    banzhaf_values,
    claims,
    interaction_estimates,
    removal_costs,
    shapley_estimates,
)
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualConfig, CounterfactualMatrix, CounterfactualResult, Evaluation

SLOTS = ("early", "mid", "late")
MATRIX = dict(zip(product((False, True), repeat=3), (62.3, 64.1, 63.8, 65.2, 63.5, 65.8, 64.9, 66.4), strict=True))
"""The requirement's example."""


def per_example(rng):
    correct = {c: tuple((rng.uniform(size=60) < 0.5 + 0.1 * sum(c)).tolist()) for c in MATRIX}
    return lambda config: Evaluation(correct=correct[config])


def by_group(rng):
    accuracies = {c: tuple(rng.uniform(0, 100, size=7).tolist()) for c in MATRIX}
    return lambda config: Evaluation(group_accuracies=accuracies[config], group_sizes=(5, 5, 5, 5, 5, 5, 2))


def losses_by_group(rng):
    losses = {c: tuple(rng.normal(2, 0.3, size=9).tolist()) for c in MATRIX}
    return lambda config: Evaluation(group_losses=losses[config])


def shares(rng):
    return lambda config: Evaluation(accuracy=MATRIX[config], n_examples=500)


def numbers(rng):
    return lambda config: MATRIX[config]


@pytest.mark.parametrize("told", [per_example, by_group, losses_by_group, shares, numbers])
@given(seed=st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_a_matrix_read_back_gives_the_numbers_it_was_logged_with(told, seed):
    metric = "loss" if told is losses_by_group else "accuracy"
    value = told(np.random.default_rng(seed))
    logged = CounterfactualEngine(CounterfactualConfig(independence_margin=2.0)).evaluate(SLOTS, value, 1, metric=metric)
    stored = CounterfactualMatrix.from_plain(logged.to_plain())
    bare = replace(stored, shapley_values=None, interactions={}, interaction_effects={}, marginal_contributions={})
    assert shapley_estimates(bare) == logged.shapley_values
    assert interaction_estimates(bare, margin=2.0) == logged.interactions
    assert {slot: found.mean for slot, found in banzhaf_values(bare).items()} == logged.marginal_contributions
    ablation = CounterfactualEngine(CounterfactualConfig(strategy="ablation_only")).evaluate(SLOTS, value, 1, metric=metric)
    assert {slot: found.mean for slot, found in removal_costs(bare).items()} == ablation.marginal_contributions
    assert removal_costs(bare) == removal_costs(ablation)
    assert claims(replace(bare, shapley_values=shapley_estimates(bare))) == claims(logged)


def test_without_its_outcomes_a_matrix_still_bounds_its_errors():
    value = per_example(np.random.default_rng(0))
    kept, bare = (
        CounterfactualEngine(CounterfactualConfig(keep_outcomes=keep)).evaluate(SLOTS, value, 1) for keep in (True, False)
    )
    assert bare.shapley_values == kept.shapley_values
    for known, bound in zip(shapley_estimates(kept).values(), shapley_estimates(bare).values(), strict=True):
        assert (known.evaluation_method, bound.evaluation_method) == ("per_example", "binomial_bound")
        assert bound.mean == pytest.approx(known.mean)
        assert bound.std > known.std


def test_the_order_of_the_coalitions_in_a_matrix_does_not_matter():
    matrix = CounterfactualEngine().evaluate(SLOTS, per_example(np.random.default_rng(0)), 1)
    turned = replace(matrix, configs=matrix.configs[::-1])
    assert shapley_estimates(turned) == matrix.shapley_values


def test_removal_costs_are_paired_differences():
    """Early off changes 3 of 10 examples: 2 lost, 1 gained; by hand, the sd of the differences over sqrt(10)."""
    on, off = (True,) * 6 + (False,) * 4, (True,) * 4 + (False,) * 2 + (True,) + (False,) * 3
    matrix = CounterfactualEngine().evaluate(("early",), lambda c: Evaluation(correct=on if c[0] else off), 1)
    found = removal_costs(matrix)["early"]
    differences = 100.0 * np.subtract(on, off, dtype=float)
    assert (found.mean, found.std) == (pytest.approx(10.0), pytest.approx(differences.std(ddof=1) / np.sqrt(10)))
    assert found.ci_low < 0 < found.ci_high
    assert (found.evaluation_method, found.degrees_of_freedom) == ("per_example", 9)


def test_removal_costs_are_of_the_slots_whose_removal_was_evaluated():
    configs = tuple(CounterfactualResult(config=c, val_accuracy=50.0 + sum(c)) for c in ((True, True), (False, True)))
    matrix = CounterfactualMatrix(epoch=1, configs=configs, slot_ids=("early", "late"))
    assert {slot: found.mean for slot, found in removal_costs(matrix).items()} == {"early": 1.0}


def test_a_slot_that_changes_no_example_has_no_value_no_error_and_no_claim():
    """Accuracies like 66.1 and 64.3 leave rounding errors behind, which are no effects."""
    rng = np.random.default_rng(0)
    correct = {c: tuple((rng.uniform(size=997) < 0.6).tolist()) for c in product((False, True), repeat=2)}
    matrix = CounterfactualEngine().evaluate(SLOTS, lambda c: Evaluation(correct=correct[c[:2]]), 1)
    found = matrix.shapley_values["late"]
    assert (found.mean, found.std, found.ci_low, found.ci_high) == (0.0, 0.0, 0.0, 0.0)
    assert {matrix.interactions[pair].effect for pair in (("early", "late"), ("mid", "late"))} == {0.0}
    assert {matrix.interactions[pair].regime for pair in (("early", "late"), ("mid", "late"))} == {"independence"}
    assert "late" not in claims(matrix) + matrix.positive_claims()


@pytest.mark.parametrize("ask", [shapley_estimates, banzhaf_values])
def test_a_matrix_that_is_not_complete_is_refused(ask):
    config = CounterfactualConfig(strategy="full_factorial", max_configurations=5)
    matrix = CounterfactualEngine(config).evaluate(SLOTS, MATRIX.__getitem__, 1)
    with pytest.raises(AttributionError) as caught:
        ask(matrix)
    assert str(caught.value) == (
        f"{ask.__name__} needs the value of all 8 coalitions of 3 slots; got 5. "
        "Evaluate with CounterfactualConfig(force_full_factorial=True)."
    )


@pytest.mark.parametrize("ask", [removal_costs, interaction_estimates])
def test_a_matrix_without_names_is_refused(ask):
    configs = tuple(CounterfactualResult(config=c, val_accuracy=v) for c, v in MATRIX.items())
    with pytest.raises(AttributionError) as caught:
        ask(CounterfactualMatrix(epoch=1, configs=configs))
    assert str(caught.value) == f"{ask.__name__} needs a matrix that names its slots; got no slot_ids."


def test_an_empty_matrix_has_no_estimates():
    matrix = CounterfactualMatrix(epoch=1, configs=(), slot_ids=SLOTS)
    assert (removal_costs(matrix), interaction_estimates(matrix)) == ({}, {})
