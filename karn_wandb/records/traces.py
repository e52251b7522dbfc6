"""Tier 3: what happened batch by batch, at gates and around anomalies."""

from __future__ import annotations

from dataclasses import field

from karn_wandb.errors import RecordError
from karn_wandb.records._kinds import Count, Finite, Fraction, NonNegative, Percent
from karn_wandb.records._record import Record, record
from karn_wandb.records.snapshots import Gate
from karn_wandb.records.stages import SeedStage, check_transition


@record
class DenseTraceTrigger(Record):
    """When a dense trace is taken (requirement, tier 3).

    Attributes:
        stage_transition: At every change of stage.
        loss_spike_threshold: Loss above this many times its rolling average.
        accuracy_drop_threshold: Accuracy lower than an epoch ago by more than this, percentage points.
        gradient_explosion: Gradient norm above this many times its typical value.
        gate_failure: When a gate G0 to G5 is not passed.
        value_collapse: When the critic predicts the same value everywhere.
        entropy_collapse: When the policy becomes deterministic.
        force_dense: Always (research mode).
        non_finite: When a loss, gradient norm or PPO statistic is NaN or infinite.
        dead_layer: When a layer stops producing or receiving anything.
    """

    stage_transition: bool = True
    loss_spike_threshold: NonNegative = 2.0
    accuracy_drop_threshold: NonNegative = 5.0
    gradient_explosion: NonNegative = 100.0
    gate_failure: bool = True
    value_collapse: bool = True
    entropy_collapse: bool = True
    force_dense: bool = False
    non_finite: bool = True
    dead_layer: bool = True


@record
class BatchMetrics(Record):
    """One training batch (requirement, tier 3).

    Attributes:
        epoch: Epoch the batch belongs to, from 1.
        batch_idx: Index in that epoch, from 0.
        loss: Training loss, any float.
        accuracy: Training accuracy, percent; None where the task has none.
        host_grad_norm: L2 norm of the host's gradients, any float.
        seed_grad_norms: The same for each slot's seed module.
        isolation_leakage: L2 norm of the gradient that crossed an isolation barrier; None when not monitored.
    """

    epoch: Count
    batch_idx: Count
    loss: float
    accuracy: Percent | None = None
    host_grad_norm: float | None = None
    seed_grad_norms: dict[str, float] = field(default_factory=dict)
    isolation_leakage: float | None = None


@record
class GateEvaluationTrace(Record):
    """One check of a gate, with its internals.

    The requirement names the type and leaves the members open; these are what the original project emits
    (esper-lite, SEED_GATE_EVALUATED), with the numbers it hides in texts as `measurements` and `thresholds`.

    Attributes:
        slot_id: The slot.
        gate: G0 to G5.
        passed: Whether every check held.
        target_stage: Stage that passing leads to; None for G4, which leads to none.
        epoch: Epoch of the check, from 1.
        seed_id: The seed module, None for G0.
        checks_passed: Names of the checks that held.
        checks_failed: Names of the checks that did not.
        measurements: What was measured, by name of check, any float.
        thresholds: What it was measured against, by name of check.
        message: The result in words.
    """

    slot_id: str
    gate: Gate
    passed: bool
    target_stage: SeedStage | None = None
    epoch: Count | None = None
    seed_id: str | None = None
    checks_passed: tuple[str, ...] = ()
    checks_failed: tuple[str, ...] = ()
    measurements: dict[str, float] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    message: str = ""

    def _check(self) -> None:
        if self.passed and self.checks_failed:
            raise RecordError(
                f"gate {self.gate} of slot {self.slot_id!r} cannot be passed with failed checks",
                got=", ".join(self.checks_failed),
                do="A gate is passed when all of its checks hold.",
            )


@record
class StageTransition(Record):
    """A seed module's change of stage; payload of the SEED_* events.

    Attributes:
        slot_id: The slot.
        from_stage: Stage before.
        to_stage: Stage after; must be a legal successor.
        epoch: Epoch of the change.
        seed_id: The seed module.
        blueprint_id: Its kind.
        seed_params: Its parameters, None when not measured.
        alpha: Its blend coefficient after the change, 0 to 1; None when not measured.
        total_improvement: Accuracy now minus at germination, percentage points.
        counterfactual_contribution: Removal cost at the change, percentage points.
        initiator: Who decided: "heuristic", "policy", "automatic" or the user's word.
        reason: Why, in words.
    """

    slot_id: str
    from_stage: SeedStage
    to_stage: SeedStage
    epoch: Count | None = None
    seed_id: str | None = None
    blueprint_id: str | None = None
    seed_params: Count | None = None
    alpha: Fraction | None = None
    total_improvement: Finite | None = None
    counterfactual_contribution: Finite | None = None
    initiator: str = ""
    reason: str = ""

    def _check(self) -> None:
        check_transition(self.slot_id, self.from_stage, self.to_stage)


@record
class DenseTrace(Record):
    """Everything captured around an anomaly or event (requirement, tier 3).

    Attributes:
        trigger_reason: "loss_spike", "gate_failure" and so on.
        window_start_epoch: First epoch of the window.
        window_end_epoch: Last epoch of the window.
        batch_metrics: The batches of the window, those before the trigger too.
        gradient_histograms: Counts per bin, by layer.
        gradient_flow: Root mean square of the gradient by layer, over the window, any float.
        activation_means: Mean activation by layer.
        activation_stds: Standard deviation of activations by layer.
        dead_neuron_counts: Units that never fired, by layer.
        gate_evaluation_details: The gate's internals, when a gate was the trigger.
        histogram_edges: Bin edges, one more than bins, by layer.
        gradient_zeros: Gradient elements that were exactly zero, by layer; they are in the bin around zero, too.
        gradient_non_finite: Gradient elements that were NaN or infinite, by layer; they are in no bin.
        cause: What tripped the trigger: the measured value, what it was compared with, and the threshold, by name.
        message: The cause in words.
    """

    trigger_reason: str
    window_start_epoch: Count
    window_end_epoch: Count
    batch_metrics: tuple[BatchMetrics, ...] = ()
    gradient_histograms: dict[str, tuple[float, ...]] = field(default_factory=dict)
    gradient_flow: dict[str, float] = field(default_factory=dict)
    activation_means: dict[str, float] = field(default_factory=dict)
    activation_stds: dict[str, float] = field(default_factory=dict)
    dead_neuron_counts: dict[str, Count] = field(default_factory=dict)
    gate_evaluation_details: GateEvaluationTrace | None = None
    histogram_edges: dict[str, tuple[float, ...]] = field(default_factory=dict)
    gradient_zeros: dict[str, Count] = field(default_factory=dict)
    gradient_non_finite: dict[str, Count] = field(default_factory=dict)
    cause: dict[str, float] = field(default_factory=dict)
    message: str = ""

    @property
    def epoch(self) -> int:
        """The epoch it is of, as other records have it: the last of its window."""
        return self.window_end_epoch

    def _check(self) -> None:
        if self.window_end_epoch < self.window_start_epoch:
            raise RecordError(
                "DenseTrace's window must not end before it starts",
                got=f"epochs {self.window_start_epoch} to {self.window_end_epoch}",
            )
        for layer, edges in self.histogram_edges.items():
            bins = len(self.gradient_histograms.get(layer, ()))
            if len(edges) != bins + 1:
                raise RecordError(
                    f"DenseTrace.histogram_edges[{layer!r}] must have one edge more than there are bins",
                    got=f"{len(edges)} edges for {bins} bins",
                )
