"""Runs of two arms brought together: which belongs with which, and what those count as that have no result."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from karn_wandb.records import ExcludedRun, Pair, Unfinished

JOIN = " + "
"""Between the ids of runs that count once, by their mean."""

Arm = Literal["treatment", "control"]


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One run of an arm: its value (of one that is not analysed the last, NaN without one), its keys, or why it is not."""

    run_id: str
    arm: Arm
    state: str
    episodes: int
    keys: tuple[str, ...]
    value: float = math.nan
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Matched:
    """Runs of two arms as they are compared.

    Attributes:
        runs: All runs, each with its value, or with the reason why it is not analysed.
        analysed: The values that are compared, arm by arm; of equal length and in the order of the pairs when paired.
        pairs: The pairs; empty when unpaired.
        unmatched: Runs that have no partner.
        counted: Runs that count as something although they have no result of their own.
    """

    runs: tuple[ArmRun, ...]
    analysed: Mapping[Arm, list[float]]
    pairs: tuple[Pair, ...]
    unmatched: tuple[ExcludedRun, ...]
    counted: tuple[ExcludedRun, ...]


def matched(runs: Sequence[ArmRun], pair_by: str | None, unfinished: Unfinished, *, higher_is_better: bool) -> Matched:
    """The runs of two arms as they are compared under a rule for those that did not finish."""
    known = [run.value for run in runs if math.isfinite(run.value)]
    counted = []
    if unfinished != "left_out" and known:
        worst = min(known) if higher_is_better else max(known)
        found = [_counted(run, worst, unfinished) if run.reason else run for run in runs]
        counted = [
            ExcludedRun(run.run_id, run.arm, run.state, f"{run.reason}; counted as {now.value:g}")
            for run, now in zip(runs, found, strict=True)
            if run.reason
        ]
        runs = found
    usable = [run for run in runs if not run.reason]
    pairs, unmatched = _pair(usable, pair_by) if pair_by else ((), ())
    return Matched(tuple(runs), _analysed(usable, pairs if pair_by else None), pairs, unmatched, tuple(counted))


def _counted(run: ArmRun, worst: float, unfinished: Unfinished) -> ArmRun:
    last = run.value if unfinished == "last" and math.isfinite(run.value) else worst
    return replace(run, value=last, reason="")


def natural(key: str) -> tuple[float, str]:
    """Numbers in their order, then texts in theirs."""
    try:
        return float(key), key
    except ValueError:
        return math.inf, key


def _pair(runs: Sequence[ArmRun], pair_by: str) -> tuple[tuple[Pair, ...], tuple[ExcludedRun, ...]]:
    by_key: dict[str, dict[Arm, list[ArmRun]]] = defaultdict(lambda: {"treatment": [], "control": []})
    unmatched = []
    for run in runs:
        if len(run.keys) == 1:
            by_key[run.keys[0]][run.arm].append(run)
        else:
            why = f"its episodes have several values of {pair_by}" if run.keys else f"it has no {pair_by}"
            unmatched.append(ExcludedRun(run.run_id, run.arm, run.state, why))
    pairs = []
    for key in sorted(by_key, key=natural):
        sides = by_key[key]
        if sides["treatment"] and sides["control"]:
            pairs.append(_joined(key, sides["treatment"], sides["control"]))
        else:
            unmatched += [
                ExcludedRun(r.run_id, r.arm, r.state, f"no analysed run of the other arm has {pair_by} {key}")
                for side in sides.values()
                for r in side
            ]
    return tuple(pairs), tuple(unmatched)


def _joined(key: str, treatment: Sequence[ArmRun], control: Sequence[ArmRun]) -> Pair:
    return Pair(
        key=key,
        treatment_run=JOIN.join(run.run_id for run in treatment),
        control_run=JOIN.join(run.run_id for run in control),
        treatment=_mean(treatment),
        control=_mean(control),
    )


def _mean(runs: Sequence[ArmRun]) -> float:
    return math.fsum(run.value for run in runs) / len(runs)


def _analysed(runs: Sequence[ArmRun], pairs: Sequence[Pair] | None) -> dict[Arm, list[float]]:
    if pairs is not None:
        return {"treatment": [pair.treatment for pair in pairs], "control": [pair.control for pair in pairs]}
    return {
        "treatment": [run.value for run in runs if run.arm == "treatment"],
        "control": [run.value for run in runs if run.arm == "control"],
    }
