"""What host-only runs of several sizes say of grown ones, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from karn_wandb.errors import StatisticsError
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.content import ScalingContent, Threat
from karn_wandb.experiment.report.words import count, number, p_text, percent, sentence
from karn_wandb.experiment.scaling import misfits, scaling_curve
from karn_wandb.records import Estimate, Scaling, ScalingTarget

METRIC = "final_accuracy"
"""What is compared where nobody says what."""

MOST_LISTED = 12
"""Runs left out that are named; the others are counted."""

_FLOPS = ("flops", "training_flops", "total_flops")
"""Names of config entries that are taken for the floating-point operations of a whole training."""

_MAGNITUDES = ((1e15, 1e12), (1e12, 1e9), (1e9, 1e6))
_NAMES = ("trillion", "billion", "million")


def scaled(experiment: Experiment, arms: Arms) -> tuple[tuple[ScalingContent, ...], str]:
    """The curve against parameters and against what else is known of all sizes; or why there is none."""
    contents: list[ScalingContent] = []
    for column, axis, unit in _axes(experiment.episodes):
        try:
            found = scaling_curve(experiment, METRIC, column, arms=arms.of_run)
        except StatisticsError as error:
            if not contents:
                return (), f"No equivalent parameters: {error.what}; finished host-only runs have {error.got}."
            continue  # this cost is not known of enough sizes
        contents.append(ScalingContent(axis, unit, tuple(_sentences(found, unit)), found))
    return tuple(contents), ""


def threats(contents: Sequence[ScalingContent]) -> Iterator[Threat]:
    """What could make the curves, or what is read off them, wrong."""
    for content in contents:
        for warning in content.found.warnings:
            yield Threat("Scaling", f"{capital(content.axis)}: {sentence(warning)}")
        for target in content.found.targets:
            for warning in target.warnings:
                yield Threat("Scaling", f"{capital(content.axis)}, equivalent of {target.name}: {sentence(warning)}")


def capital(axis: str) -> str:
    """The name of an axis as a sentence begins."""
    return axis[:1].upper() + axis[1:]


def methods(contents: Sequence[ScalingContent]) -> Iterator[str]:
    """How the curves came about."""
    if not contents:
        return
    fit = contents[0].found.fit
    axes = " and ".join(content.axis for content in contents)
    intervals = (
        f"Intervals are {percent(fit.confidence)} percentiles of {fit.draws:,} bootstrap draws of the deviations of runs from "
        "the mean of their size, and of the judged runs from theirs (Davison 1997), widened by the root of ν / χ²(ν) as "
        "Student's t is wider than the normal (Weerahandi 1993). "
        if fit.draws
        else ""
    )
    tested = (
        "" if fit.lack_of_fit_p is None else "Lack of fit was tested against the spread between runs of one size (Draper 1998). "
    )
    yield (
        f"The error E + A c^−α of the host alone (Kaplan 2020; Hoffmann 2022), 100 minus the percent accuracy, was fitted to "
        f"{count(fit.runs, 'finished host-only run')} of {fit.sizes} sizes against {axes} by least squares with E and A at "
        f"least 0, α by variable projection (Golub 1973). {intervals}{tested}An equivalent is where the curve reaches the mean "
        "error of an arm; beyond the measured sizes it is marked as extrapolated."
    )


def amount(value: float | None, unit: str = "") -> str:
    """A cost to three significant digits: "134,000 parameters", "127 billion parameters", "12.3 s"."""
    if value is None:
        return "–"
    behind = f" {unit}" if unit else ""
    for (least, divisor), name in zip(_MAGNITUDES, _NAMES, strict=True):
        if least / 1e3 * 0.9995 <= value < least * 0.9995:
            return f"{value / divisor:.3g} {name}{behind}"
    if value >= 1e15 or 0 < value < 1e-3:
        return f"{value:.3g}{behind}"
    return f"{float(f'{value:.3g}'):,.12g}{behind}"


def ends(low: float | None, high: float | None) -> str:
    """An interval of a cost or a ratio, which may be open above."""
    if low is None:
        return "–"
    return f"{amount(low)} to {amount(high)}" if high is not None else f"{amount(low)} or more"


def estimate(found: Estimate) -> str:
    """A parameter of the curve, with its interval where it has one."""
    if found.low is None or found.high is None:
        return amount(found.value)
    return f"{amount(found.value)} ({amount(found.low)} to {amount(found.high)})"


def _axes(episodes: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Column, name and unit of every cost."""
    yield "total_params", "parameters", "parameters"
    yield "wall_clock_s", "wall-clock time", "s"
    for column in sorted(c for c in episodes.columns if c.startswith("config.") and c.rpartition(".")[2] in _FLOPS):
        yield column, "training FLOPs", "FLOPs"


def _sentences(found: Scaling, unit: str) -> Iterator[str]:
    """What every target is equivalent to, and what the curve itself is."""
    for target in found.targets:
        yield _equivalent(target, found, unit)
    fit = found.fit
    yield (
        f"The curve is that of {count(fit.runs, 'run')} of the host alone, of {fit.sizes} sizes from {amount(fit.smallest)} to "
        f"{amount(fit.largest, unit)}."
    )
    if fit.lack_of_fit_p is not None:
        shown = "The means of the sizes depart from it" if misfits(fit) else "No departure of the sizes from it is shown"
        yield f"{shown} (lack of fit, p {p_text(fit.lack_of_fit_p)})."
    if found.excluded:
        listed = "; ".join(f"{run.run_id} ({run.reason})" for run in found.excluded[:MOST_LISTED])
        more = f"; and {len(found.excluded) - MOST_LISTED} more" if len(found.excluded) > MOST_LISTED else ""
        yield f"Left out: {listed}{more}."


def _equivalent(target: ScalingTarget, found: Scaling, unit: str) -> str:
    judged, fit = target.found, found.fit
    confidence = f"{percent(fit.confidence)} interval"
    runs = f"{target.name} ({count(judged.runs, 'run')}, {number(target.value)} % with {amount(judged.cost, unit)})"
    if judged.equivalent is None:
        at_least = f" ({confidence} {ends(judged.low, judged.high)})" if judged.low is not None else ""
        return f"{runs}: no size of the host alone is as good on the fitted curve, so no equivalent is given{at_least}."
    interval = f" ({confidence} {ends(judged.low, judged.high)})" if judged.low is not None else ""
    ratio = f" ({ends(judged.ratio_low, judged.ratio_high)})" if judged.ratio_low is not None else ""
    said = f"{runs}: the host alone would need {amount(judged.equivalent, unit)}{interval} to be as good, "
    said += f"{amount(judged.ratio)} times as much{ratio}."
    if judged.beyond is not None and judged.beyond > 1:
        side = "largest" if judged.equivalent > fit.largest else "smallest"
        said += f" Extrapolated: that is {amount(judged.beyond)} times beyond the {side} host measured."
    return said
