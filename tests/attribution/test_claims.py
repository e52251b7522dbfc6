"""Claims over several slots: Holm's correction and what it is applied to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from karn_wandb.attribution import claims
from karn_wandb.attribution.claims import holm
from karn_wandb.attribution.uncertainty import estimate
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualMatrix


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
