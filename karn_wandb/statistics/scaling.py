"""How large a host-only model would have to be: errors against what they cost, as a power law with a floor.

E + A c^-alpha is the form of Hoffmann et al. 2022, "Training compute-optimal large language models", in one cost; with
E = 0 that of Kaplan et al. 2020, "Scaling laws for neural language models".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from karn_wandb.errors import StatisticsError
from karn_wandb.records import EquivalentCost, Estimate, ScalingFit
from karn_wandb.statistics.bootstrap import batches
from karn_wandb.statistics.inputs import LARGEST, Floats, check_confidence, generators
from karn_wandb.statistics.power import FEWEST_RUNS
from karn_wandb.statistics.power_law import EXPONENTS, FARTHEST, PowerLaws, fit_power_laws

FEWEST_SIZES = 4
"""Three would be fitted exactly by three numbers, whatever they are."""

FEWEST_REPEATED = 4
"""Runs beyond the first of their size that an interval needs: as many as two random seeds of each of four sizes."""

DRAWS = 4_000


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of one size.

    Attributes:
        costs: What each cost, shape (n,), positive.
        errors: How far each was from perfect, shape (n,), at least 0: 100 minus percent accuracy, or a loss.
    """

    costs: Floats
    errors: Floats

    @property
    def cost(self) -> float:
        """Their geometric mean cost."""
        return math.exp(_mean(np.log(self.costs))) if np.ptp(self.costs) else float(self.costs[0])

    @property
    def error(self) -> float:
        """Their mean error."""
        return _mean(self.errors)


@dataclass(frozen=True, slots=True)
class ScalingCurve:
    """A fitted curve with its bootstrap draws.

    Attributes:
        fit: All its numbers.
        law: The curve itself, one.
        draws: The curves of the draws; None where no interval is known.
    """

    fit: ScalingFit
    law: PowerLaws
    draws: PowerLaws | None

    def error_at(self, cost: float) -> Estimate:
        """The curve at a cost, with its pointwise interval."""
        low, high = (None, None) if self.draws is None else _ends(self.draws.errors(cost), self.fit.confidence)
        return Estimate(float(self.law.errors(cost)[0]), low, high)

    def equivalent(self, target: Runs, rng: int | np.random.Generator = 0) -> EquivalentCost:
        """What a host-only model would cost that has the target's mean error.

        Its interval holds the noise of the host-only runs and of the target's own. Where the target lies at or below the
        floor, or larger is not better, there is no such cost; where enough draws say so, the interval is open above.

        Args:
            target: The runs to be judged; an interval needs three.
            rng: Whole number or Generator for the bootstrap of the target's runs.

        Raises:
            StatisticsError: The target has no run, or a cost or an error is not as described in `Runs`.
        """
        target = _checked(target, "the target")
        error, cost = target.error, target.cost
        equivalent = _reached(self.law, error)
        low = high = ratio_low = ratio_high = unreached = None
        if self.draws is not None and target.errors.size >= FEWEST_RUNS:
            _, own = generators(rng, 2)
            logs, errors = _resampled([target], own)
            reached = self.draws.costs(errors[:, 0])
            low, high = _ends(reached, self.fit.confidence)
            ratio_low, ratio_high = _ends(reached / np.exp(logs[:, 0]), self.fit.confidence)
            unreached = float(np.mean(np.isinf(reached)))
        return EquivalentCost(
            runs=target.errors.size,
            error=error,
            cost=cost,
            equivalent=equivalent,
            low=low,
            high=high,
            ratio=None if equivalent is None else equivalent / cost,
            ratio_low=ratio_low,
            ratio_high=ratio_high,
            beyond=None if equivalent is None else _beyond(equivalent, self.fit),
            unreached=unreached,
        )


def fit_scaling(sizes: Sequence[Runs], *, confidence: float = 0.95, rng: int | np.random.Generator = 0) -> ScalingCurve:
    """Fit E + A c^-alpha to the runs of several sizes, each run with the same weight.

    Least squares on errors, so that the curve is one of means, as in all other comparisons of runs; `fit_power_laws` says
    how, and within which bounds. Intervals are percentiles of a bootstrap over training seeds: the deviations of runs from the
    mean of their size, times the root of n / (n - 1), are drawn with replacement and added to the means (Davison and
    Hinkley 1997, section 6.2.3); all those of a draw are multiplied by the root of nu / chi-squared(nu), as Student's t is
    wider than the normal (nu = runs - sizes; Weerahandi 1993). It supposes that runs of all sizes scatter alike: drawn from
    their own size alone, two or three runs say too little of their spread. How often the intervals hold the truth is measured
    by `python -m benchmarks.scaling_coverage` (docs/decisions/0029-scaling-curves.md).

    The lack-of-fit test compares how far the means lie off the curve with the spread between runs of one size (Draper and
    Smith 1998, section 2.1); it is approximate, since the curve is not linear in alpha.

    Args:
        sizes: The runs of each size; their order has no influence.
        confidence: Of every interval, above 0.5 and at most 0.9999.
        rng: Whole number or Generator for the bootstrap.

    Raises:
        StatisticsError: Fewer than four sizes; or a cost or an error is not as described in `Runs`.
    """
    check_confidence(confidence)
    groups = sorted((_checked(size, f"size {nth}") for nth, size in enumerate(sizes, 1)), key=lambda group: group.cost)
    _check_sizes(groups)
    weights = np.array([group.errors.size for group in groups], dtype=np.float64)
    costs, errors = np.array([[group.cost for group in groups]]), np.array([[group.error for group in groups]])
    law = fit_power_laws(costs, errors, weights)
    freedom = int(weights.sum()) - len(groups)
    draws = None
    if freedom >= FEWEST_REPEATED:
        own, _ = generators(rng, 2)  # the other is for a target: with one seed for both, its draws must not follow the curve's
        logs, drawn = _resampled(groups, own)
        draws = fit_power_laws(np.exp(logs), np.maximum(drawn, 0), weights)
    spread = math.fsum(float(((group.errors - group.error) ** 2).sum()) for group in groups)
    squares = float((weights * (errors[0] - law.errors(costs[0])) ** 2).sum())
    f, p = _lack_of_fit(squares, len(groups) - 3, spread, freedom)
    exponent = float(law.exponents[0])
    return ScalingCurve(
        ScalingFit(
            sizes=len(groups),
            runs=int(weights.sum()),
            smallest=groups[0].cost,
            largest=groups[-1].cost,
            floor=_estimate(law.floors, draws.floors if draws else None, confidence),
            coefficient=_estimate(law.coefficients, draws.coefficients if draws else None, confidence),
            exponent=_estimate(law.exponents, draws.exponents if draws else None, confidence),
            at_bound=min(abs(exponent / bound - 1) for bound in EXPONENTS) < 1e-6,
            run_std=math.sqrt(spread / freedom) if freedom else None,
            lack_of_fit_f=f,
            lack_of_fit_p=p,
            confidence=confidence,
            draws=DRAWS if draws else 0,
        ),
        law,
        draws,
    )


def equivalent_params(sizes: Mapping[int, float], accuracy: float) -> float | None:
    """Parameters of a host-only model with an accuracy, on the curve through one mean accuracy for each size.

    The curve is that of `fit_scaling`; it has no interval here, and nothing is extrapolated.

    Args:
        sizes: Accuracy of host-only models, percent, by their parameters (at least 1).
        accuracy: The accuracy to reach, percent.

    Returns:
        Parameters, from the smallest size to the largest; None when the curve reaches the accuracy outside of them or
        nowhere, and with fewer than four sizes.

    Raises:
        StatisticsError: A size is below 1, or an accuracy is not between 0 and 100.
    """
    for size in sizes:
        if size < 1:
            raise StatisticsError("a model's size must be at least 1 parameter", got=str(size), do="Count its parameters.")
    for value in (accuracy, *sizes.values()):
        if not 0 <= value <= 100:
            raise StatisticsError(
                "accuracies must lie between 0 and 100", got=str(value), do="Leave out the sizes that were not measured."
            )
    if len(sizes) < FEWEST_SIZES:
        return None
    curve = fit_scaling([Runs(np.array([float(size)]), np.array([100 - value])) for size, value in sizes.items()])
    found = _reached(curve.law, 100 - accuracy)
    return found if found is not None and _beyond(found, curve.fit) == 1 else None


def _checked(runs: Runs, name: str) -> Runs:
    """The runs in an order that does not depend on the order they came in."""
    costs, errors = _array(runs.costs), _array(runs.errors)
    if costs.ndim != 1 or costs.shape != errors.shape or costs.size == 0:
        raise StatisticsError(
            f"{name} needs a cost and an error for each run",
            got=f"shapes {costs.shape} and {errors.shape}",
            do="Pass two one-dimensional arrays of the same length, at least 1.",
        )
    for what, values, inside, bounds in (
        ("costs", costs, (costs >= 1 / FARTHEST) & (costs <= FARTHEST), f"positive, and at most {FARTHEST:g}"),
        ("errors", errors, (errors >= 0) & (errors <= LARGEST), "finite and at least 0"),
    ):
        if not inside.all():
            wrong = values[np.flatnonzero(~inside)[0]]
            raise StatisticsError(f"{what} of {name} must be {bounds}", got=str(wrong), do="Leave out runs that have none.")
    order = np.lexsort((errors, costs))
    return Runs(costs[order], errors[order])


def _mean(values: Floats) -> float:
    """The mean; to the bit the same as each where they are alike."""
    return float(values.mean() if np.ptp(values) else values[0])


def _array(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _check_sizes(groups: Sequence[Runs]) -> None:
    costs = sorted({group.cost for group in groups})
    if len(costs) < len(groups):
        raise StatisticsError("two sizes have the same mean cost", do="Pass their runs as one size.")
    if len(costs) < FEWEST_SIZES:
        raise StatisticsError(
            f"a scaling curve needs at least {FEWEST_SIZES} sizes",
            got=f"{len(costs)}" + (f" ({', '.join(f'{cost:,.6g}' for cost in costs)})" if costs else ""),
            do="Train host-only models of more sizes: three numbers are fitted, and a fourth size can contradict them.",
        )


def _resampled(groups: Sequence[Runs], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Drawn means of each group, log costs and errors, shape (draws, groups); see `fit_scaling`."""
    repeated = [(group, math.sqrt(group.errors.size / (group.errors.size - 1))) for group in groups if group.errors.size > 1]
    off_cost = np.concatenate([scale * (np.log(group.costs) - math.log(group.cost)) for group, scale in repeated])
    off_error = np.concatenate([scale * (group.errors - group.error) for group, scale in repeated])
    freedom = sum(group.errors.size - 1 for group in groups)
    wider = np.sqrt(freedom / rng.chisquare(freedom, DRAWS))
    logs, errors = np.empty((DRAWS, len(groups))), np.empty((DRAWS, len(groups)))
    for nth, group in enumerate(groups):
        start = 0
        for rows in batches(DRAWS, group.errors.size):
            part = slice(start, start + rows)
            chosen = rng.integers(0, off_error.size, (rows, group.errors.size))
            logs[part, nth] = math.log(group.cost) + wider[part] * off_cost[chosen].mean(axis=1)
            errors[part, nth] = group.error + wider[part] * off_error[chosen].mean(axis=1)
            start += rows
    return logs, errors


def _lack_of_fit(squares: float, free: int, spread: float, freedom: int) -> tuple[float | None, float | None]:
    if freedom == 0 or spread <= 0:
        return None, None
    f = (squares / free) / (spread / freedom)
    return (f, float(stats.f.sf(f, free, freedom))) if math.isfinite(f) else (None, None)


def _estimate(value: Floats, draws: Floats | None, confidence: float) -> Estimate:
    low, high = (None, None) if draws is None else _ends(draws, confidence)
    return Estimate(float(value[0]), low, high)


def _ends(draws: Floats, confidence: float) -> tuple[float | None, float | None]:
    """Percentiles, each one of the draws, so that infinite ones do no harm; None where it is infinite."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    return _finite(float(low)), _finite(float(high))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _reached(law: PowerLaws, error: float) -> float | None:
    """Where one curve reaches an error; None where it does nowhere, or is flat."""
    cost = float(law.costs(error)[0])
    return cost if 0 < cost < math.inf else None


def _beyond(cost: float, fit: ScalingFit) -> float:
    """How many times a cost lies beyond the sizes measured; 1 inside."""
    return max(1.0, cost / fit.largest, fit.smallest / cost)
