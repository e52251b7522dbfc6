"""When something happened in an episode that deserves a dense trace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from karn_wandb.analysis.baselines import BATCHES, EPOCHS, Alive, Baselines, Excess, Falls, Interruptions, Pace
from karn_wandb.analysis.ppo import EntropyCollapse, ValueCollapse
from karn_wandb.analysis.sanity import must_be_finite
from karn_wandb.records import (
    OCCUPIED,
    BatchMetrics,
    DenseTraceTrigger,
    EpochSnapshot,
    GateEvaluationTrace,
    HostSnapshot,
    LayerStatistics,
    PolicySnapshot,
    PPOUpdate,
    Record,
    SeedStage,
    SlotSnapshot,
    StageTransition,
)

OVERFLOWS = 5
DEAD_BATCHES = 20
OF_A_DECISION = ("value_estimate", "entropy", "kl_divergence")

_Move = tuple[SeedStage | None, SeedStage]


@dataclass(frozen=True, slots=True)
class Firing:
    """A trigger that fired.

    Attributes:
        reason: Which, such as "loss_spike"; `TriggerWatch` lists them.
        epoch: Epoch of the record it fired at.
        message: What happened, in words.
        cause: What was measured, what it was compared with and the threshold, by name.
        gate: The gate's internals, for "gate_failure".
    """

    reason: str
    epoch: int
    message: str
    cause: dict[str, float] = field(default_factory=dict)
    gate: GateEvaluationTrace | None = None


class TriggerWatch:
    """The triggers of one episode. A new episode needs a new watch: a jump between episodes is no anomaly.

    - "stage_transition": a `StageTransition`; or a slot whose stage in an epoch snapshot is another than before, if
      no event told. What the first snapshot shows is the beginning, no change.
    - "gate_failure": a gate that was not passed. A gate that the same seed module fails again is the same failure,
      until it is passed or the slot changes stage: controllers try it every epoch.
    - "loss_spike": a batch loss above `loss_spike_threshold` times its rolling average; losses of epochs are looked
      at when no batches are logged. "gradient_explosion": the same with the gradient norms of the host and of each
      seed module, `gradient_explosion` and the rolling median. `Baseline` says what else is asked for, and when it
      is over; it needs 20 batches, or 3 epochs. A seed module's norm starts over with every stage: alpha scales it.
    - "accuracy_drop": validation accuracy more than `accuracy_drop_threshold` percentage points below the one before;
      epochs of one long fall are one (`Falls`).
    - "non_finite": a loss or PPO statistic, at once; gradient norms in `OVERFLOWS` = 5 batches in a row, because
      mixed-precision loss scaling overflows now and then by design. Explained variance and value NRMSE do not count:
      they divide by the variance of the returns, which may be 0. Fires again after 5 finite batches, or one finite
      epoch or update.
    - "dead_layer": a layer with a gradient gets exactly none, or a layer that fired has no unit that does, in whole
      stretches of at least `DEAD_BATCHES` = 20 batches. A layer without gradient (frozen, removed) is not dead, nor
      one whose slot is empty or changed stage since the layer was alive. Fires again when it has been alive.
    - "value_collapse", "entropy_collapse": as `ValueCollapse` and `EntropyCollapse` say.

    Args:
        trigger: Thresholds, and which triggers are off. `force_dense` is a mode and fires nothing.
    """

    def __init__(self, trigger: DenseTraceTrigger) -> None:
        self._trigger = trigger
        self._epoch = 0
        self._batches_seen = self._decisions_seen = False
        self._batch_spikes, self._epoch_spikes = _Spikes(trigger, BATCHES), _Spikes(trigger, EPOCHS)
        self._accuracy = Falls(trigger.accuracy_drop_threshold)
        self._training = Interruptions(loss=(1, BATCHES.calm), gradients=(OVERFLOWS, BATCHES.calm), epoch=(1, 1))
        self._updates = Interruptions(PPOUpdate=(1, 1), PolicySnapshot=(1, 1))
        self._stages = _Stages()
        self._failed: set[tuple[str, str, str | None]] = set()
        self._gradients, self._activations = Alive(DEAD_BATCHES), Alive(DEAD_BATCHES)
        self._value, self._entropy = ValueCollapse(), EntropyCollapse()

    def observe(self, record: Record) -> tuple[Firing, ...]:
        """Take a record into account; what fires with it."""
        found: Iterable[Firing] = ()
        match record:
            case BatchMetrics():
                found = self._observe_batch(record)
            case EpochSnapshot():
                found = self._observe_epoch(record)
            case LayerStatistics():
                found = self._observe_layers(record)
            case StageTransition():
                found = self._observe_transition(record)
            case GateEvaluationTrace():
                found = self._observe_gate(record)
            case PPOUpdate() | PolicySnapshot():
                self._decisions_seen |= isinstance(record, PolicySnapshot)
                found = self._observe_policy(record)
        return tuple(found)

    def _observe_batch(self, batch: BatchMetrics) -> Iterator[Firing]:
        self._epoch, self._batches_seen = batch.epoch, True
        norms = _norms(batch)
        all_finite = math.isfinite(batch.loss + sum(norms.values()))
        if self._trigger.non_finite and not (all_finite and self._training.quiet):
            loss, gradients = _not_finite({"loss": batch.loss}), _not_finite(norms)
            measured = {"loss": bool(loss), "gradients": bool(gradients)} if norms else {"loss": bool(loss)}
            if self._training.observe(**measured):
                yield _non_finite(batch.epoch, loss or gradients)
        yield from self._batch_spikes.observe(batch.epoch, {"loss": batch.loss}, norms)

    def _observe_epoch(self, snapshot: EpochSnapshot) -> Iterator[Firing]:
        self._epoch, host = snapshot.epoch, snapshot.host
        train_loss = None if self._batches_seen else host.train_loss  # else its batches have told already
        losses = {"train_loss": train_loss, "val_loss": host.val_loss}
        measured = {name: loss for name, loss in losses.items() if loss is not None}
        unfit = _not_finite(measured)
        if self._trigger.non_finite and measured and self._training.observe(epoch=bool(unfit)):
            yield _non_finite(self._epoch, unfit)
        if not self._batches_seen:
            yield from self._epoch_spikes.observe(snapshot.epoch, measured, _norms(host))
        yield from self._observe_accuracy(snapshot.epoch, host.val_accuracy)
        yield from self._moved(snapshot.epoch, self._stages.observe(snapshot.slots))
        if snapshot.policy is not None and not self._decisions_seen:
            yield from self._observe_policy(snapshot.policy)

    def _observe_accuracy(self, epoch: int, accuracy: float | None) -> Iterator[Firing]:
        before = None if accuracy is None else self._accuracy.observe(accuracy)
        if accuracy is not None and before is not None:
            cause = {"val_accuracy": accuracy, "val_accuracy/before": before, "threshold": self._trigger.accuracy_drop_threshold}
            yield Firing("accuracy_drop", epoch, f"validation accuracy fell from {before:.4g} % to {accuracy:.4g} %", cause)

    def _observe_transition(self, change: StageTransition) -> Iterator[Firing]:
        epoch = self._epoch if change.epoch is None else change.epoch
        yield from self._moved(epoch, self._stages.transition(change))

    def _moved(self, epoch: int, moves: Mapping[str, _Move]) -> Iterator[Firing]:
        """Start over with all that is known of slots that changed stage."""
        for slot_id in moves:
            for spikes in (self._batch_spikes, self._epoch_spikes):
                spikes.forget(slot_id)
            for layers in (self._gradients, self._activations):
                layers.forget(partial(in_slot, slot_id=slot_id))
            self._failed = {check for check in self._failed if check[0] != slot_id}
        if moves and self._trigger.stage_transition:
            told = (
                f"slot {name!r}: {before.name if before else 'new'} to {after.name}" for name, (before, after) in moves.items()
            )
            stages = {f"{slot_id}/stage": float(after) for slot_id, (_, after) in moves.items()}
            yield Firing("stage_transition", epoch, ", ".join(told), stages)

    def _observe_gate(self, gate: GateEvaluationTrace) -> Iterator[Firing]:
        check = gate.slot_id, gate.gate, gate.seed_id
        again = check in self._failed
        if gate.passed:
            self._failed.discard(check)
            return
        self._failed.add(check)
        if self._trigger.gate_failure and not again:
            why = gate.message or ", ".join(gate.checks_failed) or "no reason given"
            cause = dict(gate.measurements) | {f"{name}/threshold": value for name, value in gate.thresholds.items()}
            epoch = self._epoch if gate.epoch is None else gate.epoch
            yield Firing("gate_failure", epoch, f"slot {gate.slot_id!r} did not pass {gate.gate}: {why}", cause, gate)

    def _observe_layers(self, layers: LayerStatistics) -> Iterator[Firing]:
        died: dict[str, float] = {}
        if layers.batches:
            died |= self._gradients.observe(self._in_use(_gradient_signs(layers)), layers.batches)
        if layers.activations:
            fires = {layer: seen.dead < seen.units for layer, seen in layers.activations.items() if seen.count}
            died |= self._activations.observe(self._in_use(fires), layers.last_batch - layers.first_batch + 1)
        if died and self._trigger.dead_layer:
            told = ", ".join(f"{name} for {batches:g} batches" for name, batches in died.items())
            yield Firing("dead_layer", layers.epoch, f"dead: {told}", died)

    def _in_use(self, signs: Mapping[str, bool]) -> dict[str, bool]:
        """Without the layers of empty slots."""
        empty = [slot_id for slot_id, stage in self._stages.known.items() if stage not in OCCUPIED]
        return {layer: alive for layer, alive in signs.items() if not any(in_slot(layer, slot_id) for slot_id in empty)}

    def _observe_policy(self, record: PPOUpdate | PolicySnapshot) -> Iterator[Firing]:
        unfit = _not_finite(dict(_statistics(record)))
        if self._trigger.non_finite and self._updates.observe(**{type(record).__name__: bool(unfit)}):
            yield _non_finite(self._epoch, unfit)
        flat, certain = self._value.observe(record), self._entropy.observe(record)
        if flat is not None and self._trigger.value_collapse:
            yield Firing("value_collapse", self._epoch, f"the critic predicts the same value everywhere: {_told(flat)}", flat)
        if certain is not None and self._trigger.entropy_collapse:
            yield Firing("entropy_collapse", self._epoch, f"the policy becomes deterministic: {_told(certain)}", certain)


class _Spikes:
    """Losses and gradient norms far above what is usual for them."""

    def __init__(self, trigger: DenseTraceTrigger, pace: Pace) -> None:
        self._kinds = {
            "loss_spike": Baselines(trigger.loss_spike_threshold, pace),
            "gradient_explosion": Baselines(trigger.gradient_explosion, pace, median),
        }

    def observe(self, epoch: int, losses: Mapping[str, float], norms: Mapping[str, float]) -> Iterator[Firing]:
        for (reason, baselines), values in zip(self._kinds.items(), (losses, norms), strict=True):
            found = baselines.observe(values)
            if found:
                yield _excess(reason, epoch, baselines.factor, found)

    def forget(self, slot_id: str) -> None:
        self._kinds["gradient_explosion"].forget(_norm_of(slot_id))


class _Stages:
    """Changes of stage, each told once: by an event, or by the snapshot that comes first."""

    def __init__(self) -> None:
        self.known: dict[str, SeedStage] = {}
        self._told_by_snapshot: set[str] = set()
        self._begun = False

    def transition(self, change: StageTransition) -> dict[str, _Move]:
        late = change.slot_id in self._told_by_snapshot and self.known[change.slot_id] is change.to_stage
        self._told_by_snapshot.discard(change.slot_id)
        self.known[change.slot_id] = change.to_stage
        return {} if late else {change.slot_id: (change.from_stage, change.to_stage)}

    def observe(self, slots: Mapping[str, SlotSnapshot]) -> dict[str, _Move]:
        """The first snapshot is the beginning; after it a slot that is new and holds a seed module has changed."""
        moves: dict[str, _Move] = {}
        for slot_id, slot in slots.items():
            before, after = self.known.get(slot_id), slot.stage
            if before is not after and (before is not None or (self._begun and after in OCCUPIED)):
                moves[slot_id] = before, after
            self.known[slot_id] = after
        self._told_by_snapshot = set(moves)
        self._begun = True
        return moves


def in_slot(layer: str, slot_id: str) -> bool:
    """Whether a layer is one of a slot's seed module: `<slot_id>.seed.` is in its name, or `<slot_id>/` begins it."""
    return f".{slot_id}.seed." in f".{layer}." or layer.startswith(f"{slot_id}/")


def _gradient_signs(layers: LayerStatistics) -> dict[str, bool]:
    """Whether a layer's gradient was other than zero; nothing of a layer with zeros that had none in other batches."""
    zeros = layers.zero_batches
    return {layer: rms != 0 for layer, rms in layers.gradient_rms.items() if rms != 0 or zeros.get(layer) == layers.batches}


def _norm_of(slot_id: str) -> str:
    return f"seed_grad_norms/{slot_id}"


def _norms(measured: BatchMetrics | HostSnapshot) -> dict[str, float]:
    """Gradient norms by name."""
    norms = {_norm_of(slot_id): norm for slot_id, norm in measured.seed_grad_norms.items()}
    if measured.host_grad_norm is not None:
        norms["host_grad_norm"] = measured.host_grad_norm
    return norms


def _statistics(record: PPOUpdate | PolicySnapshot) -> Iterator[tuple[str, float]]:
    """What must be finite of a policy's record: all statistics of an update, and what a decision itself says."""
    if isinstance(record, PolicySnapshot):
        return must_be_finite({name: getattr(record, name) for name in OF_A_DECISION})
    return must_be_finite(record)


def _not_finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not math.isfinite(value)}


def _non_finite(epoch: int, values: dict[str, float]) -> Firing:
    return Firing("non_finite", epoch, f"not finite: {_told(values)}", values)


def _excess(reason: str, epoch: int, threshold: float, found: Mapping[str, Excess]) -> Firing:
    told, cause = [], {"threshold": threshold}
    for name, excess in found.items():
        told.append(f"{name} {excess.value:.4g} is above {excess.limit:.4g}, typical is {excess.typical:.4g}")
        cause |= {name: excess.value, f"{name}/typical": excess.typical, f"{name}/limit": excess.limit}
    return Firing(reason, epoch, ", ".join(told), cause)


def _told(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
