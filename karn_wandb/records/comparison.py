"""Two arms compared: every number a verdict rests on, and what it was computed from."""

from __future__ import annotations

from typing import Annotated, Literal

from karn_wandb.records._kinds import Bounds, Count, Fraction
from karn_wandb.records._record import Record, record

Verdict = Literal["better", "worse", "equivalent", "non-inferior", "inconclusive"]
Unfinished = Literal["left_out", "worst", "last"]
"""What a run counts as that did not finish, or lacks the metric: nothing, the worst value of any run, or its last value."""
Confidence = Annotated[float, Bounds(0.5, 0.9999)]


@record
class Comparison(Record):
    """Treatment against control, one number per run; deltas are treatment minus control, whatever is better.

    Inferential fields are None when there are fewer than three runs an arm (pairs when paired), or where the data
    leave them undefined.

    Attributes:
        n_treatment: Runs in the treatment arm.
        n_control: Runs in the control arm.
        paired: Whether runs are matched one to one.
        higher_is_better: Direction of the metric.
        confidence: Confidence of every interval.
        margin: Non-inferiority margin in the metric's unit, positive; None without one.
        mean_treatment: Mean of the treatment arm.
        mean_control: Mean of the control arm.
        mean_delta: Their difference.
        std_delta: Standard deviation of the paired deltas, else the pooled standard deviation.
        ci_low: Lower end of the primary interval of the mean delta (paired t, else Welch).
        ci_high: Its upper end.
        ci_method: Name of that interval.
        p_value: Two-sided p of the same test.
        p_improvement: One-sided p against the null of no improvement (the requirement's p_value).
        p_permutation: Two-sided permutation p; exact while the relabellings are few, else Monte Carlo (b+1)/(m+1).
        permutation_method: "exact" or "monte_carlo"; None without one.
        p_attainable: Smallest two-sided p any data of this size can give by permutation.
        cohens_d: Pooled standard deviation when unpaired, d_z when paired.
        hedges_g: The same with the exact gamma correction.
        hedges_g_ci: Its interval by the non-central t distribution.
        probability_of_improvement: P(treatment beats control), ties one half; over pairs when paired.
        probability_of_improvement_ci: Its interval: Clopper-Pearson over pairs, else Newcombe's method 5 with Student's t.
        iqm_treatment: Interquartile mean of the treatment arm.
        iqm_control: Interquartile mean of the control arm.
        bootstrap_ci: Percentile bootstrap interval of the mean delta, companion of the primary one.
        bca_ci: BCa bootstrap interval from the same resamples; None where its correction is undefined.
        p_non_inferiority: One-sided p against being worse by the margin; None without a margin.
        p_equivalence: TOST p against differing by the margin; None without a margin.
        required_n: Runs an arm (pairs) for 80 % power, at the margin if there is one, else at the observed delta.
        required_n_basis: Which of the two; None without a number.
        detectable_delta: Smallest true difference that runs so many and so spread show with 80 % power.
        verdict: What the primary interval shows, in the order better/worse, equivalent, non-inferior, inconclusive.
        warnings: What a careful reader must know.
    """

    n_treatment: Count
    n_control: Count
    paired: bool
    higher_is_better: bool
    confidence: Confidence
    margin: float | None
    mean_treatment: float | None
    mean_control: float | None
    mean_delta: float | None
    std_delta: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str = ""
    p_value: Fraction | None = None
    p_improvement: Fraction | None = None
    p_permutation: Fraction | None = None
    permutation_method: Literal["exact", "monte_carlo"] | None = None
    p_attainable: Fraction | None = None
    cohens_d: float | None = None
    hedges_g: float | None = None
    hedges_g_ci: tuple[float, float] | None = None
    probability_of_improvement: Fraction | None = None
    probability_of_improvement_ci: tuple[Fraction, Fraction] | None = None
    iqm_treatment: float | None = None
    iqm_control: float | None = None
    bootstrap_ci: tuple[float, float] | None = None
    bca_ci: tuple[float, float] | None = None
    p_non_inferiority: Fraction | None = None
    p_equivalence: Fraction | None = None
    required_n: Count | None = None
    required_n_basis: Literal["margin", "observed delta"] | None = None
    detectable_delta: float | None = None
    verdict: Verdict = "inconclusive"
    warnings: tuple[str, ...] = ()


@record
class Pair(Record):
    """Two runs matched by the pairing column.

    Attributes:
        key: Value they were matched by, as text.
        treatment_run: Run of the treatment arm.
        control_run: Run of the control arm.
        treatment: Its value of the metric.
        control: The other's.
    """

    key: str
    treatment_run: str
    control_run: str
    treatment: float
    control: float


@record
class ExcludedRun(Record):
    """A run that was not analysed, or not by a result of its own, and why; none is left out silently.

    Attributes:
        run_id: The run.
        arm: "treatment", "control", or "" when it belongs to neither.
        state: Its state: finished, failed, crashed, running.
        reason: Why it is not in the comparison.
    """

    run_id: str
    arm: str
    state: str
    reason: str


@record
class ExperimentAggregation(Record):
    """Statistics over several runs (review, P3-13).

    Attributes:
        run_ids: The runs analysed, treatment first.
        mean_delta: Mean difference, treatment minus control; None when an arm is empty.
        std_delta: Standard deviation of the paired deltas, else pooled.
        p_value: Two-sided p (paired t or Welch); one-sided is `comparison.p_improvement`.
        cohens_d: Effect size.
        metric: Column of the episodes that was compared.
        treatment: The treatment arm's filter, in words.
        control: The control arm's filter, in words.
        pair_by: Column the runs were matched by; None when unpaired.
        comparison: All numbers.
        pairs: Matched runs.
        unmatched: Runs that have no partner.
        excluded: Runs that were not analysed, and why.
        unfinished: What runs count as that did not finish or lack the metric.
        counted: Those of them that were analysed, and as what.
        values: The metric of each run of `run_ids`, in their order.
        input_hash: SHA-256 of the analysed values and options: the same input gives the same report.
        warnings: What a careful reader must know of how runs became values; the comparison has warnings of its own.
    """

    run_ids: tuple[str, ...]
    mean_delta: float | None
    std_delta: float | None
    p_value: Fraction | None
    cohens_d: float | None
    metric: str = ""
    treatment: str = ""
    control: str = ""
    pair_by: str | None = None
    comparison: Comparison | None = None
    pairs: tuple[Pair, ...] = ()
    unmatched: tuple[ExcludedRun, ...] = ()
    excluded: tuple[ExcludedRun, ...] = ()
    unfinished: Unfinished = "left_out"
    counted: tuple[ExcludedRun, ...] = ()
    values: tuple[float, ...] = ()
    input_hash: str = ""
    warnings: tuple[str, ...] = ()
