"""Coalition matrices as charts: what each slot is worth, every coalition, every pair, and how they add up.

Each function makes one chart's rows from one record, or None when the record does not hold what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from karn_wandb.charts.builtin import bars, points, with_ends
from karn_wandb.charts.chart import Chart, Plot, signed, unsigned
from karn_wandb.charts.render import Row
from karn_wandb.printable import printable
from karn_wandb.records import Coalition, CounterfactualMatrix, InteractionEstimate, Metric, ShapleyEstimate

MOST_CELLS = 2**6
"""Coalitions that fit a grid; more become a strip."""

MOST_TICKS = 500
"""Coalitions drawn of a strip, evenly thinned within each number of slots that are on."""

MOST_SLOTS = 12
"""Slots of an interaction matrix: those with the strongest interactions."""

ROUNDING = 1e-6
"""Difference between the sum of the Shapley values and what they share out that is rounding."""

ON, OFF = "●", "○"
MARKS = {"synergy": "▲", "interference": "▼", "independence": "≈", "undecided": ""}
"""How a cell shows its regime."""

_UNITS = {"accuracy": "percentage points", "loss": "loss"}
_VALUES = {"accuracy": "validation accuracy (%)", "loss": "minus the validation loss"}
METHODS = {
    "per_example": "each example's own Shapley values",
    "group_jackknife": "leaving out one group of examples at a time",
    "binomial_bound": "accuracies alone, an upper bound",
}
"""How evaluation error is known, in words, by `ShapleyEstimate.evaluation_method`."""


def slot_values(matrix: CounterfactualMatrix) -> Chart | None:
    """The Shapley value of each slot, a bar from zero with its interval; None without any."""
    estimates = matrix.shapley_values
    if not estimates:
        return None
    rows = [{"slot": slot, **_bar(estimates.get(slot), matrix.metric)} for slot in _slots(matrix)]
    return Chart(
        name="slot_values",
        rows=rows,
        titles={"title": f"Shapley values, epoch {matrix.epoch}", "x": _UNITS[matrix.metric]},
        caption=f"What each slot adds to all slots off, on average over all orders. {_intervals(estimates.values())}",
        plain=bars(
            f"Shapley values with their intervals, epoch {matrix.epoch} ({_UNITS[matrix.metric]})",
            (bar for slot, e in estimates.items() if None not in (e.ci_low, e.ci_high) for bar in with_ends(printable(slot), e)),
        ),
    )


def coalitions(matrix: CounterfactualMatrix) -> Chart | None:
    """Every coalition with its value: a grid of up to `MOST_CELLS`, else a strip of those evaluated; None without any."""
    known = _known(matrix)
    slots = _slots(matrix)
    if not known or not slots:
        return None
    return _grid(matrix, slots, known) if 2 ** len(slots) <= MOST_CELLS else _strip(matrix, known)


def interactions(matrix: CounterfactualMatrix) -> Chart | None:
    """The interaction of each pair of slots, with its regime; None when none is known."""
    pairs = {frozenset(pair): estimate for pair, estimate in matrix.pairs().items() if len(pair) == 2}
    if not pairs:
        return None
    slots = _strongest(_slots(matrix), pairs)
    scale = max(abs(estimate.effect) for estimate in pairs.values())
    rows = [
        {"first": first, "second": second, **_cell(pairs.get(frozenset((first, second))), scale, matrix.metric)}
        for place, second in enumerate(slots)
        for first in slots[:place]
    ]
    left_out = len(_slots(matrix)) - len(slots)
    return Chart(
        name="interactions",
        rows=rows,
        titles={"title": f"Interactions, epoch {matrix.epoch} ({_UNITS[matrix.metric]})"},
        caption=(
            f"Blue: the two together do more than each by itself, orange: less; seen from the "
            f"{matrix.interaction_basis.replace('_', ' ')}. Synergy and interference: the 95 % interval excludes zero. "
            "Independence: it lies inside the margin."
            + (f" {left_out} slots with weaker interactions are not shown." if left_out else "")
        ),
    )


def waterfall(matrix: CounterfactualMatrix) -> Chart | None:
    """From all slots off to all on by Shapley values; None unless both ends and every slot's value are known."""
    slots, estimates = _slots(matrix), matrix.shapley_values or {}
    known = _known(matrix)
    start, end = known.get((False,) * len(slots)), known.get((True,) * len(slots))
    if not slots or start is None or end is None or not estimates.keys() >= set(slots):
        return None
    return Chart(
        name="waterfall",
        rows=list(_steps(slots, estimates, start, end, matrix.metric)),
        titles={"title": f"From all slots off to all on, epoch {matrix.epoch}", "x": _VALUES[matrix.metric]},
        caption=(
            "It starts from this network with all slots off, which is not a host-only run: the host has adapted to its seed "
            f"modules. Steps are Shapley values. {_intervals(estimates.values())}"
        ),
    )


def _slots(matrix: CounterfactualMatrix) -> tuple[str, ...]:
    """The slots in the order of each configuration, numbered where the matrix does not name them."""
    width = len(matrix.configs[0].config) if matrix.configs else 0
    return matrix.slot_ids or tuple(matrix.shapley_values or ()) or tuple(f"slot {place}" for place in range(1, width + 1))


def _known(matrix: CounterfactualMatrix) -> dict[Coalition, float]:
    """The game's value of each coalition that was measured: percent accuracy or minus the loss, finite."""
    if matrix.metric == "accuracy":
        values = {result.config: result.val_accuracy for result in matrix.configs}
    else:
        values = {result.config: None if result.val_loss is None else -result.val_loss for result in matrix.configs}
    return {config: value for config, value in values.items() if value is not None and math.isfinite(value)}


def _sure(low: float | None, high: float | None) -> bool:
    """Whether the interval is known and excludes zero."""
    return (low is not None and low > 0) or (high is not None and high < 0)


def _sign(value: float) -> str:
    return "negative" if value < 0 else "positive"


def _bar(estimate: ShapleyEstimate | None, metric: Metric) -> Row:
    if estimate is None:
        return {"mean": None, "low": None, "high": None, "sign": None, "sure": False, "label": "–"}
    return {
        "mean": estimate.mean,
        "low": estimate.ci_low,
        "high": estimate.ci_high,
        "sign": _sign(estimate.mean),
        "sure": _sure(estimate.ci_low, estimate.ci_high),
        "label": signed(estimate.mean, metric),
    }


def evaluation_error(estimates: Iterable[ShapleyEstimate]) -> str:
    """How the evaluation error in the intervals is known, "" when it is not in them."""
    methods = dict.fromkeys(METHODS[e.evaluation_method] for e in estimates if e.evaluation_method is not None)
    return f"evaluation error by {' and '.join(methods)}" if methods else ""


def _intervals(estimates: Iterable[ShapleyEstimate]) -> str:
    """What the lines of a chart are, and how they are known."""
    found = list(estimates)
    if all(e.ci_low is None for e in found):
        return "No interval is known, so all of them are pale."
    how = evaluation_error(found)
    return f"Lines: 95 % intervals{f' ({how})' if how else ''}; pale where they hold zero."


def _gray(n: int) -> Iterator[Coalition]:
    """All patterns of n bits, neighbours differing in one (Gray 1953)."""
    for number in range(2**n):
        code = number ^ (number >> 1)
        yield tuple(bool(code >> (n - 1 - bit) & 1) for bit in range(n))


def _pattern(config: Sequence[bool]) -> str:
    return "".join(ON if on else OFF for on in config)


def _grid(matrix: CounterfactualMatrix, slots: Sequence[str], known: dict[Coalition, float]) -> Chart:
    half = len(slots) // 2
    low, high = min(known.values()), max(known.values())
    rows: list[Row] = []
    for down in _gray(half):
        for across in _gray(len(slots) - half):
            value = known.get((*down, *across))
            rows.append(
                {
                    "down": _pattern(down),
                    "across": _pattern(across),
                    "value": value,
                    "shade": None if value is None else (value - low) / (high - low) if high > low else 0.5,
                    "label": "–" if value is None else unsigned(value if matrix.metric == "accuracy" else -value, matrix.metric),
                }
            )
    missing = 2 ** len(slots) - len(known)
    measured = {"accuracy": "Validation accuracy (%)", "loss": "Validation loss"}[matrix.metric]
    return Chart(
        name="coalitions",
        rows=rows,
        titles={
            "title": f"{measured} of every coalition, epoch {matrix.epoch}",
            "down": f"down: {', '.join(slots[:half])}" if half else "",
            "across": f"across ({ON} on, {OFF} off): {', '.join(slots[half:])}",
        },
        caption=(
            "Deeper is better. Neighbouring cells differ in one slot, so each edge between them is what that slot does there."
            + (f" Dashed: {missing} not evaluated." if missing else "")
        ),
        plain=_by_size(matrix, ((sum(config), value) for config, value in known.items())),
    )


def _strip(matrix: CounterfactualMatrix, known: dict[Coalition, float]) -> Chart:
    by_size = sorted(((sum(config), value) for config, value in known.items()))
    step = -(-len(by_size) // MOST_TICKS)
    drawn = by_size[::step]
    thinned = "" if step == 1 else f" {len(drawn)} of the {len(by_size)} are drawn, evenly chosen."
    return Chart(
        name="coalitions",
        file="coalition_strip",
        rows=[{"slots_on": size, "value": value} for size, value in drawn],
        titles={"title": f"Coalitions by slots on, epoch {matrix.epoch}", "x": _VALUES[matrix.metric]},
        caption=f"Each line is one of the {len(by_size):,} evaluated coalitions of {len(_slots(matrix))} slots.{thinned}",
        plain=_by_size(matrix, drawn),
    )


def _by_size(matrix: CounterfactualMatrix, values: Iterable[tuple[int, float]]) -> Plot | None:
    return points(f"Coalitions by slots on, epoch {matrix.epoch}", "slots on", _VALUES[matrix.metric], values)


def _steps(
    slots: Sequence[str], estimates: Mapping[str, ShapleyEstimate], start: float, end: float, metric: Metric
) -> Iterator[Row]:
    """All off, a step for each slot, what the steps leave unexplained, all on; each beginning where the last one ended."""
    steps = [(slot, estimates[slot], _bar(estimates[slot], metric)) for slot in slots]
    rest = end - start - sum(estimate.mean for _, estimate, _ in steps)
    if abs(rest) > ROUNDING:
        unexplained = ShapleyEstimate(rest, std=None, n_samples=0)
        steps.append(("not shared out", unexplained, _bar(unexplained, metric)))
    names = [*(name for name, _, _ in steps), "all on"]
    yield {"kind": "total", "step": "all off", "next": names[0], "from": start, "to": start, "label": unsigned(start, metric)}
    at = start
    for (name, estimate, bar), following in zip(steps, names[1:], strict=True):
        low, high = (None if edge is None else at + edge for edge in (estimate.ci_low, estimate.ci_high))
        step: Row = {"step": name, "next": following, "from": at, "to": at + estimate.mean, "low": low, "high": high}
        yield {**bar, "kind": "step", **step}
        at += estimate.mean
    yield {"kind": "total", "step": "all on", "from": end, "to": end, "label": unsigned(end, metric)}


def _strongest(slots: tuple[str, ...], pairs: dict[frozenset[str], InteractionEstimate]) -> tuple[str, ...]:
    if len(slots) <= MOST_SLOTS:
        return slots
    most = {slot: max((abs(e.effect) for pair, e in pairs.items() if slot in pair), default=0.0) for slot in slots}
    kept = sorted(slots, key=most.__getitem__, reverse=True)[:MOST_SLOTS]
    return tuple(slot for slot in slots if slot in kept)


def _cell(estimate: InteractionEstimate | None, scale: float, metric: Metric) -> Row:
    if estimate is None:
        return {"effect": None, "sign": "positive", "strength": 0.0, "decided": False, "label": "–", "mark": ""}
    decided = estimate.regime != "undecided"
    strength = abs(estimate.effect) / scale if scale else 0.0
    return {
        "effect": estimate.effect,
        "sign": _sign(estimate.effect),
        "strength": strength if decided else strength / 4,
        "decided": decided,
        "label": signed(estimate.effect, metric),
        "mark": MARKS[estimate.regime],
    }
