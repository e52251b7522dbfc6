"""Adjusted p-values stay with their own hypotheses."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import correct

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=7)


def closed(p_values, index):
    """Holm's adjusted p by closed testing (Marcus et al. 1976): the worst Bonferroni p of the subsets with this hypothesis."""
    subsets = product((False, True), repeat=len(p_values))
    return max(min(1.0, sum(s) * min(p for p, kept in zip(p_values, s, strict=True) if kept)) for s in subsets if s[index])


def test_holm_keeps_the_order_of_the_hypotheses():
    """What deepsig 1.2.8 makes of this family is [.03, .003, .04], against the wrong hypotheses."""
    assert correct([0.02, 0.03, 0.001]) == pytest.approx((0.04, 0.04, 0.003))


@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    assert correct(p_values, "holm") == pytest.approx([closed(p_values, i) for i in range(len(p_values))])


@pytest.mark.parametrize(("method", "theirs"), [("holm", "holm"), ("bh", "fdr_bh")])
def test_both_agree_with_statsmodels(method, theirs):
    p_values = [0.04, 0.01, 0.03, 0.5, 0.2, 0.01, 0.0, 1.0]
    assert correct(p_values, method) == pytest.approx(multipletests(p_values, method=theirs)[1])


@given(P_VALUES, st.sampled_from(["holm", "bh"]), st.randoms())
def test_reordering_the_family_reorders_the_result(p_values, method, random):
    order = list(range(len(p_values)))
    random.shuffle(order)
    adjusted = np.array(correct(p_values, method))
    assert correct([p_values[i] for i in order], method) == pytest.approx(tuple(adjusted[order]))


@given(P_VALUES, st.sampled_from(["holm", "bh"]))
def test_what_was_not_tested_does_not_count(p_values, method):
    holes = [value for p in p_values for value in (p, None)]
    adjusted = correct(holes, method)
    assert adjusted[1::2] == (None,) * len(p_values)
    assert adjusted[::2] == correct(p_values, method)


def test_an_empty_family_stays_empty():
    assert correct([]) == ()
    assert correct([None, None], "bh") == (None, None)


@pytest.mark.parametrize(("p", "shown"), [(1.2, "1.2"), (-0.1, "-0.1"), (float("nan"), "nan")])
def test_what_is_no_p_value_is_named(p, shown):
    with pytest.raises(StatisticsError) as caught:
        correct([0.5, None, p])
    assert str(caught.value) == f"p-values must lie between 0 and 1; got {shown} at index 2. Pass None where there is none."


def test_an_unknown_method_is_refused():
    with pytest.raises(StatisticsError) as caught:
        correct([0.5], "bonferroni")
    assert str(caught.value) == 'unknown correction; got \'bonferroni\'. Use "holm" or "bh".'
