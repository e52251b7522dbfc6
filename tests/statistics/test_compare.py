"""The verdict, what is left out when nothing can be inferred, and what a careful reader is told."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from karn_wandb.records import Comparison
from karn_wandb.statistics import (
    compare,
    minimum_detectable_delta,
    paired_difference,
    probability_of_improvement,
    welch_difference,
)
from karn_wandb.statistics.compare import verdict

EIGHT_DELTAS = [-9.0, 14.8, 32.0, 8.6, -11.7, -11.3, 15.2, -24.2]
"""Policy minus heuristic in eight real runs: mean +1.8, standard deviation 18.7."""

DESCRIPTIVE = {
    "n_treatment", "n_control", "paired", "higher_is_better", "confidence", "margin", "mean_treatment", "mean_control",
    "mean_delta", "std_delta", "p_attainable", "iqm_treatment", "iqm_control", "verdict", "warnings",
}  # fmt: skip


def given(comparison):
    return {field.name for field in fields(comparison) if getattr(comparison, field.name) not in (None, "")}


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.1, 2.0, None, "better"),
        (-2.0, -0.1, None, "worse"),
        (-0.1, 2.0, None, "inconclusive"),
        (0.0, 2.0, None, "inconclusive"),
        (-0.9, 0.9, 1.0, "equivalent"),
        (-0.9, 1.0, 1.0, "non-inferior"),
        (-0.9, 5.0, 1.0, "non-inferior"),
        (-1.0, 0.9, 1.0, "inconclusive"),
        (-1.1, 0.9, 1.0, "inconclusive"),
        (0.1, 0.5, 1.0, "better"),
        (-0.5, -0.1, 1.0, "worse"),
    ],
)
def test_the_verdict_is_read_off_the_interval_in_a_fixed_order(low, high, margin, expected):
    assert verdict(low, high, margin=margin, higher_is_better=True) == expected
    assert verdict(-high, -low, margin=margin, higher_is_better=False) == expected


def test_eight_noisy_deltas_are_no_win():
    c = compare(EIGHT_DELTAS, np.zeros(8), paired=True)
    assert c.verdict == "inconclusive"
    assert c.mean_delta == pytest.approx(1.8)
    assert (c.required_n, c.required_n_basis) == (851, "observed delta")
    assert (
        "80 % power would need 851 pairs if the observed delta were the true one, which these runs show only roughly; "
        "plan with a margin instead"
    ) in c.warnings


def test_eight_noisy_deltas_with_a_margin_say_how_many_pairs_would_settle_it():
    c = compare(EIGHT_DELTAS, np.zeros(8), paired=True, margin=2.0)
    assert (c.verdict, c.required_n, c.required_n_basis) == ("inconclusive", 690, "margin")
    assert c.p_non_inferiority == pytest.approx(stats.ttest_1samp(EIGHT_DELTAS, -2.0, alternative="greater").pvalue)


def test_required_runs_are_for_the_confidence_asked_for():
    """R: power.t.test(delta = 0.5, power = 0.8, sig.level = 0.01) and 0.2 give n = 95.10 and 36.49."""
    values = np.array([-1.5, -0.5, 0.5, 1.5, -1.0, 1.0])
    margin = 0.5 * values.std(ddof=1)
    assert compare(values, values, margin=margin, confidence=0.99).required_n == 96
    assert compare(values, values, margin=margin, confidence=0.8).required_n == 37


@pytest.mark.parametrize(
    ("treatment", "control", "paired", "warning"),
    [
        (
            [61.0, 62.0], [60.0, 60.5], True,
            "2 pairs: nothing is inferred from fewer than 3; 6 pairs are needed before the permutation test can reach 0.05",
        ),
        (
            [61.0], [60.0], True,
            "1 pair: nothing is inferred from fewer than 3; 6 pairs are needed before the permutation test can reach 0.05",
        ),
        (
            [61.0, 62.0], [60.0, 60.5, 61.0, 63.0], False,
            ("2 v 4 runs: nothing is inferred from fewer than 3; "
            "4 runs an arm are needed before the permutation test can reach 0.05"),
        ),
    ],
)  # fmt: skip
def test_below_three_runs_nothing_is_inferred_and_the_need_is_named(treatment, control, paired, warning):
    c = compare(treatment, control, paired=paired, margin=1.0)
    assert given(c) <= DESCRIPTIVE
    assert (c.verdict, c.warnings[0]) == ("inconclusive", warning)


def test_one_run_has_no_interval_and_no_spread():
    """Where rliable 1.2 gives a zero-width interval without a word."""
    c = compare([70.0], [60.0])
    assert (c.mean_delta, c.std_delta, c.ci_low, c.ci_high, c.bootstrap_ci) == (10.0, None, None, None, None)


def test_equal_deltas_are_no_evidence_but_a_reason_to_look():
    """Differences that are equal up to rounding are equal."""
    c = compare([1.1, 2.1, 3.1, 4.1, 5.1], [1.0, 2.0, 3.0, 4.0, 5.0], paired=True, margin=1.0)
    assert given(c) == DESCRIPTIVE
    assert c.verdict == "inconclusive"
    assert c.warnings == (
        "all 5 deltas are 0.1: without spread there is no test; check that the runs are independent repetitions",
    )


def test_two_constant_arms_are_no_evidence_but_a_reason_to_look():
    c = compare([62.5] * 4, [60.0] * 5)
    assert given(c) <= DESCRIPTIVE
    assert c.verdict == "inconclusive"
    assert c.warnings == (
        (
            "all treatment values are 62.5 and all control values are 60: "
            "without spread there is no test; check that the runs are independent repetitions"
        ),
    )


def test_one_constant_arm_is_tested_and_pointed_out():
    c = compare([62.5, 63.0, 62.0, 61.5, 62.1], [60.0] * 5)
    assert c.verdict == "better"
    assert "all 5 control values are 60: check that the runs are independent repetitions" in c.warnings


def test_values_too_close_together_to_square_count_as_equal():
    assert compare([1e-200, 2e-200, 3e-200], [2e-200, 1e-200, 0.0]).verdict == "inconclusive"


def test_three_pairs_are_described_not_believed():
    c = compare([71.0, 72.5, 73.0], [60.0, 61.0, 62.1], paired=True)
    assert c.verdict == "better"
    assert c.warnings == (
        "3 pairs: with fewer than 4 values an interquartile mean is the plain mean",
        "3 pairs: read the numbers as a description, not as evidence",
        "3 pairs: the bootstrap interval is too narrow below 10; read the paired t interval",
        "with 3 pairs the smallest attainable permutation p is 0.25, above 0.05; 6 pairs can reach it",
        (
            "80 % power would need 3 pairs if the observed delta were the true one, which these runs show only roughly; "
            "plan with a margin instead"
        ),
    )


def test_five_runs_an_arm_are_few_and_said_to_be():
    c = compare([61.0, 62.0, 60.5, 61.7, 62.3], [60.1, 61.9, 61.0, 60.7, 61.4], margin=0.5)
    assert c.warnings == (
        "5 v 5 runs: few; the interval rests on near-normal values, which so few cannot show",
        "5 v 5 runs: the bootstrap interval is too narrow below 10; read the Welch t interval",
    )


def test_ten_ordinary_runs_an_arm_with_a_margin_need_no_warning():
    rng = np.random.default_rng(5)
    assert compare(rng.normal(62, 1, 10), rng.normal(60, 1, 10), margin=1.0).warnings == ()


def test_an_outlier_is_shown_and_kept():
    collapsed = [62.0, 62.4, 61.8, 62.1, 10.0]
    c = compare(collapsed, [60.0, 60.4, 59.7, 60.9, 61.1])
    assert "far from the other treatment values, and kept: 10 (median 62)" in c.warnings
    assert c.mean_treatment == pytest.approx(np.mean(collapsed))


def test_an_outlying_pair_is_shown_and_kept():
    c = compare([62.0, 62.4, 61.8, 62.1, 10.0], [61.0, 61.3, 60.9, 61.0, 61.1], paired=True)
    assert "far from the other delta values, and kept: -51.1 (median 1)" in c.warnings
    assert c.n_treatment == 5


def test_a_difference_smaller_than_the_margin_is_said_to_be():
    control = np.linspace(60, 61, 12)
    c = compare(control + 0.1 + 0.01 * (np.arange(12) % 3), control, paired=True, margin=1.0)
    assert c.verdict == "better"
    assert "the difference is shown, and shown to be smaller than the margin of 1" in c.warnings


def test_a_hopeless_plan_is_called_hopeless():
    c = compare([60.0, 61.0, 59.0, 60.0, 62.0, 58.0], [60.0, 61.0, 59.0, 60.0, 62.0, 58.0], margin=0.001)
    assert (c.required_n, c.required_n_basis) == (None, None)
    assert "more than 1,000,000 runs an arm would be needed for 80 % power at the margin of 0.001" in c.warnings


def test_identical_arms_with_a_wide_margin_are_equivalent_and_without_one_inconclusive():
    values = [60.0, 61.0, 59.0, 60.5, 62.0, 58.0]
    assert compare(values, values, margin=5.0).verdict == "equivalent"
    assert compare(values, values).verdict == "inconclusive"


def test_the_order_of_the_runs_changes_not_one_bit():
    rng = np.random.default_rng(0)
    treatment, control, order = rng.normal(1, 1, 23), rng.normal(0, 2, 23), rng.permutation(23)
    assert compare(treatment[order], control) == compare(treatment, control)
    assert compare(treatment[order], control[order], paired=True) == compare(treatment, control, paired=True)


def test_the_seed_is_used_and_nothing_else_random_is_touched():
    """Unlike rliable 1.2, which draws from NumPy's global generator whatever seed it is given."""
    rng = np.random.default_rng(0)
    arms = rng.normal(1, 1, 20), rng.normal(0, 2, 20)
    before = repr(np.random.get_state())  # noqa: NPY002 -- the global state is what must not move
    assert compare(*arms, rng=3) == compare(*arms, rng=3)
    assert compare(*arms, rng=3) == compare(*arms, rng=np.random.default_rng(3))
    assert compare(*arms, rng=3).bootstrap_ci != compare(*arms, rng=4).bootstrap_ci
    assert repr(np.random.get_state()) == before  # noqa: NPY002 -- as above


def test_a_generator_that_is_reused_goes_on():
    generator = np.random.default_rng(0)
    arms = np.arange(12.0), np.arange(12.0) ** 1.1
    assert compare(*arms, rng=generator).bootstrap_ci != compare(*arms, rng=generator).bootstrap_ci


def test_what_stands_beside_the_verdict_is_what_its_own_functions_say():
    rng = np.random.default_rng(0)
    treatment, control = rng.gamma(2, 1, 9), rng.gamma(3, 1, 9)
    for paired in (True, False):
        c = compare(treatment, control, paired=paired)
        chance = probability_of_improvement(treatment, control, paired)
        assert c.probability_of_improvement_ci == (chance.low, chance.high)
        difference = (paired_difference if paired else welch_difference)(treatment, control)
        assert c.detectable_delta == pytest.approx(minimum_detectable_delta(difference))
        assert c.bca_ci[0] < c.mean_delta < c.bca_ci[1]
        assert c.bca_ci != c.bootstrap_ci


def test_a_comparison_is_stored_without_loss():
    c = compare(EIGHT_DELTAS, np.zeros(8), paired=True, margin=2.0)
    assert Comparison.from_plain(c.to_plain()) == c
