"""The five questions, live: what one episode shows so far, and never more than that."""

from __future__ import annotations

from collections import Counter, deque

from karn_wandb.analysis.lifecycle import occupied
from karn_wandb.attribution.onset import contribution_onset_epoch
from karn_wandb.records import (
    ClaimReading,
    CounterfactualMatrix,
    EpochSnapshot,
    HostBaseline,
    PolicySnapshot,
    Record,
    SeedContributionSummary,
)

ONSET_EPOCHS = 3


class MorphogeneticAnalytics:
    """Readings of one episode, brought up to date by every record.

    A reading that has nothing to rest on is None: without a host-only run there is no accuracy delta.

    Args:
        max_epochs: Epochs remembered for trajectories.
    """

    def __init__(self, max_epochs: int = 1000) -> None:
        self.baseline: HostBaseline | None = None
        self.latest: EpochSnapshot | None = None
        self.matrix: CounterfactualMatrix | None = None
        self.epochs = 0
        self.best_accuracy: float | None = None
        self.reward_total: float | None = None
        self._accuracies: deque[tuple[int, float]] = deque(maxlen=max_epochs)
        self._matrices: deque[CounterfactualMatrix] = deque(maxlen=max_epochs)
        self._actions: Counter[str] = Counter()

    def observe(self, record: Record) -> None:
        """Take a record into account."""
        match record:
            case HostBaseline():
                self.baseline = record
            case EpochSnapshot():
                self._observe_epoch(record)
            case CounterfactualMatrix():
                self.matrix = record
                self._matrices.append(record)
            case PolicySnapshot():
                self._actions[record.action.op] += 1
                if record.reward_total is not None:
                    self.reward_total = (self.reward_total or 0.0) + record.reward_total
            case _:
                pass

    def _observe_epoch(self, snapshot: EpochSnapshot) -> None:
        self.latest = snapshot
        self.epochs += snapshot.epoch > 0
        accuracy = snapshot.host.val_accuracy
        if accuracy is not None:
            self._accuracies.append((snapshot.epoch, accuracy))
            self.best_accuracy = accuracy if self.best_accuracy is None else max(self.best_accuracy, accuracy)

    @property
    def current_accuracy(self) -> float | None:
        """Validation accuracy of the newest epoch, percent."""
        return self._accuracies[-1][1] if self._accuracies else None

    def host_baseline_accuracy(self, epoch: int | None = None) -> float | None:
        """Accuracy of the paired host-only run, percent; at an epoch if its trajectory is known, else at its end."""
        if self.baseline is None:
            return None
        if epoch in self.baseline.host_only_trajectory:
            return self.baseline.host_only_trajectory[epoch]
        return None if self.baseline.host_only_trajectory and epoch is not None else self.baseline.final_host_only_accuracy

    def accuracy_delta(self) -> float | None:
        """Accuracy now minus the paired host-only run's at the same epoch, percentage points."""
        if not self._accuracies:
            return None
        epoch, accuracy = self._accuracies[-1]
        baseline = self.host_baseline_accuracy(epoch)
        return None if baseline is None else accuracy - baseline

    def accuracy_trajectory(self) -> list[tuple[int, float, float | None]]:
        """(epoch, accuracy, accuracy of the host-only run at that epoch) over time, percent."""
        return [(epoch, accuracy, self.host_baseline_accuracy(epoch)) for epoch, accuracy in self._accuracies]

    def params_efficiency_ratio(self) -> float | None:
        """Accuracy per parameter over the host-only run's; above 1 is more accuracy per parameter.

        (accuracy / total parameters) / (baseline accuracy / host parameters), as in the requirement. It rewards
        shrinking, so it is never shown without the two accuracies.
        """
        if self.latest is None or not self._accuracies:
            return None
        epoch, accuracy = self._accuracies[-1]
        baseline = self.host_baseline_accuracy(epoch)
        host, total = self.latest.host.host_params, self.latest.host.total_params
        if not baseline or not host or not total:
            return None
        return (accuracy / total) / (baseline / host)

    def claim_reading(self) -> ClaimReading | None:
        """The two primary metrics after the newest epoch; None before the first."""
        if self.latest is None:
            return None
        return ClaimReading(
            epoch=self.latest.epoch,
            accuracy=self.latest.host.val_accuracy,
            baseline_accuracy=self.host_baseline_accuracy(self.latest.epoch),
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
        total = self._actions.total()
        return {op: count / total for op, count in sorted(self._actions.items())}

    def contribution_onset_epoch(self, slot_id: str, threshold: float = 0.5) -> int | None:
        """First epoch from which the slot's Shapley value stays above the threshold (review, P3-14).

        "Stays" is three evaluations in a row, each with its interval's lower end (where there is one) above the
        threshold: a null slot crosses a threshold by chance once in a while.
        """
        points = [
            (m.epoch, m.shapley_values[slot_id]) for m in self._matrices if m.shapley_values and slot_id in m.shapley_values
        ]
        means = [estimate.mean for _, estimate in points]
        lower = [estimate.mean if estimate.ci_low is None else estimate.ci_low for _, estimate in points]
        return contribution_onset_epoch([epoch for epoch, _ in points], means, threshold, lower=lower, consecutive=ONSET_EPOCHS)
