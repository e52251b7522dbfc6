"""Claims over several slots: Holm's correction and what it is applied to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from karn_wandb.attribution import CounterfactualEngine, claims
from karn_wandb.attribution.claims import holm, is_claimed_in_any_case, may_be_claimed
from karn_wandb.attribution.uncertainty import estimate
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualMatrix, Evaluation


def matrix_with(**p_values):
    """A matrix whose slots have these one-sided p-values, None for an unknown standard error."""
    found = {}
    for slot, p in p_values.items():
        mean, error = (1.0, None) if p is None else (float(stats.norm.isf(p)), 1.0)
        found[slot] = estimate(mean, sampling=0.0, evaluation=error, n_samples=8, algorithm="exact")
    return CounterfactualMatrix(epoch=1, configs=(), slot_ids=tuple(p_values), shapley_values=found)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values):
    """Reference: statsmodels.stats.multitest.multipletests, method "holm"."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@given(st.lists(st.floats(1e-9, 0.1), min_size=1, max_size=8))
def test_what_holds_in_any_case_holds_whatever_the_other_slots_show(p_values):
    """One slot's estimate alone says that both rules claim it, or that neither does, or that it depends."""
    matrix = matrix_with(**{f"slot{i}": p for i, p in enumerate(p_values)})
    for slot, found in matrix.shapley_values.items():
        by_rules = {slot in claims(matrix), slot in matrix.positive_claims()}
        if is_claimed_in_any_case(found, len(p_values)):
            assert by_rules == {True}
        if not may_be_claimed(found):
            assert by_rules == {False}


def test_in_between_it_depends_on_the_others():
    """A p-value of 0.02 is below the plain rule's 0.0228; below 0.025, Holm's first of two slots; above 0.017, that of three."""
    found = matrix_with(a=0.02).shapley_values["a"]
    assert is_claimed_in_any_case(found, 2)
    assert not is_claimed_in_any_case(found, 3)
    assert may_be_claimed(found)
    assert [may_be_claimed(matrix_with(a=p).shapley_values["a"]) for p in (0.049, 0.051)] == [True, False]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_of_the_p_values_and_lowers_none(p_values):
    adjusted = holm(p_values)
    assert all(p <= corrected <= 1 for p, corrected in zip(p_values, adjusted, strict=True))
    in_order = [corrected for _, corrected in sorted(zip(p_values, adjusted, strict=True))]
    assert in_order == sorted(in_order)


def test_claims_are_corrected_for_the_number_of_slots():
    matrix = matrix_with(early=0.016, mid=0.04, late=0.2)
    assert claims(matrix, correction=None) == ("early", "mid")
    assert claims(matrix) == ("early",)  # 3 * 0.016 = 0.048, 2 * 0.04 = 0.08


def test_each_kind_of_estimate_is_tested_by_its_own_distribution():
    """Two standard errors above zero: p is 0.0228 when normal, 0.0403 with 7 degrees of freedom, 0.0250 with 49."""
    exact = {"sampling": 0.0, "evaluation": 1.0, "n_samples": 8, "algorithm": "exact"}
    kinds = {
        "bound": estimate(2.0, evaluation_method="binomial_bound", **exact),
        "eight_groups": estimate(2.0, evaluation_method="group_jackknife", evaluation_freedom=7, **exact),
        "examples": estimate(2.0, evaluation_method="per_example", evaluation_freedom=49, **exact),
        "ten_pairs": estimate(
            2.0, sampling=1.0, evaluation=None, n_samples=20, algorithm="permutation_antithetic", sampling_freedom=9
        ),
        "unknown": estimate(2.0, sampling=0.0, evaluation=None, n_samples=8, algorithm="exact"),
    }
    p_values = {
        "bound": stats.norm.sf(2), "eight_groups": stats.t.sf(2, 7), "examples": stats.t.sf(2, 49), "ten_pairs": stats.t.sf(2, 9),
    }  # fmt: skip
    matrix = CounterfactualMatrix(epoch=1, configs=(), slot_ids=tuple(kinds), shapley_values=kinds)
    stored = CounterfactualMatrix.from_plain(matrix.to_plain())
    for alpha in (0.0227, 0.0229, 0.026, 0.0390, 0.0402, 0.0404):
        expected = tuple(slot for slot in kinds if p_values.get(slot, 1.0) <= alpha)
        assert claims(matrix, correction=None, alpha=alpha) == claims(stored, correction=None, alpha=alpha) == expected


def test_few_batches_claim_less_than_many_examples():
    """The same examples: 100 examples against 4 batches of them, whose spread is hardly known."""
    rng = np.random.default_rng(0)
    correct = {on: (rng.uniform(size=100) < 0.6 + 0.2 * on) for on in (False, True)}
    by_example = CounterfactualEngine().evaluate(("early",), lambda c: Evaluation(correct=correct[c[0]].tolist()), 1)
    by_batch = CounterfactualEngine().evaluate(
        ("early",), lambda c: Evaluation(group_accuracies=(100 * correct[c[0]].reshape(4, 25).mean(axis=1)).tolist()), 1
    )
    example, batch = by_example.shapley_values["early"], by_batch.shapley_values["early"]
    assert (batch.ci_high - batch.ci_low) / batch.std == pytest.approx(2 * stats.t.isf(0.025, 3))
    assert (example.ci_high - example.ci_low) / example.std == pytest.approx(2 * stats.t.isf(0.025, 99))


def test_a_stricter_alpha_claims_less():
    matrix = matrix_with(early=0.001, mid=0.02)
    assert claims(matrix) == ("early", "mid")
    assert claims(matrix, alpha=0.01) == ("early",)


def test_a_harmful_slot_is_never_claimed():
    assert claims(matrix_with(early=0.9999, mid=0.5)) == ()


def test_a_slot_without_a_standard_error_is_not_claimed_but_was_looked_at():
    matrix = matrix_with(early=0.03, mid=None)
    assert claims(matrix, correction=None) == ("early",)
    assert claims(matrix) == ()


def test_without_shapley_values_nothing_is_claimed():
    assert claims(CounterfactualMatrix(epoch=1, configs=(), slot_ids=("early",))) == ()


def test_an_unknown_correction_and_an_impossible_alpha_are_refused():
    with pytest.raises(AttributionError) as caught:
        claims(matrix_with(early=0.1), correction="bonferroni")
    assert str(caught.value) == "correction must be \"holm\" or None; got 'bonferroni'."
    with pytest.raises(AttributionError) as caught:
        claims(matrix_with(early=0.1), alpha=5)
    assert str(caught.value) == "alpha must lie between 0 and 1; got 5."
