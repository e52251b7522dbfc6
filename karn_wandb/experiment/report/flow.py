"""What became of the runs of each arm: from started to analysed, as a diagram and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from karn_wandb.charts.render import Row
from karn_wandb.experiment.report.blocks import Figure, Table
from karn_wandb.experiment.report.content import ArmFlow, ClaimContent
from karn_wandb.experiment.report.words import count

_EXITS = (
    ("crashed", "crashed"),
    ("failed", "failed"),
    ("running", "still running"),
    ("without_metric", "without the metric"),
)
"""Fields of a flow and what they are called, in the order in which they are drawn."""


def flow_figures(claims: Sequence[ClaimContent], arms: Sequence[str]) -> tuple[Figure, ...]:
    """A diagram for each claim; claims whose arms fared alike share one."""
    alike: dict[tuple[tuple[ArmFlow, ArmFlow], bool], list[str]] = {}
    for claim in claims:
        alike.setdefault((claim.flow, claim.aggregation.pair_by is not None), []).append(claim.name)
    return tuple(_figure(flow, names if len(alike) > 1 else (), arms, paired=paired) for (flow, paired), names in alike.items())


def _figure(flow: tuple[ArmFlow, ArmFlow], names: Sequence[str], arms: Sequence[str], *, paired: bool) -> Figure:
    control_first = (flow[1], flow[0])
    shown = [field for field, _ in _EXITS if any(getattr(arm, field) for arm in flow)]
    counted = any(arm.counted for arm in flow)
    said = f" Of the claim{'s' if len(names) > 1 else ''} {', '.join(f'“{name}”' for name in names)}." if names else ""
    columns = ("arm", "started", *(name for _, name in _EXITS), "counted all the same", "without a partner", "analysed")
    return Figure(
        chart="flow",
        rows=[row for arm in control_first for row in _lanes(arm, shown, counted=counted, paired=paired)],
        caption=f"What became of the runs of each arm, from the first to those that are analysed.{said}",
        domains={"arm": arms},
        table=Table(columns, tuple(map(_row, control_first)), frozenset(columns[1:])),
    )


def _row(arm: ArmFlow) -> tuple[str, ...]:
    lost = (getattr(arm, field) for field, _ in _EXITS)
    return (arm.arm, *map(str, (arm.started, *lost, arm.counted, arm.unmatched, arm.analysed)))


def _lanes(arm: ArmFlow, shown: Sequence[str], *, counted: bool, paired: bool) -> Iterator[Row]:
    """The lanes of one arm, numbered from the top; both arms have the same."""
    names = dict(_EXITS)
    lost = [(f"{getattr(arm, field):,} {names[field]}", getattr(arm, field)) for field in shown]
    by_rule = [(f"{arm.counted:,} counted by rule", 0)] if counted else []
    boxes = [f"{arm.started:,} started", f"{arm.analysed:,} analysed"]
    exits = [[*lost, *by_rule] or [("none lost", 0)]]
    if paired:
        boxes[1:] = [f"{arm.started - arm.excluded:,} with a result", f"{arm.analysed:,} analysed, {count(arm.pairs, 'pair')}"]
        exits.append([(f"{arm.unmatched:,} without a partner", arm.unmatched)])
    lane = 0
    for box, after in zip(boxes, [*exits, []], strict=True):
        yield {"arm": arm.arm, "lane": lane, "kind": "box", "label": box, "lost": 0, "last": False}
        for place, (label, many) in enumerate(after, 1):
            last = place == len(after)
            yield {"arm": arm.arm, "lane": lane + place, "kind": "exit", "label": label, "lost": many, "last": last}
        lane += len(after) + 1
