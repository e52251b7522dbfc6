"""What live analysis reads off the records of a run; each reading is a record itself."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from karn_wandb.records._kinds import Count, Finite, Fraction, NonNegative, Percent
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
        alerts: What needs attention now, in words, cooling down or not.
        status: "healthy"; "warning" when something needs attention; "critical" when records are lost or numbers are not finite.
        mode: How much is captured at the moment.
        triggers: How often each dense-trace trigger fired so far.
    """

    epoch: Count
    dropped_records: Count = 0
    non_finite_values: Count = 0
    sink_lag: Count = 0
    alerts: tuple[str, ...] = ()
    status: Literal["healthy", "warning", "critical"] = "healthy"
    mode: Literal["standard", "research"] = "standard"
    triggers: dict[str, Count] = field(default_factory=dict)


@record
class Alert(Record):
    """Something to be told at once; the same kind is told again only when it has cooled down.

    Attributes:
        kind: What it is about, such as "loss_spike" or "kl_divergence".
        text: What happened and what to do, in words.
        epoch: Epoch in training when it was raised.
        level: How bad.
    """

    kind: str
    text: str
    epoch: Count
    level: Literal["info", "warning", "error"] = "warning"


@record
class PolicyComparisonSummary(Record):
    """How often the policy does what the shadow heuristic would have done.

    Attributes:
        decisions: Decisions that carry the heuristic's action.
        agreements: Those in which both chose the same action in every head the heuristic filled.
        agreement_rate: `agreements / decisions`, 0 to 1; None without decisions.
        ci_low: Lower end of its 95 % Wilson interval.
        ci_high: Upper end.
        op_agreements: Decisions in which both chose the same op.
        disagreements: How often, by "POLICY_OP instead of HEURISTIC_OP".
        reward_agreeing: Mean reward of the decisions that agree; None without rewards.
        reward_disagreeing: Mean reward of the others. An association, not what disagreeing causes.
        regrets: Disagreements whose regret was measured, and is finite.
        regret_mean: Mean of these regrets, in reward units; positive where the heuristic's actions, each by itself in place of
            the policy's, would have been better. None without any.
        regret_ci_low: Lower end of its 95 % t interval; None below three, or without spread. Decisions of one episode are not
            independent, so it is too narrow rather than too wide.
        regret_ci_high: Upper end.
    """

    decisions: Count = 0
    agreements: Count = 0
    agreement_rate: Fraction | None = None
    ci_low: Fraction | None = None
    ci_high: Fraction | None = None
    op_agreements: Count = 0
    disagreements: dict[str, Count] = field(default_factory=dict)
    reward_agreeing: float | None = None
    reward_disagreeing: float | None = None
    regrets: Count = 0
    regret_mean: float | None = None
    regret_ci_low: float | None = None
    regret_ci_high: float | None = None


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
