"""The tables of a report: every run, what became of each arm's runs, parameters beside accuracy."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd

from karn_wandb.experiment.aggregation import Filter
from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.filters import missing, select
from karn_wandb.experiment.matching import Arm
from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.content import ArmFlow, ArmParameters, RunContent

Row = dict[str, Any]

_SHOWN = [
    *("run_id", "name", "source", "state", "reason", "base_seed", "epochs"),
    *("final_accuracy", "final_loss", "host_params", "total_params"),
]
"""Columns that a run's row comes from; there may be thousands of others."""


def states(episodes: pd.DataFrame) -> dict[str, str]:
    """State by run id: "finished" when all its episodes are, else that of the first that is not."""
    found: dict[str, str] = {}
    for run_id, state in zip(episodes["run_id"], episodes["state"], strict=True):
        if found.setdefault(str(run_id), str(state)) == "finished":
            found[str(run_id)] = str(state)
    return found


def runs(episodes: pd.DataFrame, arms: Arms, decisions: Sequence[Decision]) -> tuple[RunContent, ...]:
    """Every run, by arm, then by random seed, then by id."""
    order = {label: place for place, label in enumerate(arms.order())}
    analysed = {run for decision in decisions for run in decision.aggregation.run_ids}
    reasons: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for decision in decisions:
        for left in (*decision.aggregation.excluded, *decision.aggregation.unmatched):
            reasons[left.run_id][left.reason] = None
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for values in zip(*(episodes[name] for name in _SHOWN), strict=True):
        row = dict(zip(_SHOWN, values, strict=True))
        rows[str(row["run_id"])].append(row)
    found = [
        _run(run_id, rows[run_id], arms.of_run.get(run_id, ""), tuple(reasons[run_id]), analysed=run_id in analysed)
        for run_id in sorted(rows)
    ]
    return tuple(
        sorted(found, key=lambda run: (order.get(run.arm, len(order)), math.inf if run.base_seed is None else run.base_seed))
    )


def flow(episodes: pd.DataFrame, decision: Decision, arms: Arms) -> tuple[ArmFlow, ArmFlow]:
    """What became of the runs of the treatment and of the control arm."""
    return (
        _arm_flow(episodes, decision, "treatment", decision.claim.treatment, arms),
        _arm_flow(episodes, decision, "control", decision.claim.control, arms),
    )


def parameters(found: Sequence[RunContent], order: Sequence[str]) -> tuple[ArmParameters, ...]:
    """Accuracy and parameters of each arm's finished runs, for the arms that have both."""
    by_arm = [(arm, [run for run in found if run.arm == arm and run.state == "finished"]) for arm in order or ("",)]
    return tuple(made for arm, members in by_arm if (made := _arm_parameters(arm, members)))


def _run(run_id: str, rows: Sequence[Row], arm: str, left_out: tuple[str, ...], *, analysed: bool) -> RunContent:
    seeds = {row["base_seed"] for row in rows if not missing(row["base_seed"])}
    epochs = [int(row["epochs"]) for row in rows if not missing(row["epochs"])]
    return RunContent(
        run_id=run_id,
        name=_text(rows, "name"),
        arm=arm,
        source=given(_text(rows, "source")),
        state=next((str(row["state"]) for row in rows if row["state"] != "finished"), "finished"),
        reason=_text(rows, "reason"),
        episodes=len(rows),
        base_seed=int(seeds.pop()) if len(seeds) == 1 else None,
        epochs=max(epochs, default=None),
        final_accuracy=_mean(rows, "final_accuracy"),
        final_loss=_mean(rows, "final_loss"),
        host_params=_mean(rows, "host_params"),
        total_params=_mean(rows, "total_params"),
        analysed=analysed,
        left_out=left_out,
    )


def given(source: str) -> str:
    """A source as it was given; of an absolute path only the last part, since folders are nobody's business."""
    for flavour in (PurePosixPath, PureWindowsPath):
        if flavour(source).is_absolute():
            return flavour(source).name
    return source


def _arm_flow(episodes: pd.DataFrame, decision: Decision, role: Arm, arm: Filter, arms: Arms) -> ArmFlow:
    started = int(episodes.loc[select(episodes, arm), "run_id"].nunique())
    found = decision.aggregation
    excluded = [run.state for run in found.excluded if run.arm == role]
    unmatched = sum(run.arm == role for run in found.unmatched)
    return ArmFlow(
        arm=arms.label(arm),
        started=started,
        crashed=excluded.count("crashed"),
        failed=excluded.count("failed"),
        running=excluded.count("running"),
        without_metric=excluded.count("finished"),
        excluded=len(excluded),
        counted=sum(run.arm == role for run in found.counted),
        unmatched=unmatched,
        analysed=started - len(excluded) - unmatched,
        pairs=len(found.pairs),
    )


def _arm_parameters(arm: str, members: Sequence[RunContent]) -> ArmParameters | None:
    both = [(run.final_accuracy, run.total_params) for run in members if run.final_accuracy is not None and run.total_params]
    if not both:
        return None
    accuracy = math.fsum(a for a, _ in both) / len(both)
    total = math.fsum(p for _, p in both) / len(both)
    hosts = [run.host_params for run in members if run.host_params is not None]
    return ArmParameters(
        arm=arm,
        runs=len(both),
        accuracy=accuracy,
        host_params=math.fsum(hosts) / len(hosts) if hosts else None,
        total_params=total,
        accuracy_per_million=accuracy / (total / 1e6),
    )


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """Mean over the run's episodes; None when one of them lacks the value."""
    values = [math.nan if missing(row[name]) else float(row[name]) for row in rows]
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else None


def _text(rows: Sequence[Row], name: str) -> str:
    return next((row[name] for row in rows if isinstance(row[name], str)), "")
