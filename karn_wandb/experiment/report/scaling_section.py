"""The section on scaling: a curve for each kind of cost, what is read off it, and every number as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter

from karn_wandb.charts.render import Row
from karn_wandb.experiment.report.blocks import Figure, Figures, Items, Section, Table, Text
from karn_wandb.experiment.report.content import Content, ScalingContent
from karn_wandb.experiment.report.few import evenly, said
from karn_wandb.experiment.report.scaling import amount, capital, ends, estimate
from karn_wandb.experiment.report.words import number, p_cell, percent
from karn_wandb.records import ScalingTarget

HOST_ALONE = "the host alone"
"""What host-only runs are called in the figure."""


def sections(content: Content) -> tuple[Section, ...]:
    """The section; none without a curve."""
    if not content.scaling:
        return ()
    drawn = Figures(tuple(curve(found) for found in content.scaling))
    said = Items(tuple((capital(found.axis), " ".join(found.sentences)) for found in content.scaling))
    return (Section("Scaling: what the host alone would need", (_reading(content.scaling), said, drawn, *_tables(content))),)


def curve(content: ScalingContent) -> Figure:
    """Every host-only run, the curve with its band, every run that is judged, and an arrow to where the host alone would be."""
    found = content.found
    confidence = percent(found.fit.confidence)
    rows: list[Row] = [
        {
            "kind": "curve",
            "part": point.part,
            "cost": point.cost,
            "value": point.value.value,
            "low": point.value.low,
            "high": point.value.high,
        }
        for point in found.curve
    ]
    groups = {HOST_ALONE: found.hosts, **{target.name: target.runs for target in found.targets}}
    every = [(name, run) for name, runs in groups.items() for run in runs]
    drawn = evenly(every, lambda pair: pair[1].value, itemgetter(0))
    some = said(len(drawn), len(every), "runs", "in each group from the lowest accuracy to the highest")
    rows += [{"kind": "run", "arm": name, "run": r.run_id, "cost": r.cost, "value": r.value} for name, r in drawn]
    edges = found.curve[0].cost, found.curve[-1].cost
    for target in found.targets:
        rows += _arrow(target, *edges)
    band = f" Shaded: its pointwise {confidence} interval." if found.fit.draws else ""
    arrows = (
        " Arrow: from what the mean run cost to what a host-only model as good would; the bar across it is its "
        f"{confidence} interval."
        if found.targets
        else ""
    )
    return Figure(
        chart="scaling",
        rows=rows,
        caption=(
            f"Final accuracy of every host-only run against {content.axis}, with the fitted curve, dashed beyond the sizes that "
            f"were measured.{band}{arrows}{some}"
        ),
        titles={"x": _axis(content), "y": "final accuracy (%)"},
        domains={"arm": (HOST_ALONE, *(target.name for target in found.targets))},
        table=Table(
            ("run", "of", content.axis, "final accuracy (%)"),
            tuple((r.run_id, name, amount(r.cost), number(r.value)) for name, r in drawn),
            frozenset({content.axis, "final accuracy (%)"}),
        ),
    )


def _axis(content: ScalingContent) -> str:
    unit = "" if content.unit == content.axis or not content.unit else f" ({content.unit})"
    return f"{content.axis}{unit}, logarithmic"


def _arrow(target: ScalingTarget, start: float, edge: float) -> Iterator[Row]:
    """From the mean run to its equivalent, and the interval of that; what is open, or out of sight, ends with the curve."""
    judged = target.found
    shared: Row = {"arm": target.name, "value": target.value}
    yield {**shared, "kind": "mean", "cost": judged.cost}
    if judged.low is not None and judged.low < edge:
        cut = judged.high is None or judged.high > edge
        high = edge if judged.high is None or cut else judged.high
        yield {**shared, "kind": "interval", "cost": max(judged.low, start), "until": high, "open": cut}
    if judged.equivalent is not None and judged.equivalent <= edge:
        until, label = max(judged.equivalent, start), f"{amount(judged.ratio)} ×"
    else:
        until, label = edge, "" if judged.ratio_low is None else f"{amount(judged.ratio_low)} × or more"
    side = "right" if until > judged.cost else "left"
    yield {**shared, "kind": "arrow", "cost": judged.cost, "until": until, "side": side, "label": label}


def _reading(contents: Sequence[ScalingContent]) -> Text:
    several = " Wall-clock time is that of the machine the runs had." if any(c.unit == "s" for c in contents) else ""
    return Text(
        "Equivalent parameters say how large a host trained alone would have to be to reach the same accuracy. Unlike accuracy "
        "per parameter they do not reward shrinking." + several
    )


def _tables(content: Content) -> Iterator[Table]:
    interval = f"{percent(content.scaling[0].found.fit.confidence)} interval"
    columns = ("cost", "arm", "runs", "accuracy (%)", "its own", f"equivalent ({interval})", f"ratio ({interval})", "beyond")
    rows = tuple(_row(found, target) for found in content.scaling for target in found.found.targets)
    if rows:
        yield Table(columns, rows, frozenset(columns[2:]))
    names = ("cost", "sizes", "runs", "floor E", "coefficient A", "exponent α", "sd between runs", "lack of fit F", "p")
    yield Table(names, tuple(_fit(found) for found in content.scaling), frozenset(names[1:]))


def _row(content: ScalingContent, target: ScalingTarget) -> tuple[str, ...]:
    judged = target.found
    return (
        content.axis,
        target.name,
        str(judged.runs),
        number(target.value),
        amount(judged.cost),
        _with(judged.equivalent, judged.low, judged.high),
        _with(judged.ratio, judged.ratio_low, judged.ratio_high),
        "–" if judged.beyond is None else "no" if judged.beyond == 1 else f"{amount(judged.beyond)} times",
    )


def _with(value: float | None, low: float | None, high: float | None) -> str:
    return amount(value) if low is None else f"{amount(value)} ({ends(low, high)})"


def _fit(content: ScalingContent) -> tuple[str, ...]:
    fit = content.found.fit
    return (
        content.axis,
        str(fit.sizes),
        str(fit.runs),
        *(estimate(found) for found in (fit.floor, fit.coefficient, fit.exponent)),
        number(fit.run_std),
        number(fit.lack_of_fit_f),
        p_cell(fit.lack_of_fit_p),
    )
