"""Learning curves: validation accuracy by epoch, of every run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.content import Curve, Curves

METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
"""What is shown: the first of these that any run logged."""

MOST_POINTS = 300
"""Points of a longer curve that are kept: evenly spaced, the last epoch among them."""

MOST_IN_ALL = 30_000
"""Points of all curves together: with more than a hundred runs each has fewer, down to `FEWEST_POINTS`."""

FEWEST_POINTS = 20


def curves(experiment: Experiment, states: Mapping[str, str], arms: Arms) -> Curves:
    """The learning curve of every run and episode, by arm and then by run.

    Args:
        experiment: The runs, whose epochs are gone through one run after the other.
        states: State by run id.
        arms: Which run is in which arm.
    """
    order = {label: place for place, label in enumerate(arms.order())}
    for metric in METRICS:
        logged = False
        found: list[Curve] = []
        for epochs in experiment.epochs_by_run(metric):
            logged = logged or bool(epochs[metric].notna().any())
            found += _of_run(epochs, metric, states, arms)
        if logged:
            kept = min(MOST_POINTS, max(FEWEST_POINTS, MOST_IN_ALL // max(len(found), 1)))
            drawn = [_thinned(curve, kept) for curve in found]
            return Curves(metric, tuple(sorted(drawn, key=lambda curve: order.get(curve.arm, len(order)))))
    return Curves("", ())


def _of_run(epochs: pd.DataFrame, metric: str, states: Mapping[str, str], arms: Arms) -> Iterator[Curve]:
    """The curve of each episode of a run."""
    if epochs.empty:
        return
    run = str(epochs["run_id"].iloc[0])
    number = epochs["epoch"].to_numpy(np.int64)
    values = epochs[metric].to_numpy(np.float64)
    episodes = epochs[["env_id", "episode_idx"]].to_numpy(np.int64)
    begins = np.flatnonzero(np.any(np.diff(episodes, axis=0, prepend=-1), axis=1))  # they are sorted
    arm, finished = arms.of_run.get(run, ""), states.get(run) == "finished"
    for begin, end in zip(begins, (*begins[1:], len(episodes)), strict=True):
        known = begin + np.flatnonzero(np.isfinite(values[begin:end]))
        if known.size:
            label = f"{run} {episodes[begin, 0]}/{episodes[begin, 1]}" if begins.size > 1 else run
            known = known[_spaced(known.size, MOST_POINTS)]
            yield Curve(run, label, arm, finished, tuple(number[known].tolist()), tuple(values[known].tolist()))


def _thinned(curve: Curve, most: int) -> Curve:
    points = list(zip(curve.epochs, curve.values, strict=True))
    epochs, values = zip(*(points[place] for place in _spaced(len(points), most)), strict=True)
    return replace(curve, epochs=epochs, values=values)


def _spaced(length: int, most: int) -> npt.NDArray[np.int64]:
    """Places evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(np.int64))
