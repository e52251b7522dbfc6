"""Learning curves: validation accuracy by epoch, of every run, and their means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.bands import MOST_POINTS, Bands, Epochs, Values, spaced
from karn_wandb.experiment.report.content import Curve, Curves

METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
"""What is shown: the first of these that any run logged."""

MOST_IN_ALL = 30_000
"""Points of all curves together: with more than a hundred runs each has fewer, down to `FEWEST_POINTS`."""

FEWEST_POINTS = 20


def curves(experiment: Experiment, states: Mapping[str, str], arms: Arms, decisions: Iterable[Decision]) -> Curves:
    """The learning curve of every run and episode, by arm and then by run, and the means with their bands.

    Args:
        experiment: The runs, whose epochs are gone through one run after the other.
        states: State by run id.
        arms: Which run is in which arm.
        decisions: The comparisons, of which the paired ones have a curve of differences.
    """
    order = {label: place for place, label in enumerate(arms.order())}
    compared = tuple(decisions)
    for metric in METRICS:
        logged = False
        found: list[Curve] = []
        bands = Bands(states, arms, compared)
        for epochs in experiment.epochs_by_run(metric):
            if epochs.empty:
                continue
            run = str(epochs["run_id"].iloc[0])
            logged = logged or bool(epochs[metric].notna().any())
            known = list(_episodes(run, epochs, metric))
            arm, finished = arms.of_run.get(run, ""), states.get(run) == "finished"
            found += [Curve(run, label, arm, finished, *_points(number, values)) for label, number, values in known]
            bands.add(run, [(number, values) for _, number, values in known])
        if logged:
            kept = min(MOST_POINTS, max(FEWEST_POINTS, MOST_IN_ALL // max(len(found), 1)))
            drawn = [_thinned(curve, kept) for curve in found]
            in_order = tuple(sorted(drawn, key=lambda curve: order.get(curve.arm, len(order))))
            return Curves(metric, in_order, bands.means(), bands.differences())
    return Curves("", (), (), ())


def _episodes(run: str, epochs: pd.DataFrame, metric: str) -> Iterator[tuple[str, Epochs, Values]]:
    """Label, epochs and finite values of each episode of a run that has any."""
    number = epochs["epoch"].to_numpy(np.int64)
    values = epochs[metric].to_numpy(np.float64)
    episodes = epochs[["env_id", "episode_idx"]].to_numpy(np.int64)
    begins = np.flatnonzero(np.any(np.diff(episodes, axis=0, prepend=-1), axis=1))  # they are sorted
    for begin, end in zip(begins, (*begins[1:], len(episodes)), strict=True):
        known = begin + np.flatnonzero(np.isfinite(values[begin:end]))
        if known.size:
            label = f"{run} {episodes[begin, 0]}/{episodes[begin, 1]}" if begins.size > 1 else run
            yield label, number[known], values[known]


def _points(number: Epochs, values: Values) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """At most `MOST_POINTS` of them."""
    kept = spaced(number.size, MOST_POINTS)
    return tuple(number[kept].tolist()), tuple(values[kept].tolist())


def _thinned(curve: Curve, most: int) -> Curve:
    points = list(zip(curve.epochs, curve.values, strict=True))
    epochs, values = zip(*(points[place] for place in spaced(len(points), most)), strict=True)
    return replace(curve, epochs=epochs, values=values)
