"""Mean learning curves with a band: by arm, and of the differences of pairs; a run is the unit, epoch by epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.report.arms import Arms
from karn_wandb.statistics.intervals import MeanDifference, t_interval

CONFIDENCE = 0.95
"""Of each epoch's interval; not of the whole curve."""

FEWEST = 3
"""Runs, or pairs, below which there is no mean curve."""

MOST_POINTS = 300
"""Epochs of a mean curve that are kept: evenly spaced, the first and the last among them."""

Epochs = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Band:
    """A mean at each epoch, with the t interval of that epoch's mean (Student 1908).

    Only epochs at which every curve has a value, so that the mean never moves because runs drop out.

    Attributes:
        curves: Curves it is the mean of.
        epochs: Epochs that all of them have, at most `MOST_POINTS`.
        mean: The mean at each.
        low: Lower end of its pointwise 95 % interval.
        high: Upper end of it.
    """

    curves: int
    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MeanCurve:
    """The mean learning curve of an arm's finished runs.

    Attributes:
        arm: Label of the arm, "" for all runs where there are no arms.
        band: The mean over runs.
    """

    arm: str
    band: Band


@dataclass(frozen=True, slots=True)
class DifferenceCurve:
    """The mean difference of pairs whose runs both finished, treatment minus control.

    Attributes:
        treatment: Label of the treatment arm.
        control: Label of the control arm.
        pair_by: What the runs were paired by.
        band: The mean over pairs.
    """

    treatment: str
    control: str
    pair_by: str
    band: Band


class Moments:
    """Mean and squared deviations of curves at the epochs all of them have, a curve at a time (Welford 1962)."""

    def __init__(self) -> None:
        self.curves = 0
        self.epochs: Epochs = np.empty(0, np.int64)
        self.mean: Values = np.empty(0)
        self._squares: Values = np.empty(0)

    def add(self, epochs: Epochs, values: Values) -> None:
        """Take a curve into account, whose epochs ascend; both of shape (n,)."""
        self.curves += 1
        if self.curves == 1:
            self.epochs, self.mean, self._squares = epochs, values.copy(), np.zeros(values.size)
            return
        if not np.array_equal(self.epochs, epochs):
            self.epochs, mine, theirs = np.intersect1d(self.epochs, epochs, assume_unique=True, return_indices=True)
            self.mean, self._squares, values = self.mean[mine], self._squares[mine], values[theirs]
        away = values - self.mean
        self.mean = self.mean + away / self.curves
        self._squares = self._squares + away * (values - self.mean)

    def half_width(self) -> Values:
        """Half of each epoch's t interval, of at least two curves."""
        error: Values = np.sqrt(self._squares / (self.curves - 1) / self.curves)
        return error * t_interval(MeanDifference(0.0, 1.0, self.curves - 1), CONFIDENCE)[1]

    def band(self) -> Band | None:
        """The mean and its intervals; None of too few curves, or where they have no epoch in common."""
        if self.curves < FEWEST or not self.epochs.size:
            return None
        kept = spaced(self.epochs.size, MOST_POINTS)
        mean, half = self.mean[kept], self.half_width()[kept]
        ends = (tuple((mean - half).tolist()), tuple((mean + half).tolist()))
        return Band(self.curves, tuple(self.epochs[kept].tolist()), tuple(mean.tolist()), *ends)


@dataclass(slots=True)
class _Paired:
    """Pairs of one comparison; of a pair the curve that came first waits for the other."""

    treatment: str
    control: str
    pair_by: str
    moments: Moments = field(default_factory=Moments)


class Bands:
    """Takes each run's curve once, and gives the mean curves: no run is held longer than until its partners have come.

    Args:
        states: State by run id; runs that did not finish are not taken.
        arms: Which run is in which arm.
        decisions: The comparisons; of those that are paired there is a curve of differences.
    """

    def __init__(self, states: Mapping[str, str], arms: Arms, decisions: Iterable[Decision]) -> None:
        self._states, self._arms = states, arms
        self._by_arm: defaultdict[str, Moments] = defaultdict(Moments)
        self._compared: dict[tuple[object, ...], _Paired] = {}
        self._partners: defaultdict[str, list[tuple[str, int, _Paired]]] = defaultdict(list)
        self._waiting: dict[str, tuple[Epochs, Values, int]] = {}  # its curve, and for how many partners it is kept
        for decision in decisions:
            self._compare(decision)

    def _compare(self, decision: Decision) -> None:
        found, claim = decision.aggregation, decision.claim
        finished = [(p.treatment_run, p.control_run) for p in found.pairs if self._finished(p.treatment_run, p.control_run)]
        treatment, control = self._arms.label(claim.treatment), self._arms.label(claim.control)
        key = (treatment, control, *finished)
        if not finished or key in self._compared:  # another claim on the same runs
            return
        compared = self._compared[key] = _Paired(treatment, control, found.pair_by or "")
        for treated, controlled in finished:
            self._partners[treated].append((controlled, 1, compared))
            self._partners[controlled].append((treated, -1, compared))

    def _finished(self, *runs: str) -> bool:
        return all(self._states.get(run) == "finished" for run in runs)

    def add(self, run: str, episodes: Sequence[tuple[Epochs, Values]]) -> None:
        """A run's curves, one an episode, which count once by their mean."""
        if not episodes or not self._finished(run):
            return
        own = Moments()
        for epochs, values in episodes:
            own.add(epochs, values)
        if run in self._arms.of_run or not self._arms.of_run:
            self._by_arm[self._arms.of_run.get(run, "")].add(own.epochs, own.mean)
        awaited = 0
        for partner, sign, compared in self._partners.pop(run, ()):
            if partner in self._waiting:
                epochs, values, left = self._waiting.pop(partner)
                common, mine, theirs = np.intersect1d(own.epochs, epochs, assume_unique=True, return_indices=True)
                compared.moments.add(common, sign * (own.mean[mine] - values[theirs]))
                if left > 1:
                    self._waiting[partner] = epochs, values, left - 1
            else:
                awaited += 1
        if awaited:
            self._waiting[run] = own.epochs, own.mean, awaited

    def means(self) -> tuple[MeanCurve, ...]:
        """One for each arm that has runs enough, in the arms' order; without arms one of all runs."""
        order = self._arms.order() or ("",)
        return tuple(MeanCurve(arm, band) for arm in order if arm in self._by_arm and (band := self._by_arm[arm].band()))

    def differences(self) -> tuple[DifferenceCurve, ...]:
        """One for each paired comparison that has pairs enough; comparisons of the same pairs share one."""
        return tuple(
            DifferenceCurve(c.treatment, c.control, c.pair_by, band)
            for c in self._compared.values()
            if (band := c.moments.band())
        )


def spaced(length: int, most: int) -> Epochs:
    """Places evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(np.int64))
