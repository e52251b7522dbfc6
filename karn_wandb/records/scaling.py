"""How well the host alone does at each size, and how large it would have to be to do as well as something else."""

from __future__ import annotations

from typing import Literal

from karn_wandb.records._kinds import Count, Finite, Fraction, NonNegative
from karn_wandb.records._record import Record, record
from karn_wandb.records.comparison import Confidence, ExcludedRun

CurvePart = Literal["below", "measured", "above"]


@record
class Estimate(Record):
    """A number with its interval.

    Attributes:
        value: The number.
        low: Lower end; None where nothing bounds it, or no interval is known.
        high: Upper end; the same.
    """

    value: Finite
    low: Finite | None = None
    high: Finite | None = None


@record
class ScalingFit(Record):
    """The power law E + A c^-alpha fitted to errors of runs of several sizes, c being what a size costs.

    Attributes:
        sizes: Sizes, at least 4.
        runs: Runs of all sizes together.
        smallest: Cost of the smallest size.
        largest: Cost of the largest.
        floor: E, the error that no size falls below, at least 0.
        coefficient: A, at least 0; 0 when larger is not better.
        exponent: alpha.
        at_bound: Whether alpha lies at an end of the range that was searched.
        run_std: Standard deviation between runs of one size, pooled; None without two runs of any size.
        lack_of_fit_f: F of how far the means of the sizes lie off the curve, against the spread between runs; None without
            spread.
        lack_of_fit_p: Its p; small means that these sizes do not follow such a curve.
        confidence: Confidence of every interval.
        draws: Bootstrap draws behind the intervals; 0 without intervals.
    """

    sizes: Count
    runs: Count
    smallest: NonNegative
    largest: NonNegative
    floor: Estimate
    coefficient: Estimate
    exponent: Estimate
    at_bound: bool
    run_std: NonNegative | None
    lack_of_fit_f: NonNegative | None
    lack_of_fit_p: Fraction | None
    confidence: Confidence
    draws: Count


@record
class EquivalentCost(Record):
    """What a host-only model would cost that is as good as these runs.

    Attributes:
        runs: Runs that are judged.
        error: Their mean error.
        cost: Their mean cost (geometric).
        equivalent: Cost at which the curve reaches that error; None when it reaches it nowhere.
        low: Lower end of its interval; None without one.
        high: Upper end; None when it is open, or without one.
        ratio: Equivalent over actual cost.
        ratio_low: Lower end of its interval.
        ratio_high: Upper end; None when it is open.
        beyond: How many times beyond the largest size the equivalent lies, or below the smallest; 1 inside, None without one.
        unreached: Share of bootstrap draws in which the curve reaches that error nowhere; None without draws.
    """

    runs: Count
    error: NonNegative
    cost: NonNegative
    equivalent: NonNegative | None
    low: NonNegative | None
    high: NonNegative | None
    ratio: NonNegative | None
    ratio_low: NonNegative | None
    ratio_high: NonNegative | None
    beyond: NonNegative | None
    unreached: Fraction | None


@record
class ScalingRun(Record):
    """A run on the curve's axes.

    Attributes:
        run_id: The run.
        cost: What it cost.
        value: How well it did, in the metric's unit.
    """

    run_id: str
    cost: NonNegative
    value: Finite


@record
class CurvePoint(Record):
    """The fitted curve at one cost, in the metric's unit.

    Attributes:
        cost: The cost.
        value: The curve, with its interval.
        part: Whether the cost lies among the sizes that were measured, below or above them. Where two parts meet there is a
            point of each.
    """

    cost: NonNegative
    value: Estimate
    part: CurvePart


@record
class ScalingTarget(Record):
    """Runs of one kind and what they are equivalent to.

    Attributes:
        name: What they are called.
        value: Their mean, in the metric's unit.
        runs: Each run.
        found: The cost of a host-only model that does as well.
        warnings: What a careful reader must know.
    """

    name: str
    value: Finite
    runs: tuple[ScalingRun, ...]
    found: EquivalentCost
    warnings: tuple[str, ...] = ()


@record
class Scaling(Record):
    """Host-only runs of several sizes against what they cost, and what grown runs are equivalent to.

    Attributes:
        metric: Column of the episodes that says how well a run did.
        cost: Column that says what it cost.
        fit: The fitted curve.
        curve: Points of it to draw, by increasing cost.
        hosts: The host-only runs, by size.
        targets: The runs that are judged.
        excluded: Runs that are in neither, and why.
        warnings: What a careful reader must know of the curve.
    """

    metric: str
    cost: str
    fit: ScalingFit
    curve: tuple[CurvePoint, ...]
    hosts: tuple[ScalingRun, ...]
    targets: tuple[ScalingTarget, ...]
    excluded: tuple[ExcludedRun, ...] = ()
    warnings: tuple[str, ...] = ()
