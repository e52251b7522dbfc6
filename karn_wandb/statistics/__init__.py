"""Arms compared, and p-values looked at together: arrays in, results out; nothing is read, written or drawn unseeded.

`compare` gives the verdict. Beside it: plans and their power, several tasks at once, looks at a running comparison, ratios,
and values that come in clusters. When to use which: docs/statistics.md.
"""

from karn_wandb.statistics.clusters import (
    Clusters,
    check_independent,
    clustered,
    clustered_difference,
    clustered_mean,
)
from karn_wandb.statistics.compare import compare
from karn_wandb.statistics.confidence_sequence import anytime_interval
from karn_wandb.statistics.improvement import BAR, Improvement, meaning, probability_of_improvement
from karn_wandb.statistics.intervals import MeanDifference, paired_difference, t_interval, welch_difference
from karn_wandb.statistics.multiplicity import correct
from karn_wandb.statistics.power import (
    minimum_detectable_delta,
    paired_plan,
    power_of_difference,
    power_of_equivalence,
    power_of_non_inferiority,
    required_runs,
    unpaired_plan,
)
from karn_wandb.statistics.profiles import Profile, performance_profile
from karn_wandb.statistics.ratio import Ratio, ratio_of_means
from karn_wandb.statistics.sequential import Look, looks, spent
from karn_wandb.statistics.tasks import TaskEstimate, difference_over_tasks, improvement_over_tasks, over_tasks

__all__ = [
    "BAR",
    "Clusters",
    "Improvement",
    "Look",
    "MeanDifference",
    "Profile",
    "Ratio",
    "TaskEstimate",
    "anytime_interval",
    "check_independent",
    "clustered",
    "clustered_difference",
    "clustered_mean",
    "compare",
    "correct",
    "difference_over_tasks",
    "improvement_over_tasks",
    "looks",
    "meaning",
    "minimum_detectable_delta",
    "over_tasks",
    "paired_difference",
    "paired_plan",
    "performance_profile",
    "power_of_difference",
    "power_of_equivalence",
    "power_of_non_inferiority",
    "probability_of_improvement",
    "ratio_of_means",
    "required_runs",
    "spent",
    "t_interval",
    "unpaired_plan",
    "welch_difference",
]
