"""The five questions, live: what one episode shows so far, and never more than that."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

from karn_wandb.analysis.contributions import ContributionPoint, Contributions
from karn_wandb.analysis.lifecycle import occupied
from karn_wandb.analysis.policy import PolicyAnalyzer
from karn_wandb.attribution.onset import Period
from karn_wandb.records import (
    ClaimReading,
    CounterfactualMatrix,
    EpochSnapshot,
    HealthReport,
    HostBaseline,
    InteractionEstimate,
    PolicyComparisonSummary,
    PolicySnapshot,
    Record,
    SeedContributionSummary,
    ShapleyEstimate,
)


class MorphogeneticAnalytics:
    """Readings of one episode, brought up to date by every record.

    A reading that has nothing to rest on is None: without a host-only run there is no accuracy delta.

    Args:
        max_epochs: Epochs remembered for trajectories.
    """

    def __init__(self, max_epochs: int = 1000) -> None:
        self.baseline: HostBaseline | None = None
        self.latest: EpochSnapshot | None = None
        self.measured: EpochSnapshot | None = None
        self.matrix: CounterfactualMatrix | None = None
        self.health: HealthReport | None = None
        self.policy = PolicyAnalyzer()
        self.best_accuracy: float | None = None
        self.reward_total: float | None = None
        self._accuracies: deque[tuple[int, float]] = deque(maxlen=max_epochs)
        self._contributions = Contributions(max_epochs)

    def observe(self, record: Record) -> None:
        """Take a record into account."""
        match record:
            case HostBaseline():
                self.baseline = record
            case EpochSnapshot():
                self._observe_epoch(record)
            case CounterfactualMatrix():
                self.matrix = record
                self._contributions.observe_matrix(record)
            case PolicySnapshot():
                self.policy.observe(record)
                if record.reward_total is not None:
                    self.reward_total = (self.reward_total or 0.0) + record.reward_total
            case HealthReport():
                self.health = record
            case _:
                pass

    def _observe_epoch(self, snapshot: EpochSnapshot) -> None:
        self.latest = snapshot
        self._contributions.observe_epoch(snapshot)
        accuracy = snapshot.host.val_accuracy
        if accuracy is not None:
            self.measured = snapshot
            self._accuracies.append((snapshot.epoch, accuracy))
            self.best_accuracy = accuracy if self.best_accuracy is None else max(self.best_accuracy, accuracy)

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        return self.latest.epoch if self.latest else 0

    @property
    def current_accuracy(self) -> float | None:
        """Validation accuracy of the newest epoch that measured one, percent."""
        return self.measured.host.val_accuracy if self.measured else None

    def host_baseline_accuracy(self, epoch: int | None = None) -> float | None:
        """Accuracy of the paired host-only run, percent; at an epoch if its trajectory is known, else at its end."""
        if self.baseline is None:
            return None
        if epoch in self.baseline.host_only_trajectory:
            return self.baseline.host_only_trajectory[epoch]
        return None if self.baseline.host_only_trajectory and epoch is not None else self.baseline.final_host_only_accuracy

    def accuracy_delta(self) -> float | None:
        """Accuracy now minus the paired host-only run's at the same epoch, percentage points."""
        accuracy, baseline = self._accuracies_now()
        return None if accuracy is None or baseline is None else accuracy - baseline

    def accuracy_trajectory(self) -> list[tuple[int, float, float | None]]:
        """(epoch, accuracy, accuracy of the host-only run at that epoch) over time, percent."""
        return [(epoch, accuracy, self.host_baseline_accuracy(epoch)) for epoch, accuracy in self._accuracies]

    def params_efficiency_ratio(self) -> float | None:
        """Accuracy per parameter over the host-only run's; above 1 is more accuracy per parameter.

        (accuracy / total parameters) / (baseline accuracy / host parameters), as in the requirement. It rewards
        shrinking, so it is never shown without the two accuracies.
        """
        accuracy, baseline = self._accuracies_now()
        if self.measured is None or accuracy is None or not baseline:
            return None
        host, total = self.measured.host.host_params, self.measured.host.total_params
        if not host or not total:
            return None
        ratio = (accuracy / baseline) * (host / total)
        return ratio if math.isfinite(ratio) else None

    def equivalent_traditional_params(self) -> int | None:
        """Parameters of a host-only model with our accuracy, read off the curve through host-only models of several sizes.

        Rests on `HostBaseline.host_only_sizes`, the final accuracies of host-only models, and on the accuracy now:
        before the end of training it says how large a model we have already caught up with. It has no interval: the report
        gives the same number with one. None without an accuracy, with fewer than four sizes, and when the accuracy is
        outside what those sizes reach: nothing is extrapolated.

        Raises:
            StatisticsError: A size is below 1 parameter.
        """
        accuracy = self.current_accuracy
        if self.baseline is None or accuracy is None or not self.baseline.host_only_sizes:
            return None
        from karn_wandb.statistics.scaling import equivalent_params  # noqa: PLC0415 -- scipy takes a while to load

        params = equivalent_params(self.baseline.host_only_sizes, accuracy)
        return None if params is None else round(params)

    def _accuracies_now(self) -> tuple[float | None, float | None]:
        """Ours and the host-only run's, at the newest epoch that measured ours."""
        if self.measured is None:
            return None, None
        return self.measured.host.val_accuracy, self.host_baseline_accuracy(self.measured.epoch)

    def claim_reading(self) -> ClaimReading | None:
        """The two primary metrics after the newest epoch; None before the first."""
        if self.latest is None:
            return None
        reading = ClaimReading(self.latest.epoch, baseline_accuracy=self.host_baseline_accuracy(self.latest.epoch))
        if self.measured is not self.latest:  # nothing was measured in this epoch
            return reading
        return replace(
            reading,
            accuracy=self.current_accuracy,
            accuracy_delta=self.accuracy_delta(),
            param_efficiency=self.params_efficiency_ratio(),
        )

    def seed_contributions(self) -> dict[str, SeedContributionSummary]:
        """What the newest counterfactual matrix says of each slot: removal cost now, not causal contribution."""
        if self.matrix is None:
            return {}
        slots = self.latest.slots if self.latest else {}
        claimed = self.matrix.positive_claims()
        return {
            slot_id: SeedContributionSummary(
                slot_id=slot_id,
                epoch=self.matrix.epoch,
                shapley=(self.matrix.shapley_values or {}).get(slot_id),
                marginal_contribution=self.matrix.marginal_contributions.get(slot_id),
                marginal_basis=self.matrix.marginal_basis,
                seed_params=slots[slot_id].seed_params if slot_id in slots else 0,
                blueprint_id=slots[slot_id].blueprint_id if slot_id in slots else None,
                claimed_positive=slot_id in claimed,
            )
            for slot_id in self.matrix.slot_ids
        }

    def active_slots(self) -> tuple[str, ...]:
        """Slots that hold a seed module at the newest epoch."""
        return occupied(self.latest.slots) if self.latest else ()

    def action_distribution(self) -> dict[str, float]:
        """Fraction of the decisions that chose each op."""
        return self.policy.action_distribution()

    def policy_vs_heuristic(self) -> PolicyComparisonSummary:
        """How often the policy does what the shadow heuristic would have done, and what that would have brought."""
        return self.policy.comparison()

    def training_health(self) -> HealthReport | None:
        """The health report of the newest epoch; None before the first."""
        return self.health

    def shapley_by_epoch(self) -> dict[int, dict[str, ShapleyEstimate]]:
        """The Shapley values of each epoch that was evaluated, of two evaluations the newer, by increasing epoch."""
        return self._contributions.shapley_by_epoch()

    def contribution_onset_epoch(self, slot_id: str, threshold: float = 0.5) -> int | None:
        """First epoch from which the slot's Shapley value stays above the threshold (review, P3-14).

        "Stays" is three evaluations in a row, each with its interval's lower end (where there is one) above the
        threshold: a null slot crosses a threshold by chance once in a while. An evaluation without the slot ends a run.
        """
        periods = self.contribution_periods(slot_id, threshold, threshold)
        return periods[0].onset if periods else None

    def contribution_periods(self, slot_id: str, threshold: float = 0.5, off_threshold: float = 0.25) -> tuple[Period, ...]:
        """The times in which the slot contributed: each begins with an onset and goes on while the value only dips.

        A period ends with three evaluations in a row whose value is below `off_threshold`, or that lack the slot.

        Raises:
            AttributionError: `off_threshold` is above the threshold.
        """
        return self._contributions.periods(slot_id, threshold, off_threshold)

    def contribution_trajectory(self, slot_id: str) -> list[ContributionPoint]:
        """The slot's value at each evaluated epoch, with its uncertainty, removal cost, alpha and stage as far as known."""
        return self._contributions.trajectory(slot_id)

    def interaction_trajectory(self, slot_id: str, other: str) -> list[tuple[int, InteractionEstimate]]:
        """(epoch, interaction with its regime) of two slots, in whatever order they are named."""
        return self._contributions.interactions(slot_id, other)
