"""The same two arms read in other ways than the primary one: other tests, other aggregates, one rule for the verdict.

None of these decides anything. They show whether a verdict hangs on the choice of the method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from karn_wandb.records import Verdict
from karn_wandb.statistics.cautions import FAR
from karn_wandb.statistics.compare import verdict
from karn_wandb.statistics.hypotheses import p_two_sided
from karn_wandb.statistics.inputs import Floats, check_confidence, check_margin, checked_arms, generators
from karn_wandb.statistics.intervals import paired_difference, t_interval, welch_difference
from karn_wandb.statistics.permutation import attainable_p, permutation_test
from karn_wandb.statistics.power import FEWEST_RUNS

Aggregate = Literal["mean", "interquartile mean", "median", "probability of improvement"]

MOST_PERMUTED = 500
"""Runs in both arms beyond which relabelling them tells nothing that the t test does not, and takes seconds."""
MOST_RANKED_EXACTLY = 50
"""Values an arm beyond which the normal approximation of a rank test is good to all digits shown."""
MOST_RESAMPLES, FEWEST_RESAMPLES = 10_000, 1_000
RESAMPLED = 4_000_000
"""Values that are drawn for an interval, as long as that makes a number of resamples between those two."""
FEWEST_FOR_OUTLIERS = 5
BATCH = 1_000_000
"""Values drawn at a time, which bounds memory."""

P = Callable[[float], float]
"""Two-sided p against a true difference."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read two arms.

    Attributes:
        test: Name of the test, or of the method of the interval.
        aggregate: What of the values is compared; of their differences when paired.
        estimate: Treatment minus control; 0 to 1 for the probability of improvement.
        low: Lower end of the interval; None where the test has none.
        high: Its upper end.
        p: Two-sided p against no difference; None where there is an interval only.
        verdict: What it shows, by the rule of `compare`; None where runs as few or as alike as these could not show anything.
    """

    test: str
    aggregate: Aggregate
    estimate: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    verdict: Verdict | None = None


def readings(
    treatment: npt.ArrayLike,
    control: npt.ArrayLike,
    *,
    paired: bool = False,
    higher_is_better: bool = True,
    margin: float | None = None,
    confidence: float = 0.95,
    rng: int | np.random.Generator = 0,
) -> tuple[Reading, ...]:
    """Two arms by the t test, by permutation, by bootstrap of mean, interquartile mean and median, and by ranks.

    A test without an interval gives its verdict by the p-values against the differences that matter, zero and plus and minus
    the margin, as if the arms differed by a shift: the p-value against a difference d is that of no difference between
    `treatment - d` and `control`. An interval at `confidence` excludes a difference when its two-sided p is at most
    1 - confidence, so that both kinds follow one rule.

    With fewer than three runs in an arm (three pairs), or without any spread, nothing is inferred: only the difference of the
    means is given.

    Args:
        treatment: Shape (n,), in the metric's unit.
        control: Shape (m,), the same unit; m = n when paired.
        paired: Whether value i of one arm belongs to value i of the other; differences are then aggregated.
        higher_is_better: Direction of the metric.
        margin: Largest difference that does not matter; above 0.
        confidence: Of every interval.
        rng: Whole number or Generator for resampling.

    Raises:
        StatisticsError: An argument is not as described; the message names it.
    """
    check_margin(margin)
    check_confidence(confidence)
    first, second = checked_arms(treatment, control, paired=paired)
    samples = (first - second,) if paired else (first, second)
    if min(first.size, second.size) < FEWEST_RUNS or all(_constant(sample, first, second) for sample in samples):
        return (Reading(_t(paired=paired), "mean", float(first.mean() - second.mean())),)
    rule = _Rule(higher_is_better, margin, confidence)
    permuting, resampling = generators(rng, 2)
    return (
        _by_t(first, second, rule, paired=paired),
        *_by_permutation(first, second, rule, permuting, paired=paired),
        *_by_bootstrap(samples, rule, resampling),
        _by_ranks(first, second, rule, paired=paired),
    )


def far(values: Floats) -> npt.NDArray[np.bool_]:
    """Which values are far from the others: those that a comparison points out, and keeps; of fewer than five none.

    Of a sample of which more than half is equal nothing is far, for there is no distance to measure by.
    """
    distances = np.abs(values - np.median(values)) if values.size else values
    if values.size < FEWEST_FOR_OUTLIERS or not (usual := float(np.median(distances))):
        return np.zeros(values.size, dtype=bool)
    return distances > FAR * usual


@dataclass(frozen=True, slots=True)
class _Rule:
    """What makes a verdict of an interval, or of p-values."""

    higher_is_better: bool
    margin: float | None
    confidence: float

    @property
    def alpha(self) -> float:
        return 1 - self.confidence

    def of_interval(self, low: float, high: float) -> Verdict:
        return verdict(low, high, margin=self.margin, higher_is_better=self.higher_is_better)

    def of_p(self, p: P, delta: float) -> Verdict:
        """By p-values against zero and against either margin, on the side of which the estimate `delta` lies."""
        gain = delta if self.higher_is_better else -delta
        if p(0.0) <= self.alpha and gain != 0:
            return "better" if gain > 0 else "worse"
        if self.margin is None or not self._excluded(p, gain, -self.margin):
            return "inconclusive"
        return "equivalent" if self._excluded(p, gain, self.margin) else "non-inferior"

    def _excluded(self, p: P, gain: float, bound: float) -> bool:
        beyond = gain > bound if bound < 0 else gain < bound
        return beyond and p(bound if self.higher_is_better else -bound) <= self.alpha


def _t(*, paired: bool) -> str:
    return "paired t" if paired else "Welch t"


def _constant(sample: Floats, *sources: Floats) -> bool:
    """Whether values differ by no more than the rounding of those they come from."""
    return bool(np.ptp(sample) <= 16 * np.finfo(float).eps * max(float(np.abs(source).max()) for source in sources))


def _by_t(treatment: Floats, control: Floats, rule: _Rule, *, paired: bool) -> Reading:
    difference = (paired_difference if paired else welch_difference)(treatment, control)
    low, high = t_interval(difference, rule.confidence)
    return Reading(_t(paired=paired), "mean", difference.delta, low, high, p_two_sided(difference), rule.of_interval(low, high))


def _by_permutation(
    treatment: Floats, control: Floats, rule: _Rule, rng: np.random.Generator, *, paired: bool
) -> Iterator[Reading]:
    if treatment.size + control.size > MOST_PERMUTED:
        return

    @cache
    def p(difference: float) -> float:
        return permutation_test(treatment - difference, control, paired=paired, rng=rng).p_value

    delta = float(treatment.mean() - control.mean())
    able = attainable_p(treatment.size, control.size, paired=paired) <= rule.alpha
    yield Reading("permutation", "mean", delta, p=p(0.0), verdict=rule.of_p(p, delta) if able else None)


def _by_bootstrap(samples: tuple[Floats, ...], rule: _Rule, rng: np.random.Generator) -> Iterator[Reading]:
    """Percentile intervals (Efron & Tibshirani 1993, chapter 13) of all three aggregates, from the same resamples."""
    size = max(sample.size for sample in samples)
    rows = min(MOST_RESAMPLES, max(FEWEST_RESAMPLES, RESAMPLED // size))
    estimates = _difference([_aggregated(sample[None, :]) for sample in samples])[:, 0]
    resampled = _difference([_resampled(sample, rows, rng) for sample in samples])
    lows, highs = np.quantile(resampled, [rule.alpha / 2, 1 - rule.alpha / 2], axis=1)
    for aggregate, estimate, low, high in zip(_AGGREGATES, estimates, lows, highs, strict=True):
        shown = rule.of_interval(float(low), float(high))
        yield Reading("bootstrap", aggregate, float(estimate), float(low), float(high), verdict=shown)


_AGGREGATES: tuple[Aggregate, ...] = ("mean", "interquartile mean", "median")


def _resampled(sample: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """The three aggregates of resamples; shape (3, rows)."""
    step = max(1, BATCH // sample.size)
    parts = [
        _aggregated(sample[rng.integers(0, sample.size, (min(step, rows - start), sample.size))])
        for start in range(0, rows, step)
    ]
    return np.concatenate(parts, axis=1)


def _aggregated(values: Floats) -> Floats:
    """Mean, interquartile mean and median of each row; shape (3, rows)."""
    ordered = np.sort(values, axis=1)
    n = ordered.shape[1]
    cut = n // 4
    middle = ordered[:, [(n - 1) // 2, n // 2]].mean(axis=1)
    return np.stack([ordered.mean(axis=1), ordered[:, cut : n - cut].mean(axis=1), middle])


def _difference(aggregated: list[Floats]) -> Floats:
    return aggregated[0] if len(aggregated) == 1 else aggregated[0] - aggregated[1]


def _wins(first: Floats, second: Floats | None = None) -> float:
    """How often the treatment's value is the higher, ties one half: of paired differences, else of all pairings."""
    if second is None:
        return float(np.mean((1 + np.sign(first)) / 2))
    ranked = np.sort(second)
    below, not_above = np.searchsorted(ranked, first, "left"), np.searchsorted(ranked, first, "right")
    return float(np.mean(below + not_above)) / (2 * second.size)


def _by_ranks(treatment: Floats, control: Floats, rule: _Rule, *, paired: bool) -> Reading:
    """Wilcoxon's signed-rank test (1945) or that of Mann and Whitney (1947), exact for few values without ties."""

    def p(difference: float) -> float:
        return _p_signed_rank(treatment - control - difference) if paired else _p_rank_sum(treatment - difference, control)

    n, m = treatment.size, control.size
    floor = 0.5 ** (n - 1) if paired else 2 / math.comb(n + m, n)
    wins = _wins(treatment - control) if paired else _wins(treatment, control)
    shown = rule.of_p(p, _shift(treatment, control, paired=paired)) if floor <= rule.alpha else None
    return Reading(
        "Wilcoxon signed-rank" if paired else "Mann-Whitney",
        "probability of improvement",
        wins if rule.higher_is_better else 1 - wins,
        p=p(0.0),
        verdict=shown,
    )


def _p_signed_rank(deltas: Floats) -> float:
    if not deltas.any():
        return 1.0
    tied = np.unique(np.abs(deltas)).size < deltas.size or not deltas.all()
    method = "asymptotic" if tied or deltas.size > MOST_RANKED_EXACTLY else "exact"
    return float(stats.wilcoxon(deltas, method=method).pvalue)


def _p_rank_sum(treatment: Floats, control: Floats) -> float:
    tied = np.unique(np.concatenate((treatment, control))).size < treatment.size + control.size
    method = "asymptotic" if tied or max(treatment.size, control.size) > MOST_RANKED_EXACTLY else "exact"
    return float(stats.mannwhitneyu(treatment, control, method=method).pvalue)


def _shift(treatment: Floats, control: Floats, *, paired: bool) -> float:
    """By how much the arms are apart as ranks see it: the median of the differences, of all between the arms when unpaired.

    The latter is the estimate of Hodges & Lehmann (1963); where the differences are too many it is that of the medians.
    """
    if paired:
        return float(np.median(treatment - control))
    if treatment.size * control.size > BATCH:
        return float(np.median(treatment) - np.median(control))
    return float(np.median(treatment[:, None] - control[None, :]))
