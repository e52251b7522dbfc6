"""The report's figures: rows for a chart, a caption, and the same numbers as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter, itemgetter
from statistics import fmean

from karn_wandb.charts.render import Row
from karn_wandb.experiment.report.blocks import Figure, Table
from karn_wandb.experiment.report.content import (
    ArmParameters,
    ClaimContent,
    ContributionsContent,
    RunContent,
    SlotAttribution,
    SlotValue,
)
from karn_wandb.experiment.report.few import MOST_LANES, evenly, said
from karn_wandb.experiment.report.words import interval, number, percent
from karn_wandb.records import Comparison, Pair

_BINS = 30
"""Values nearer than this part of their range are drawn beside each other."""

MEASURES = ("removal cost", "causal contribution")
"""What the two numbers of a slot are called, in the order in which they are drawn."""

NO_ARM = "in no arm"
"""Label of runs that are in none."""


@dataclass(frozen=True, slots=True)
class _Point:
    """A run's value, where it is drawn."""

    arm: str
    pair: str
    run: str
    value: float
    offset: int = 0


def every_run(claim: ClaimContent, arms: Sequence[str]) -> Figure:
    """Each analysed run as a point, the two of a pair joined by a line."""
    metric = claim.aggregation.metric
    paired = claim.aggregation.pair_by is not None
    joined = "; a line joins the two runs of a pair" if paired else ""
    every = list(_paired_points(claim) if paired else _points(claim))
    means = {arm: fmean(p.value for p in every if p.arm == arm) for arm in dict.fromkeys(p.arm for p in every)}
    if paired:
        drawn, some = _pairs(claim)
        chosen = {pair.key for pair in drawn}
        points = [p for p in every if p.pair in chosen]
    else:
        points = _beside_each_other(evenly(every, attrgetter("value"), attrgetter("arm")))
        some = said(len(points), len(every), "runs", "in each arm from the lowest to the highest")
    return Figure(
        chart="arms",
        rows=[
            {"arm": p.arm, "pair": p.pair or None, "run": p.run, "value": p.value, "offset": p.offset, "mean": means[p.arm]}
            for p in points
        ],
        caption=f"{capitalized(metric)} of every analysed run{joined}. The bar is the arm's mean.{some}",
        titles={"y": axis(metric)},
        domains={"arm": arms},
        table=Table(
            ("arm", "pair", "run", metric),
            tuple((p.arm, p.pair or "–", p.run, number(p.value)) for p in points),
            frozenset({metric}),
        ),
    )


def difference(claim: ClaimContent, found: Comparison) -> Figure:
    """The mean difference with its intervals, every pair's own, and the margin."""
    pairs, some = _pairs(claim)
    keys = [pair.key for pair in pairs]
    deltas = [pair.treatment - pair.control for pair in pairs]
    drawn = [(label, low, high) for label, low, high in _intervals(found) if low is not None]
    mean = found.mean_delta
    unit = f" ({claim.unit})" if claim.unit else ""
    shaded = "" if claim.margin is None else f" Shaded: differences smaller than the margin of {number(claim.margin)}."
    rows: list[Row] = [] if claim.margin is None else [{"kind": "margin", "low": -claim.margin, "high": claim.margin}]
    rows += [
        {"kind": "pair", "label": "each pair", "pair": key, "value": delta, "offset": offset}
        for key, delta, offset in zip(keys, deltas, spread(deltas), strict=True)
    ]
    rows += [{"kind": "interval", "label": label, "value": mean, "low": low, "high": high} for label, low, high in drawn]
    return Figure(
        chart="difference",
        rows=rows,
        caption=(
            f"{claim.treatment} minus {claim.control}{unit}: the mean with its intervals. Dashed: no difference.{shaded}{some}"
        ),
        titles={"x": f"difference in {plainly(claim.aggregation.metric)}{unit}"},
        table=Table(
            ("what", "difference", "interval"),
            (
                *((f"pair {key}", number(delta, signed=True), "–") for key, delta in zip(keys, deltas, strict=True)),
                *((label, number(mean, signed=True), interval(low, high)) for label, low, high in _intervals(found)),
            ),
            frozenset({"difference", "interval"}),
        ),
    )


def shapley(slots: Sequence[SlotAttribution], arms: Sequence[str]) -> Figure:
    """Each run's value with its own interval, and the mean over runs with its."""
    arm, unit = slots[0].arm, slots[0].unit
    sums: Counter[str] = Counter()
    for slot in slots:
        sums.update({value.run_id: value.mean for value in slot.runs})
    shown = set(evenly(sorted(sums), sums.__getitem__, most=MOST_LANES))
    some = said(len(shown), len(sums), "runs", "from the lowest sum over slots to the highest")
    rows: list[Row] = []
    cells: list[tuple[str, ...]] = []
    for slot in slots:
        shared = {"slot": slot.slot, "arm": arm or NO_ARM}
        for value in (value for value in slot.runs if value.run_id in shown):
            rows.append({**shared, "kind": "run", "run": value.run_id, **_ends(value)})
            own = interval(value.ci_low, value.ci_high)
            how = "exact" if value.exact else value.algorithm
            cells.append((slot.slot, value.run_id, str(value.epoch), number(value.mean, signed=True), own, how))
        rows.append({**shared, "kind": "mean", "run": "mean over runs", **_ends(slot)})
    return Figure(
        chart="shapley",
        rows=rows,
        caption=(
            f"Shapley value of each slot{f' in {arm}' if arm else ''}, at the last evaluated epoch. Round: one run, with its own "
            f"95 % interval where it has one. Diamond: mean over runs, with its 95 % t interval.{some}"
        ),
        titles={"x": f"Shapley value{f' ({unit})' if unit else ''}"},
        domains={"arm": (*arms, NO_ARM)},
        table=Table(
            ("slot", "run", "epoch", "Shapley value", "95 % interval", "computed"),
            tuple(cells),
            frozenset({"epoch", "Shapley value", "95 % interval"}),
        ),
    )


def removal_vs_causal(contributed: ContributionsContent) -> Figure:
    """Each slot's removal cost and causal contribution: every random seed's own, and the mean with its interval."""
    found = contributed.found
    rows: list[Row] = []
    cells: list[tuple[str, ...]] = []
    some = ""
    for slot in found.slots:
        removal = [(removal.key, removal.cost) for removal in slot.removals]
        causal = [(pair.key, pair.treatment - pair.control) for pair in slot.causal.pairs]
        for measure, every, mean in zip(MEASURES, (removal, causal), (slot.removal, slot.causal.comparison), strict=True):
            shared = {"slot": slot.slot, "measure": measure}
            if mean is not None:
                ends = {"low": mean.ci_low, "high": mean.ci_high}
                rows.append(
                    {**shared, "lane": f"{measure}, mean", "kind": "mean", "run": "mean", "value": mean.mean_delta, **ends}
                )
                cells.append(
                    (slot.slot, measure, "mean", number(mean.mean_delta, signed=True), interval(mean.ci_low, mean.ci_high))
                )
            values = evenly(every, itemgetter(1))
            some = some or said(len(values), len(every), f"values of {slot.slot}", "from the lowest to the highest, as of others")
            lane = f"{measure}, each"
            rows += [{**shared, "lane": lane, "kind": "run", "run": key, "value": value} for key, value in values]
            cells += [(slot.slot, measure, f"{found.pair_by} {key}", number(value, signed=True), "–") for key, value in values]
    unit = f" ({contributed.unit})" if contributed.unit else ""
    confidence = percent(found.confidence)
    return Figure(
        chart="removal_vs_causal",
        rows=rows,
        caption=(
            f"Removal cost and causal contribution of each slot, in {found.metric}{unit}. Small: one {found.pair_by}. Large: the "
            f"mean, with its {confidence} t interval where there are at least three. Dashed: zero.{some}"
        ),
        titles={"x": f"{plainly(found.metric)}, difference{unit}"},
        domains={"measure": MEASURES},
        table=Table(
            ("slot", "what", "of", "value", f"{confidence} interval"),
            tuple(cells),
            frozenset({"value", f"{confidence} interval"}),
        ),
    )


def parameters(runs: Sequence[RunContent], means: Sequence[ArmParameters], arms: Sequence[str]) -> Figure:
    """Accuracy of each finished run against its parameters, the means, and the Pareto front of these."""
    known = [run for run in runs if run.state == "finished" and run.final_accuracy is not None and run.total_params is not None]
    both = evenly(known, attrgetter("final_accuracy"), attrgetter("arm"))
    some = said(len(both), len(known), "runs", "in each arm from the lowest accuracy to the highest")
    front = sorted((mean.total_params, mean.accuracy) for mean in means if mean.on_front)
    rows: list[Row] = [
        {"kind": "run", "run": run.run_id, "arm": run.arm or NO_ARM, "params": run.total_params, "value": run.final_accuracy}
        for run in both
    ]
    rows += [{"kind": "mean", "params": mean.total_params, "value": mean.accuracy} for mean in means]
    rows += [{"kind": "front", "params": params, "value": value} for params, value in front]
    return Figure(
        chart="parameters",
        rows=rows,
        caption=(
            "Final accuracy of every finished run against its parameters at the last epoch. Diamond: the mean of an arm on hosts "
            f"of one size. Up and to the left is better; the line joins the means that no other beats in both.{some}"
        ),
        titles={"x": "total parameters", "y": "final accuracy (%)"},
        domains={"arm": (*arms, NO_ARM)},
        table=Table(
            ("run", "arm", "total parameters", "final accuracy (%)"),
            tuple((run.run_id, run.arm or "–", f"{run.total_params:,.0f}", number(run.final_accuracy)) for run in both),
            frozenset({"total parameters", "final accuracy (%)"}),
        ),
    )


def spread(values: Sequence[float]) -> list[int]:
    """Places beside the axis, so that values that nearly coincide can all be seen: 0, 1, -1, 2, -2, ... at most 5 away."""
    width = (max(values) - min(values)) / _BINS if values else 0.0
    seen: Counter[int] = Counter()
    places = []
    for value in values:
        bin_of = round((value - min(values)) / width) if width else 0
        nth = seen[bin_of] % 11
        places.append((nth + 1) // 2 * (1 if nth % 2 else -1))
        seen[bin_of] += 1
    return places


def _paired_points(claim: ClaimContent) -> Iterator[_Point]:
    for pair in claim.aggregation.pairs:
        yield _Point(claim.control, pair.key, pair.control_run, pair.control)
        yield _Point(claim.treatment, pair.key, pair.treatment_run, pair.treatment)


def _points(claim: ClaimContent) -> Iterator[_Point]:
    found = claim.aggregation
    treated = claim.flow[0].analysed
    runs = list(zip(found.run_ids, found.values, strict=True))
    for arm, members in ((claim.control, runs[treated:]), (claim.treatment, runs[:treated])):
        for run, value in members:
            yield _Point(arm, "", run, value)


def _beside_each_other(points: Sequence[_Point]) -> list[_Point]:
    """Points of arms, one arm after the other, each at its place beside the axis."""
    by_arm = [[p for p in points if p.arm == arm] for arm in dict.fromkeys(p.arm for p in points)]
    places = (place for members in by_arm for place in spread([p.value for p in members]))
    return [replace(p, offset=place) for p, place in zip(chain.from_iterable(by_arm), places, strict=True)]


def _pairs(claim: ClaimContent) -> tuple[Sequence[Pair], str]:
    """The pairs that are drawn, and what to say where that is not all."""
    every = claim.aggregation.pairs
    drawn = evenly(every, lambda pair: pair.treatment - pair.control)
    return drawn, said(len(drawn), len(every), "pairs", "from the lowest difference to the highest")


def _intervals(found: Comparison) -> list[tuple[str, float | None, float | None]]:
    mean = (f"mean, {percent(found.confidence)}", found.ci_low, found.ci_high)
    return [mean, ("bootstrap", *found.bootstrap_ci)] if found.bootstrap_ci else [mean]


def _ends(value: SlotValue | SlotAttribution) -> dict[str, float]:
    """A value with its interval, of no width where there is none."""
    low = value.mean if value.ci_low is None else value.ci_low
    return {"mean": value.mean, "low": low, "high": value.mean if value.ci_high is None else value.ci_high}


def plainly(metric: str) -> str:
    """A metric's name as one says it."""
    return metric.replace("_", " ")


def capitalized(metric: str) -> str:
    """The same at the beginning of a sentence; capitals inside it stay."""
    return plainly(metric)[:1].upper() + plainly(metric)[1:]


def axis(metric: str) -> str:
    """A metric as the title of an axis."""
    return f"{plainly(metric)} (%)" if "accuracy" in metric else plainly(metric)
