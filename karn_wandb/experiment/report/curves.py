"""Learning curves: validation accuracy by epoch, of every run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.content import Curve, Curves

METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
"""What is shown: the first of these that any run logged."""

MOST_POINTS = 300
"""Points of a longer curve that are kept: evenly spaced, the last epoch among them."""


def curves(epochs: pd.DataFrame, states: Mapping[str, str], arms: Arms) -> Curves:
    """The learning curve of every run and episode, by arm and then by run.

    Args:
        epochs: The experiment's epochs.
        states: State by run id.
        arms: Which run is in which arm.
    """
    metric = next((m for m in METRICS if m in epochs.columns and epochs[m].notna().any()), "")
    if not metric:
        return Curves("", ())
    rows = epochs[np.isfinite(epochs[metric])].sort_values("epoch", kind="stable")
    counted = epochs.groupby(["run_id", "env_id", "episode_idx"]).size().groupby("run_id").size()
    several = {str(run) for run, episodes in counted.items() if episodes > 1}
    order = {label: place for place, label in enumerate(arms.order())}
    found = []
    for (run, env, episode), part in rows.groupby(["run_id", "env_id", "episode_idx"], sort=True):
        label = f"{run} {env}/{episode}" if run in several else str(run)
        arm, finished = arms.of_run.get(str(run), ""), states.get(str(run)) == "finished"
        found.append(Curve(str(run), label, arm, finished, *_points(part["epoch"], part[metric])))
    return Curves(metric, tuple(sorted(found, key=lambda curve: order.get(curve.arm, len(order)))))


def _points(epochs: pd.Series[int], values: pd.Series[float]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    kept = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), MOST_POINTS)).round().astype(int))
    return tuple(int(epoch) for epoch in epochs.iloc[kept]), tuple(float(value) for value in values.iloc[kept])
