"""Numbers and verdicts in words: what is said is what was shown, and no more."""

from __future__ import annotations

import pytest
from report_runs import Made, experiment, pairs

from karn_wandb.experiment.claims import Claim, Claims
from karn_wandb.experiment.decide import decide
from karn_wandb.experiment.report.words import count, interval, number, p_cell, p_text, sentence, unit_of, verdict_sentences


def said(made, *others, declared=True, **fields):
    claims = (Claim("a", {"controller": "heuristic"}, {"controller": "none"}, **fields), *others)
    decision = decide(experiment(made), Claims(claims, sha256="declared"))[0]
    return verdict_sentences(decision, "heuristic", "none", unit_of(decision.claim.metric), len(claims), declared=declared)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (61.234, "61.23"),
        (-0.5, "−0.50"),
        (0.0, "0.00"),
        (0.0123, "0.012"),
        (0.04, "0.040"),
        (0.0949, "0.095"),
        (0.0999, "0.10"),
        (131_234.0, "131,234"),
        (999.4, "999.40"),
        (9_999.4, "9,999"),
        (None, "–"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_the_digits_that_are_read(value, text):
    assert number(value) == text


def test_signs_are_shown_on_request():
    assert (number(1.5, signed=True), number(-1.5, signed=True), number(0.0, signed=True)) == ("+1.50", "−1.50", "0.00")


def test_intervals_counts_and_p_values():
    assert interval(-1.0, 2.0) == "−1.00 to 2.00"
    assert interval(None, 2.0) == "–"
    assert (count(1, "run"), count(3, "run"), count(2, "run was", "runs were")) == ("1 run", "3 runs", "2 runs were")
    assert (p_text(0.0123), p_text(0.0001), p_cell(0.0123), p_cell(None)) == ("= 0.012", "< 0.001", "0.012", "–")
    assert (sentence("few runs"), sentence("Done.")) == ("Few runs.", "Done.")


def test_units_follow_the_metric():
    assert [unit_of(m) for m in ("final_accuracy", "final_loss", "total_params")] == ["percentage points", "", "parameters"]


def test_a_clear_win():
    """Interval and p by scipy.stats.ttest_1samp of the five deltas."""
    assert said(pairs((64.9, 64.1, 66.0, 62.9, 65.2), (61.2, 62.5, 60.8, 61.1, 61.7))) == (
        (
            "In final_accuracy, heuristic is 3.16 percentage points above none "
            "(95 % interval 1.31 to 5.01; paired t; 5 pairs by base_seed)."
        ),
        "One-sided p for superiority = 0.004; 0.025 or less was needed.",
        "The interval lies wholly on the better side of zero.",
    )


def test_a_clear_loss_in_a_metric_where_less_is_better():
    made = [
        Made(f"{arm}-{s}", arm, s, loss=base + 0.01 * s * s)
        for arm, base in (("heuristic", 1.2), ("none", 1.0))
        for s in range(4)
    ]
    made[2] = Made("heuristic-2", "heuristic", 2, loss=1.25)
    found = said(made, metric="final_loss", higher_is_better=False, pair_by=None)
    assert (
        found[0]
        == "In final_loss, heuristic is 0.20 above none (95 % interval 0.13 to 0.27; Welch t; 4 against 4 runs), which is worse."
    )
    assert found[1] == "One-sided p for superiority = 1.000; 0.025 or less was needed."
    assert found[2] == "The interval lies wholly on the worse side of zero."


def test_eight_noisy_deltas_with_mean_1_8_are_no_win():
    """The requirement's own example, sd 18.7; interval by SciPy, 851 pairs by statsmodels' TTestPower."""
    deltas = (-9.0, 14.8, 32.0, 8.6, -11.7, -11.3, 15.2, -24.2)
    found = said(pairs([50 + d for d in deltas], [50.0] * 8))
    assert found[0].startswith(
        "In final_accuracy, heuristic is 1.80 percentage points above none (95 % interval −13.85 to 17.45;"
    )
    assert found[2] == "Inconclusive: the interval contains zero. That is no sign that the arms are alike."
    assert found[3] == (
        "For 80 % power, 851 pairs would be needed, 843 more than there are, if the true difference were the observed one, "
        "which is an uncertain guide."
    )


def test_with_a_margin_the_runs_needed_are_those_to_decide_at_the_margin():
    found = said(pairs((60.0, 66.0, 61.0, 64.0, 59.0), (61.0, 62.0, 60.5, 61.5, 62.5)), test="non_inferiority", margin=1.0)
    assert found[1].startswith("One-sided p for non-inferiority = ")
    assert found[2] == (
        "Inconclusive: the interval contains zero and being worse by 1.00 percentage points. "
        "That is no sign that the arms are alike."
    )
    assert found[3].startswith("For 80 % power at the margin, ")
    assert found[3].endswith(" more than there are.")


def test_equivalence_and_non_inferiority_are_told_apart_from_winning():
    near = pairs((61.3, 62.5, 60.9, 61.1, 61.8), (61.2, 62.6, 60.8, 61.2, 61.7))
    assert "equivalent by that margin" in said(near, test="equivalence", margin=1.0)[2]
    above = pairs((61.9, 62.1, 61.3, 61.1, 62.8), (61.2, 62.6, 60.8, 61.2, 61.7))
    assert said(above, test="non_inferiority", margin=1.0)[2] == (
        "The interval excludes being worse by 1.00 percentage points: non-inferior by that margin, not shown to be better."
    )


def test_a_win_that_does_not_survive_correction_is_said_not_to():
    made = pairs((62.9, 62.6, 62.0, 62.1, 64.0), (61.2, 62.5, 60.8, 61.1, 61.7))
    others = [
        Claim(f"other {i}", {"controller": "none"}, {"controller": "heuristic"}, metric=metric)
        for i, metric in enumerate(("final_accuracy", "best_accuracy", "final_loss"))
    ]
    (alone, corrected) = (said(made), said(made, *others))
    assert alone[2] == "The interval lies wholly on the better side of zero."
    assert corrected[2] == f"{alone[2]} Corrected for the other claims of the family, this is not enough."
    assert "corrected over 4 claims" in corrected[1]


def test_equal_means_are_neither_above_nor_below():
    found = said(pairs((61.0, 62.0, 63.0), (62.0, 61.0, 63.0)))
    assert found[0].startswith("In final_accuracy, heuristic is level with none (95 % interval ")


def test_too_few_runs_are_said_to_be_too_few():
    found = said(pairs((64.0, 65.0), (61.0, 61.5)))
    assert found[0] == "In final_accuracy, heuristic is 3.25 percentage points above none."
    assert found[1].startswith("2 pairs: nothing is inferred from fewer than 3; ")
    assert len(found) == 2


def test_nothing_left_to_compare_is_said_with_the_reason():
    crashed = [Made(f"{arm}-{s}", arm, s, state="crashed") for arm in ("heuristic", "none") for s in range(2)]
    assert said(crashed, pair_by=None) == (
        "There is nothing to compare: an arm has no finished run with final_accuracy; 4 runs were not analysed.",
    )
    apart = [Made("a", "heuristic", 1), Made("b", "none", 2)]
    assert said(apart) == (
        "There is nothing to compare: no two runs of the arms share a base_seed; 0 runs were not analysed, 2 had no partner.",
    )


def test_an_undeclared_comparison_is_called_exploratory():
    found = said(pairs((64.9, 64.1, 66.0), (61.2, 62.5, 60.8)), declared=False)
    assert found[-1] == "No claims file declared this comparison beforehand: it is exploratory."
