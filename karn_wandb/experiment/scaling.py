"""Host-only runs of several sizes as a curve, and the cost at which the host alone would do as well as grown runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from karn_wandb.experiment.aggregation import Filter, check_numbers, runs_of
from karn_wandb.experiment.baseline import never_grown
from karn_wandb.experiment.decide import CONTROL_NAMES
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.filters import ARM_COLUMNS, select
from karn_wandb.experiment.matching import natural
from karn_wandb.records import (
    CurvePart,
    CurvePoint,
    EquivalentCost,
    Estimate,
    ExcludedRun,
    Scaling,
    ScalingFit,
    ScalingRun,
    ScalingTarget,
)
from karn_wandb.statistics.power import FEWEST_RUNS
from karn_wandb.statistics.scaling import Runs, ScalingCurve, fit_scaling

POINTS = 41
"""Points of the curve for each of its parts."""

FARTHEST_DRAWN = 100.0
"""How many times beyond the sizes measured the curve is followed at most."""

_NO_FIT = 0.05
"""p of the lack-of-fit test below which a reader is warned."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished run: what it cost, how well it did, and how large its host is.

    Attributes:
        run_id: The run.
        cost: What it cost, positive.
        value: How well it did.
        size: Its parameters at the end, as text; "" when its episodes differ.
        host: The same of its host.
    """

    run_id: str
    cost: float
    value: float
    size: str
    host: str


def scaling_curve(
    experiment: Experiment,
    metric: str = "final_accuracy",
    cost: str = "total_params",
    *,
    host_only: Filter | None = None,
    arms: Mapping[str, str] | None = None,
    confidence: float = 0.95,
) -> Scaling:
    """Fit the host-only runs, size by size, and find what every other arm is equivalent to.

    A size is a number of total parameters, whatever the cost: wall-clock time differs between runs of one size. The run is the
    unit, its episodes are averaged. A metric with "accuracy" in its name is percent, and its error what lacks to 100; of any
    other metric less is better, and it is the error.

    Args:
        experiment: The runs.
        metric: Numeric column of `experiment.episodes`, such as final_accuracy or final_loss.
        cost: Numeric column of what a run cost: total_params, wall_clock_s, or FLOPs as the config holds them ("config.flops").
        host_only: Filter of the host-only runs. Without one, those that never held a seed module; where config `arm` (else
            `controller`) names the host alone ("none", "host_only", "control", "baseline"), only those of that arm.
        arms: What runs to be judged are called, by run id; the others are called by their value of config `arm`, else
            `controller`, else "grown". Runs of one arm on hosts of several sizes are judged size by size.
        confidence: Of every interval.

    Raises:
        SourceError: The filter names what no run has.
        StatisticsError: A column is unknown or not numeric, a metric that is an error is negative, or finished host-only runs
            are of fewer than four sizes.
    """
    episodes = experiment.episodes
    check_numbers(episodes, metric, "metric")
    check_numbers(episodes, cost, "cost")
    alone = _host_only(experiment, host_only)
    named = {**_labels(episodes), **(arms or {})}
    wanted = alone | named.keys()
    measured, excluded = _measured(episodes, metric, cost)
    hosts = _by_size([run for run in measured if run.run_id in alone])
    curve = fit_scaling([_runs(group, metric) for group in hosts.values()], confidence=confidence)
    judged = _by_arm([run for run in measured if run.run_id in named and run.run_id not in alone], named)
    targets = tuple(_target(name, group, curve, metric) for name, group in judged.items())
    return Scaling(
        metric=metric,
        cost=cost,
        fit=curve.fit,
        curve=tuple(_points(curve, targets, metric)),
        hosts=tuple(_plotted(run) for group in hosts.values() for run in group),
        targets=targets,
        excluded=tuple(run for run in excluded if run.run_id in wanted),
        warnings=tuple(_of_curve(curve.fit)),
    )


def _host_only(experiment: Experiment, chosen: Filter | None) -> frozenset[str]:
    episodes = experiment.episodes
    if chosen is not None:
        return frozenset(map(str, episodes.loc[select(episodes, chosen), "run_id"]))
    alone = never_grown(experiment)
    for column in (c for c in ARM_COLUMNS if c in episodes.columns):
        called = episodes.loc[episodes[column].map(lambda value: str(value).lower()).isin(CONTROL_NAMES), "run_id"]
        if len(called):
            return alone & frozenset(map(str, called))
    return alone


def _labels(episodes: pd.DataFrame) -> dict[str, str]:
    column = next((c for c in ARM_COLUMNS if c in episodes.columns), None)
    if column is None:
        return dict.fromkeys(map(str, episodes["run_id"]), "grown")
    named = episodes[["run_id", column]].dropna()
    return {str(run): str(arm) for run, arm in named.itertuples(index=False)}


def _measured(episodes: pd.DataFrame, metric: str, cost: str) -> tuple[list[Measured], list[ExcludedRun]]:
    """Every run that finished with a value, a cost and a size; and why the others are left out."""
    values = runs_of(episodes, {}, "treatment", metric, "total_params")
    costs = runs_of(episodes, {}, "treatment", cost, "host_params")
    found, excluded = [], []
    for value, spent in zip(values, costs, strict=True):
        reason = value.reason or spent.reason or ("" if spent.value > 0 else f"{cost} is not above 0")
        if reason:
            excluded.append(ExcludedRun(value.run_id, "", value.state, reason))
        else:
            size, host = ("".join(run.keys) if len(run.keys) == 1 else "" for run in (value, spent))
            found.append(Measured(value.run_id, spent.value, value.value, size, host))
    return found, excluded


def _by_size(runs: list[Measured]) -> dict[str, list[Measured]]:
    groups = defaultdict(list)
    for run in runs:
        groups[run.size].append(run)
    return {size: groups[size] for size in sorted(groups, key=natural) if size}


def _by_arm(runs: list[Measured], named: Mapping[str, str]) -> dict[str, list[Measured]]:
    """Runs by arm and size of the host; the size is said where an arm has several."""
    groups = defaultdict(list)
    for run in runs:
        groups[named[run.run_id], run.host].append(run)
    several = {arm for arm, host in groups if sum(other == arm for other, _ in groups) > 1}
    return {
        f"{arm} on a host of {float(host):,.0f}" if arm in several and host else arm: groups[arm, host]
        for arm, host in sorted(groups, key=lambda key: (key[0], natural(key[1])))
    }


def _runs(group: list[Measured], metric: str) -> Runs:
    return Runs(np.array([run.cost for run in group]), np.array([_flipped(run.value, metric) for run in group]))


def _flipped(value: float, metric: str) -> float:
    """The error of a value, and the value of an error."""
    return 100 - value if "accuracy" in metric else value


def _at_least_0(error: float, metric: str) -> float:
    """The value of an error on the curve, which knows of no least accuracy or loss."""
    return max(_flipped(error, metric), 0.0)


def _plotted(run: Measured) -> ScalingRun:
    return ScalingRun(run.run_id, run.cost, run.value)


def _target(name: str, group: list[Measured], curve: ScalingCurve, metric: str) -> ScalingTarget:
    found = curve.equivalent(_runs(group, metric))
    return ScalingTarget(
        name=name,
        value=_flipped(found.error, metric),
        runs=tuple(map(_plotted, group)),
        found=found,
        warnings=tuple(_of_target(found, curve.fit)),
    )


def _points(curve: ScalingCurve, targets: tuple[ScalingTarget, ...], metric: str) -> Iterator[CurvePoint]:
    """The curve as far as anything that is drawn beside it, within reason."""
    fit = curve.fit
    beside = [found.cost for found in (target.found for target in targets)]
    beside += [end for t in targets for end in (t.found.equivalent, t.found.low, t.found.high) if end]
    start = max(min([fit.smallest, *beside]), fit.smallest / FARTHEST_DRAWN)
    end = min(max([fit.largest, *beside]), fit.largest * FARTHEST_DRAWN)
    if any(target.found.unreached and target.found.high is None for target in targets):
        end = max(end, fit.largest * math.sqrt(FARTHEST_DRAWN))
    parts: tuple[tuple[CurvePart, float, float], ...] = (
        ("below", start, fit.smallest),
        ("measured", fit.smallest, fit.largest),
        ("above", fit.largest, end),
    )
    for part, low, high in parts:
        for cost in np.geomspace(low, high, POINTS).tolist() if low < high else ():
            error = curve.error_at(cost)
            ends = sorted(_at_least_0(side, metric) for side in (error.low, error.high) if side is not None)
            yield CurvePoint(cost, Estimate(_at_least_0(error.value, metric), *ends), part)


def misfits(fit: ScalingFit) -> bool:
    """Whether the lack-of-fit test says that these sizes do not follow the curve."""
    return fit.lack_of_fit_p is not None and fit.lack_of_fit_p < _NO_FIT


def _of_curve(fit: ScalingFit) -> Iterator[str]:
    if fit.coefficient.value == 0:
        yield "larger hosts are not better here: the curve is flat, and nothing can be read off it"
    elif fit.at_bound:
        yield f"the exponent of the curve lies at an end of the range that was searched, {fit.exponent.value:.3g}"
    if misfits(fit):
        yield "the means of the sizes lie farther off the curve than the spread of runs explains: equivalents inherit that error"
    if fit.draws == 0:
        yield "too few runs share a size, so that nothing has an interval: train every size with several random seeds"


def _of_target(found: EquivalentCost, fit: ScalingFit) -> Iterator[str]:
    if found.runs < FEWEST_RUNS:
        yield f"no interval with fewer than {FEWEST_RUNS} runs"
    if found.equivalent is None:
        yield "there is none, since the fitted curve reaches that accuracy at no size"
    elif found.beyond is not None and found.beyond > 1:
        side = "largest" if found.equivalent > fit.largest else "smallest"
        yield f"it is extrapolated {found.beyond:.3g} times beyond the {side} host measured, where nothing checks the curve"
    elif (found.low is not None and found.low < fit.smallest) or (found.high is not None and found.high > fit.largest):
        yield "its interval reaches beyond the hosts measured"
    if found.unreached and found.high is None and found.low is not None:
        yield f"its interval is open above: in {100 * found.unreached:.3g} % of bootstrap draws no size of the host is as good"
