"""Values that come in clusters, such as the episodes of a run: the run is the unit, not the episode.

Episodes of one run share weights, a policy and a random seed, so they repeat each other; intervals over episodes as if each
were a run of its own are too narrow by the square root of the design effect. The plain remedy is the mean of each run, which
makes as many independent values as there are runs; the other is a standard error that lets the values of a cluster depend on
each other in any way.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.inputs import Floats, checked_values
from karn_wandb.statistics.intervals import MeanDifference, satterthwaite


@dataclass(frozen=True, slots=True)
class Clusters:
    """What clustered values are worth.

    Attributes:
        names: The clusters, in the order they first appear.
        means: Mean of each: the values that intervals and tests take.
        sizes: Values in each.
        between: Mean square between clusters (one-way analysis of variance); None with fewer than two.
        within: Mean square within them; None when no cluster has two values.
        correlation: Intraclass correlation, how much two values of one cluster have in common; at most 1, below 0 by chance
            (Fisher 1925; Donner 1986 for unequal sizes). None when it cannot be known.
        design_effect: How many times the variance of the mean is what independent values would give (Kish 1965), at least 1.
    """

    names: tuple[Hashable, ...]
    means: tuple[float, ...]
    sizes: tuple[int, ...]
    between: float | None
    within: float | None
    correlation: float | None
    design_effect: float | None

    @property
    def independent(self) -> bool:
        """Whether every value is a cluster of its own."""
        return max(self.sizes) == 1

    def caution(self, values: str = "episodes", clusters: str = "runs") -> str | None:
        """What a careful reader must know, in words; None when every value is a cluster of its own."""
        if self.independent:
            return None
        total = sum(self.sizes)
        counts = f"{total} {values} come from {len(self.sizes)} {clusters}: each of the {clusters} counts once, by its mean"
        if self.design_effect is None:
            return counts
        return f"{counts}; the {values} are worth {total / self.design_effect:.3g} independent ones"


def clustered(values: npt.ArrayLike, clusters: Sequence[Hashable]) -> Clusters:
    """Means of clusters, and how much their values repeat each other.

    Args:
        values: Shape (n,).
        clusters: The cluster of each value, such as its run's id.

    Raises:
        StatisticsError: Values are not finite numbers in one dimension, or there are not as many clusters.
    """
    numbers, index, names = _checked(values, clusters)
    sizes = np.bincount(index)
    means = np.array([math.fsum(numbers[index == cluster]) / size for cluster, size in enumerate(sizes)])
    total, count = numbers.size, sizes.size
    between = within = correlation = effect = None
    if total > count:
        within = float(np.sum((numbers - means[index]) ** 2)) / (total - count)
    if count > 1:
        between = float(sizes @ (means - numbers.mean()) ** 2) / (count - 1)
    if within is not None and between is not None:
        size = (total - float(sizes @ sizes) / total) / (count - 1)
        spread = between + (size - 1) * within
        correlation = (between - within) / spread if spread else None
        if correlation is not None:
            effect = 1 + (float(sizes @ sizes) / total - 1) * max(correlation, 0.0)
    return Clusters(names, tuple(means.tolist()), tuple(sizes.tolist()), between, within, correlation, effect)


def check_independent(clusters: Sequence[Hashable]) -> None:
    """Refuse to take several values of one cluster for independent ones: what an analysis by values must ask first.

    Raises:
        StatisticsError: A cluster has several values.
    """
    total, count = len(clusters), len(set(clusters))
    if count < total:
        raise StatisticsError(
            "values of one run are not independent of each other",
            got=f"{total} values of {count} {'run' if count == 1 else 'runs'}",
            do="Give each run once, by its mean: karn_wandb.statistics.clustered(values, runs).means.",
        )


def clustered_mean(values: npt.ArrayLike, clusters: Sequence[Hashable]) -> MeanDifference:
    """The mean of all values, against zero, with a cluster-robust standard error and clusters - 1 degrees of freedom.

    Liang & Zeger (1986) with the factor G / (G - 1); values of a cluster may depend on each other in any way. With clusters
    of equal size it is Student's t of the cluster means, exactly. Large clusters weigh more: mind whether a run should count
    for more because it had more episodes. For intervals: `karn_wandb.statistics.intervals.t_interval`.

    Raises:
        StatisticsError: As `clustered`, there are fewer than two clusters, or they have no spread.
    """
    found = _mean(values, clusters)
    if not found.standard_error:
        raise StatisticsError("without spread there is no test", do="Check that the runs are independent repetitions.")
    return found


def clustered_difference(
    treatment: npt.ArrayLike,
    treatment_clusters: Sequence[Hashable],
    control: npt.ArrayLike,
    control_clusters: Sequence[Hashable],
) -> MeanDifference:
    """The difference of two such means, of arms that share no cluster; degrees of freedom as in Welch's test.

    Raises:
        StatisticsError: As `clustered_mean`, a cluster is in both arms, or neither arm has any spread.
    """
    if both := set(treatment_clusters) & set(control_clusters):
        raise StatisticsError(
            "a cluster is in both arms", got=repr(min(both, key=str)), do="Take the difference within each run, and its mean."
        )
    first, second = _mean(treatment, treatment_clusters), _mean(control, control_clusters)
    if not first.standard_error + second.standard_error:
        raise StatisticsError("without spread there is no test", do="Check that the runs are independent repetitions.")
    return satterthwaite(
        first.delta - second.delta,
        first.standard_error**2,
        len(set(treatment_clusters)),
        second.standard_error**2,
        len(set(control_clusters)),
    )


def _mean(values: npt.ArrayLike, clusters: Sequence[Hashable]) -> MeanDifference:
    numbers, index, names = _checked(values, clusters)
    count = len(names)
    if count < 2:
        raise StatisticsError("one cluster has no spread to be seen", do="Give values of at least two runs.")
    mean = float(numbers.mean())
    sums = np.bincount(index, weights=numbers - mean)
    error = math.sqrt(count / (count - 1)) * float(np.linalg.norm(sums)) / numbers.size
    return MeanDifference(mean, error, count - 1)


def _checked(values: npt.ArrayLike, clusters: Sequence[Hashable]) -> tuple[Floats, npt.NDArray[np.int64], tuple[Hashable, ...]]:
    numbers = checked_values(values, "values")
    if len(clusters) != numbers.size:
        raise StatisticsError(
            "every value needs its cluster",
            got=f"{numbers.size} values and {len(clusters)} clusters",
            do="Pass the run of each value.",
        )
    names = tuple(dict.fromkeys(clusters))
    place = {name: position for position, name in enumerate(names)}
    return numbers, np.array([place[name] for name in clusters], dtype=np.int64), names
