"""Figures of learning curves: every run's, the means with their bands, and the differences of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from karn_wandb.charts.render import Row
from karn_wandb.experiment.report.bands import CONFIDENCE, Band, DifferenceCurve, spaced
from karn_wandb.experiment.report.blocks import Figure, Table
from karn_wandb.experiment.report.content import Curves
from karn_wandb.experiment.report.few import evenly, said
from karn_wandb.experiment.report.figures import NO_ARM, axis, capitalized, plainly
from karn_wandb.experiment.report.words import count, interval, number, percent, unit_of

MOST_ROWS = 21
"""Epochs of a mean curve that its table lists, evenly spaced; the JSON form holds all that are drawn."""

POINTWISE = (
    f"The bands are pointwise: the {percent(CONFIDENCE)} t interval of each epoch's mean by itself, no statement about the whole "
    "curve"
)


def curve_figures(curves: Curves, arms: Sequence[str]) -> tuple[Figure, ...]:
    """All figures of learning curves."""
    return (learning_curves(curves, arms), *(difference_curve(curves.metric, found) for found in curves.differences))


def learning_curves(curves: Curves, arms: Sequence[str]) -> Figure:
    """A line for every run, and the means; of very many runs lines for some, spread evenly over each arm's last values."""
    averaged = {mean.arm for mean in curves.means}
    shown = evenly(curves.curves, lambda curve: curve.values[-1], attrgetter("arm"))
    some = said(len(shown), len(curves.curves), "curves", "in each arm from the lowest last value to the highest")
    rows: list[Row] = [
        {
            "kind": "run" if curve.arm in averaged else "alone",
            "run": curve.label,
            "arm": curve.arm or NO_ARM,
            "epoch": epoch,
            "value": value,
            "end": not curve.finished and epoch == curve.epochs[-1],
        }
        for curve in shown
        for epoch, value in zip(curve.epochs, curve.values, strict=True)
    ]
    rows += [
        {
            "kind": "mean",
            "run": "",
            "arm": found.arm or NO_ARM,
            "epoch": epoch,
            "value": mean,
            "low": low,
            "high": high,
            "end": False,
        }
        for found in curves.means
        for epoch, mean, low, high in zip(found.band.epochs, found.band.mean, found.band.low, found.band.high, strict=True)
    ]
    crossed = "" if all(curve.finished for curve in shown) else " A cross ends the line of a run that did not finish."
    return Figure(
        chart="learning_curves",
        rows=rows,
        caption=f"{capitalized(curves.metric)} by epoch, a line for every run.{crossed}{_of_means(curves)}{some}",
        titles={"y": axis(curves.metric)},
        further=(_means(curves),) if curves.means else (),
        domains={"arm": (*arms, NO_ARM)},
        table=Table(
            ("run", "arm", "finished", "first epoch", "value", "last epoch", "value then", "lowest", "highest"),
            tuple(
                (
                    curve.label,
                    curve.arm or "–",
                    "yes" if curve.finished else "no",
                    str(curve.epochs[0]),
                    number(curve.values[0]),
                    str(curve.epochs[-1]),
                    number(curve.values[-1]),
                    number(min(curve.values)),
                    number(max(curve.values)),
                )
                for curve in shown
            ),
            frozenset({"first epoch", "value", "last epoch", "value then", "lowest", "highest"}),
        ),
    )


def difference_curve(metric: str, found: DifferenceCurve) -> Figure:
    """The mean difference of pairs by epoch, with its band, and zero."""
    band, unit = found.band, unit_of(metric)
    return Figure(
        chart="difference_curve",
        rows=[
            {"epoch": epoch, "value": mean, "low": low, "high": high}
            for epoch, mean, low, high in zip(band.epochs, band.mean, band.low, band.high, strict=True)
        ],
        caption=(
            f"{found.treatment} minus {found.control} in {plainly(metric)}, by epoch: the mean over "
            f"{count(band.curves, 'pair')} by {plainly(found.pair_by)} whose runs both finished, with its pointwise "
            f"{percent(CONFIDENCE)} t interval. Dashed: no difference. Nobody declared at which epoch to look: the verdict is "
            "not read off here."
        ),
        titles={"y": f"difference in {plainly(metric)}{f' ({unit})' if unit else ''}"},
        table=Table(
            ("epoch", "mean difference", f"{percent(CONFIDENCE)} interval"),
            tuple(_cells(band, signed=True)),
            frozenset({"epoch", "mean difference", f"{percent(CONFIDENCE)} interval"}),
        ),
    )


def _of_means(curves: Curves) -> str:
    """How to read the mean curves, where there are any."""
    if not curves.means:
        return ""
    runs = ", ".join(f"{found.arm or 'all'}: {count(found.band.curves, 'run')}" for found in curves.means)
    return f" Thick: the mean of an arm's finished runs ({runs}), at the epochs at which all of them have a value. {POINTWISE}."


def _means(curves: Curves) -> Table:
    columns = ("arm", "finished runs", "epoch", "mean", f"{percent(CONFIDENCE)} interval")
    rows = ((c.arm or "all", str(c.band.curves), *cells) for c in curves.means for cells in _cells(c.band))
    return Table(columns, tuple(rows), frozenset(columns[1:]))


def _cells(band: Band, *, signed: bool = False) -> list[tuple[str, str, str]]:
    """Epoch, mean and interval, at evenly spaced epochs."""
    return [
        (str(band.epochs[at]), number(band.mean[at], signed=signed), interval(band.low[at], band.high[at]))
        for at in spaced(len(band.epochs), MOST_ROWS).tolist()
    ]
