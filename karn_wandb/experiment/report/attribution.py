"""Shapley values across runs: each run one observation, whatever its own precision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.content import SlotAttribution, SlotValue
from karn_wandb.records import Comparison
from karn_wandb.statistics import compare, correct

UNITS = {"accuracy": "percentage points", "loss": "loss"}
"""Unit of a game's value, by the metric it was played for."""

_EPISODE = ["run_id", "env_id", "episode_idx"]


def last_evaluated(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of every episode's last evaluated epoch."""
    return frame[frame["epoch"] == frame.groupby(_EPISODE)["epoch"].transform("max")]


def attribution(shapley: pd.DataFrame, states: Mapping[str, str], arms: Arms) -> tuple[SlotAttribution, ...]:
    """Mean over the finished runs of each arm, with the t interval of the mean (Student 1908), slot by slot.

    A run's own interval says how well that run was measured and nothing on other training seeds; the interval of the
    mean is between runs, and its p is corrected by Holm over the slots of the arm. A run in which a slot was not
    evaluated is no observation of that slot.

    Args:
        shapley: The experiment's Shapley values.
        states: State by run id.
        arms: Which run is in which arm; without arms all runs are taken together.
    """
    usable = shapley[shapley["run_id"].map(states).eq("finished") & np.isfinite(shapley["mean"])]
    last = last_evaluated(usable)
    label = last["run_id"].map(lambda run: arms.of_run.get(run, "")).rename("arm")
    order = [*arms.order(), ""]
    groups = [(str(arm), str(metric), rows) for (arm, metric), rows in last.groupby([label, "metric"], sort=True)]
    groups.sort(key=lambda group: order.index(group[0]))
    return tuple(slot for group in groups for slot in _arm(*group))


def _arm(arm: str, metric: str, rows: pd.DataFrame) -> list[SlotAttribution]:
    by_slot = {slot: _values(rows[rows["slot"] == slot]) for slot in dict.fromkeys(rows["slot"])}
    compared = {slot: _against_zero(values) for slot, values in by_slot.items()}
    adjusted = correct([found.p_value for found in compared.values()], method="holm")
    return [
        SlotAttribution(
            arm=arm,
            slot=slot,
            unit=UNITS.get(metric, ""),
            mean=float(np.mean([value.mean for value in values])),
            ci_low=compared[slot].ci_low,
            ci_high=compared[slot].ci_high,
            p=compared[slot].p_value,
            p_adjusted=q,
            runs=values,
        )
        for (slot, values), q in zip(by_slot.items(), adjusted, strict=True)
    ]


def _against_zero(values: tuple[SlotValue, ...]) -> Comparison:
    """The one-sample t test, which is the paired one against zeros."""
    return compare([value.mean for value in values], np.zeros(len(values)), paired=True)


def _values(rows: pd.DataFrame) -> tuple[SlotValue, ...]:
    return tuple(_value(str(run), part) for run, part in rows.groupby("run_id", sort=True))


def _value(run: str, rows: pd.DataFrame) -> SlotValue:
    """One run's value; several episodes are averaged, and have no interval of their own then."""
    single = rows.iloc[0] if len(rows) == 1 else None
    return SlotValue(
        run_id=run,
        epoch=int(rows["epoch"].max()),
        mean=float(rows["mean"].mean()),
        ci_low=None if single is None or pd.isna(single["ci_low"]) else float(single["ci_low"]),
        ci_high=None if single is None or pd.isna(single["ci_high"]) else float(single["ci_high"]),
        algorithm=", ".join(sorted(set(rows["algorithm"]))),
        exact=bool(rows["exact"].all()),
    )
