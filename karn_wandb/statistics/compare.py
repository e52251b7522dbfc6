"""The comparison of two arms: one primary interval, the verdict it gives, and the numbers beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from karn_wandb.records import Comparison, Verdict
from karn_wandb.statistics import bootstrap, cautions, effects, hypotheses, improvement, intervals
from karn_wandb.statistics.inputs import Floats, check_confidence, check_margin, checked_arms, generators
from karn_wandb.statistics.permutation import attainable_p, permutation_test
from karn_wandb.statistics.power import minimum_detectable_delta, required_n


def compare(  # noqa: PLR0917 -- the contract allows every argument by position
    treatment: npt.ArrayLike,
    control: npt.ArrayLike,
    paired: bool = False,
    higher_is_better: bool = True,
    margin: float | None = None,
    confidence: float = 0.95,
    rng: int | np.random.Generator = 0,
) -> Comparison:
    """Compare two arms, one number per run.

    The verdict is read off the primary interval alone (paired t, else Welch, at `confidence`), in this order:
    "better" or "worse" when it excludes zero; "equivalent" when it lies inside (-margin, margin); "non-inferior" when
    its worse end is nearer to zero than the margin; else "inconclusive". So the one-sided tests behind the last three
    run at (1 - confidence) / 2, the level ICH E9 (1998) asks for: `p_equivalence` and `p_non_inferiority` must
    fall below 0.025, not 0.05, at 95 %. Reading all of them off one interval needs no correction for having tried several
    (docs/decisions/0004-one-primary-interval.md).

    With fewer than three runs in an arm (three pairs), or without any spread, nothing is inferred: the result describes
    the arms and says in `warnings` what is needed. The order of the runs has no influence, to the last bit.

    Args:
        treatment: Shape (n,), in the metric's unit.
        control: Shape (m,), the same unit; m = n when paired.
        paired: Whether value i of one arm belongs to value i of the other, as with a shared random seed.
        higher_is_better: Direction of the metric. Deltas are treatment minus control either way.
        margin: The largest loss that does not matter, in the metric's unit, fixed beforehand; above 0.
        confidence: Of every interval, above 0.5 and at most 0.9999.
        rng: Whole number or Generator for the bootstrap and for permutations too many to enumerate.

    Raises:
        StatisticsError: An argument is not as described; the message names it.
    """
    check_margin(margin)
    check_confidence(confidence)
    first, second = checked_arms(treatment, control, paired=paired)
    streams = generators(rng, 2)
    freedom = effects.degrees_of_freedom(first.size, second.size, paired=paired)
    described = Comparison(
        n_treatment=first.size,
        n_control=second.size,
        paired=paired,
        higher_is_better=higher_is_better,
        confidence=confidence,
        margin=margin,
        mean_treatment=float(first.mean()),
        mean_control=float(second.mean()),
        mean_delta=float((first - second).mean() if paired else first.mean() - second.mean()),
        std_delta=effects.standard_deviation(first, second, paired=paired) if freedom > 0 else None,
        p_attainable=attainable_p(first.size, second.size, paired=paired),
        iqm_treatment=effects.interquartile_mean(first),
        iqm_control=effects.interquartile_mean(second),
    )
    warnings = tuple(cautions.on_description(described))
    obstacle = cautions.obstacle(described, first, second)
    if obstacle is not None:
        return replace(described, warnings=(obstacle, *warnings))
    inferred = _infer(described, first, second, streams)
    return replace(inferred, warnings=(*warnings, *cautions.on_inference(inferred, first, second)))


def verdict(low: float, high: float, *, margin: float | None, higher_is_better: bool) -> Verdict:
    """What an interval of the mean delta shows; see `compare`."""
    if low > 0 or high < 0:
        return "better" if (low > 0) == higher_is_better else "worse"
    least_gain, most_gain = (low, high) if higher_is_better else (-high, -low)
    if margin is None or least_gain <= -margin:
        return "inconclusive"
    return "equivalent" if most_gain < margin else "non-inferior"


def _infer(described: Comparison, treatment: Floats, control: Floats, streams: list[np.random.Generator]) -> Comparison:
    """The description completed by everything that concerns runs not yet made; the arms must have spread."""
    paired, higher_is_better = described.paired, described.higher_is_better
    margin, confidence = described.margin, described.confidence
    for_permutation, for_bootstrap = streams
    difference = (intervals.paired_difference if paired else intervals.welch_difference)(treatment, control)
    low, high = intervals.t_interval(difference, confidence)
    permuted = permutation_test(treatment, control, paired=paired, rng=for_permutation)
    resampled = bootstrap.resampled_differences(treatment, control, paired=paired, rng=for_bootstrap)
    chance = improvement.probability_of_improvement(
        treatment, control, paired, higher_is_better=higher_is_better, confidence=confidence
    )
    deviation = effects.standard_deviation(treatment, control, paired=paired)
    d = difference.delta / deviation
    freedom = effects.degrees_of_freedom(treatment.size, control.size, paired=paired)
    planned = d if margin is None else margin / deviation
    n = required_n(planned, paired=paired, alpha=1 - confidence)
    return replace(
        described,
        ci_low=low,
        ci_high=high,
        ci_method="paired t" if paired else "Welch t",
        p_value=hypotheses.p_two_sided(difference),
        p_improvement=hypotheses.p_improvement(difference, higher_is_better=higher_is_better),
        p_permutation=permuted.p_value,
        permutation_method=permuted.method,
        cohens_d=d,
        hedges_g=d * effects.hedges_correction(freedom),
        hedges_g_ci=effects.effect_interval(d, treatment.size, control.size, paired=paired, confidence=confidence),
        probability_of_improvement=chance.probability,
        probability_of_improvement_ci=(chance.low, chance.high),
        bootstrap_ci=bootstrap.percentile_interval(resampled, confidence),
        bca_ci=bootstrap.bca_interval(resampled, treatment, control, paired=paired, confidence=confidence),
        p_non_inferiority=None
        if margin is None
        else hypotheses.p_non_inferiority(difference, margin, higher_is_better=higher_is_better),
        p_equivalence=None if margin is None else hypotheses.p_equivalence(difference, margin),
        required_n=n,
        required_n_basis=None if n is None else "observed delta" if margin is None else "margin",
        detectable_delta=minimum_detectable_delta(difference, confidence=confidence),
        verdict=verdict(low, high, margin=margin, higher_is_better=higher_is_better),
    )
