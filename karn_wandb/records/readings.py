"""What live analysis reads off the records of a run; each reading is a record itself."""

from __future__ import annotations

from karn_wandb.records._kinds import Count, Finite, NonNegative, Percent
from karn_wandb.records._record import Record, record
from karn_wandb.records.counterfactual import ShapleyEstimate


@record
class ClaimReading(Record):
    """Is it winning? Computed after an epoch, and only from what is known.

    Attributes:
        epoch: Epoch it was computed after.
        accuracy: Validation accuracy now, percent.
        baseline_accuracy: Accuracy of the paired host-only run at the same epoch, percent; None without such a run.
        accuracy_delta: `accuracy - baseline_accuracy`, percentage points.
        param_efficiency: (accuracy / parameters) over (baseline accuracy / host parameters). Rewards shrinking: never
            read it without the two accuracies.
    """

    epoch: Count
    accuracy: Percent | None = None
    baseline_accuracy: Percent | None = None
    accuracy_delta: Finite | None = None
    param_efficiency: NonNegative | None = None


@record
class HealthReport(Record):
    """State of the instrument and of the numbers it was given, after an epoch.

    Attributes:
        epoch: Epoch it was taken after.
        dropped_records: Records that could not be kept so far.
        non_finite_values: NaN and infinite observations so far; stored exactly, left out of W&B's scalars.
        sink_lag: Records that the slowest sink is behind.
        alerts: What needs attention, in words.
    """

    epoch: Count
    dropped_records: Count = 0
    non_finite_values: Count = 0
    sink_lag: Count = 0
    alerts: tuple[str, ...] = ()


@record
class SeedContributionSummary(Record):
    """What is known of a slot's part in the result, from the newest counterfactual matrix.

    Attributes:
        slot_id: The slot.
        epoch: Epoch of the matrix.
        shapley: Shapley value with its uncertainty; None when the matrix has none.
        marginal_contribution: Marginal contribution; `marginal_basis` says which kind.
        marginal_basis: "factorial_main_effect" or "removal_cost".
        seed_params: Parameters of the seed module at the newest epoch.
        blueprint_id: Its kind.
        claimed_positive: Whether the plain rule mean - 2*std > 0 holds.
    """

    slot_id: str
    epoch: Count
    shapley: ShapleyEstimate | None = None
    marginal_contribution: Finite | None = None
    marginal_basis: str = "none"
    seed_params: Count = 0
    blueprint_id: str | None = None
    claimed_positive: bool = False
