"""Training that fails on purpose: the right trigger fires, once, and its dense trace holds the cause.

A host with a seed module learns random images by heart, everything is logged through a real offline run, and one thing
goes wrong in the middle. What is looked at is what was read back: from the record log, and from W&B's file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from finished import read_finished
from torch import Tensor
from torch.distributions import Categorical
from torch.nn.functional import cross_entropy
from wandb.proto import wandb_internal_pb2

import karn_wandb
from examples import gates
from examples.blueprints import BLUEPRINTS
from examples.host import ConvHost
from karn_wandb import DenseTrace, EpochSnapshot, FactoredAction, KarnConfig, SeedStage
from karn_wandb.capture.ppo import ppo_update
from karn_wandb.episode import EpisodeLog
from karn_wandb.experiment.chunks import split_records
from karn_wandb.records import Alert, BatchMetrics, HealthReport, LayerStatistics, Record

pytestmark = pytest.mark.offline

BATCHES = 36
"""Batches in an epoch: more than a baseline's warm-up, and fewer than a trace holds before its trigger."""

HOST = {"blocks.0.0", "blocks.0.1", "blocks.1.0", "blocks.1.1", "blocks.2.0", "blocks.2.1", "head.2"}
BRANCH = "seed_slots.early.seed.branch"
SEED = {f"{BRANCH}.{i}" for i in (0, 1, 3)}
"""Layers with parameters."""


class Learner:
    """Trains a host whose seed module is HOLDING, and logs every batch; the model measures itself."""

    def __init__(self, log: EpisodeLog) -> None:
        torch.manual_seed(0)
        self.log, self.model = log, ConvHost(4, classes=4)
        early = self.model.slots()[0]
        early.germinate("conv_light", BLUEPRINTS["conv_light"](early.channels))
        for stage in (SeedStage.TRAINING, SeedStage.BLENDING, SeedStage.HOLDING):
            early.enter(stage)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.003, fused=True)
        self.images, self.labels = torch.randn(64, 3, 8, 8), torch.arange(64) % 4
        self.rows = cycle(torch.arange(64).split(16))
        log.attach(self.model)

    def batch(
        self,
        *,
        labels: Tensor | None = None,
        loss_of: Callable[[Tensor], Tensor] = lambda loss: loss,
        blamed_for: Callable[[Tensor], Tensor] = lambda loss: loss,
        step: bool = True,
    ) -> None:
        """One batch; `loss_of` changes the loss, `blamed_for` only what is differentiated, behind the log's back."""
        rows = next(self.rows)
        loss = loss_of(cross_entropy(self.model(self.images[rows]), (self.labels if labels is None else labels)[rows]))
        self.optimizer.zero_grad()
        blamed_for(loss).backward()
        if step:
            self.optimizer.step()
        self.log.log_batch(loss=loss)

    def batches(self, count: int, after_each: Callable[[], object] = lambda: None) -> None:
        for _ in range(count):
            self.batch()
            after_each()

    @torch.no_grad()
    def end_epoch(self, labels: Tensor | None = None) -> None:
        """The images are looked at once more, in place of a validation part; logits that are not finite have no accuracy."""
        logits = self.model(self.images)
        found = logits.argmax(1) == (self.labels if labels is None else labels)
        self.log.log_epoch(val_accuracy=100 * found.float().mean() if logits.isfinite().all() else None)

    def epochs(self, count: int) -> None:
        for _ in range(count):
            self.batches(BATCHES)
            self.end_epoch()


def loss_spike(learner: Learner) -> None:
    """Two batches with wrong labels, and a loss that counts five times."""
    for _ in range(2):
        learner.batch(labels=(learner.labels + 1) % 4, loss_of=lambda loss: 5 * loss)


def gradient_explosion(learner: Learner) -> None:
    """Two batches whose gradients are ten thousand times too large, while the loss is as it should be; no step is taken."""
    for _ in range(2):
        learner.batch(blamed_for=lambda loss: 10_000 * loss, step=False)


@torch.no_grad()
def dead_layer(learner: Learner) -> None:
    """The seed module's biases are pushed so far down that its ReLU never fires again; the host goes on without it."""
    learner.model.get_submodule(f"{BRANCH}.1").bias.fill_(-100.0)


def non_finite(learner: Learner) -> None:
    """A logarithm of zero; what it leaves behind is not finite either."""
    learner.batch(loss_of=lambda loss: loss + (loss * 0).log() * 0)


def accuracy_drop(learner: Learner) -> None:
    """The epoch ends with an evaluation against the wrong labels."""
    learner.batches(BATCHES)
    learner.end_epoch((learner.labels + 1) % 4)


def gate_failure(learner: Learner) -> None:
    """G3 is not passed; the controller tries again after the next batch, which is the same failure."""
    reading = gates.Reading(score=80.0, score_without=85.0, score_full=80.0, score_before=85.0, gradient_norm=1.0, held=0)
    for _ in range(2):
        learner.log.log_gate(gates.g3(learner.model.slots()[0], reading, gates.Thresholds()))
        learner.batch()


def updates(learner: Learner, count: int, *, critic: float = 1.0, certainty: float = 1.0) -> None:
    """PPO updates of 64 steps and four actions, one after each batch: `critic` scales what it predicts."""

    def update() -> None:
        returns, logits = torch.randn(64), certainty * torch.randn(64, 4)
        policy = Categorical(logits=logits)
        actions = policy.sample()
        learner.log.log_ppo_update(
            ppo_update(
                returns=returns,
                values=critic * (returns + 0.3 * torch.randn(64)),
                advantages=torch.randn(64),
                log_probs=policy.log_prob(actions),
                old_log_probs=policy.log_prob(actions),
                entropy=policy.entropy(),
            )
        )

    learner.batches(count, update)


def value_collapse(learner: Learner) -> None:
    """The critic predicts nearly the same for every state."""
    updates(learner, 12)
    updates(learner, 6, critic=1e-3)


def entropy_collapse(learner: Learner) -> None:
    """The logits grow until one action is certain."""
    updates(learner, 12)
    updates(learner, 12, certainty=1e4)


def entropy_collapse_of_decisions(learner: Learner) -> None:
    """The same, where only decisions are logged."""

    def decision(certainty: float) -> None:
        entropy = Categorical(logits=certainty * torch.randn(4)).entropy()
        learner.log.log_decision(observation_vector=[1.0], action=FactoredAction("WAIT"), entropy=entropy.item())

    learner.batches(30, lambda: decision(1.0))
    learner.batches(25, lambda: decision(1e4))


FAILURES = (
    loss_spike,
    gradient_explosion,
    dead_layer,
    non_finite,
    accuracy_drop,
    gate_failure,
    value_collapse,
    entropy_collapse,
    entropy_collapse_of_decisions,
)


class Finished(NamedTuple):
    """A run read back."""

    log: tuple[karn_wandb.TelemetryEvent, ...]
    wandb: tuple[karn_wandb.TelemetryEvent, ...]
    alerts: list[Any]

    def of(self, kind: type[Record], env_id: int = 0) -> list[Any]:
        return [event.data for event in self.log if isinstance(event.data, kind) and event.env_id == env_id]


def read_back(run: karn_wandb.Run) -> Finished:
    """What the record log holds, and W&B's file, its alerts included."""
    path = run.records_path.parent / f"run-{run.id}.wandb"
    assert read_finished(path).damage == ()
    records = (wandb_internal_pb2.Record.FromString(payload) for _, payload in split_records(path.read_bytes(), []))
    alerts = [record.alert for record in records if record.WhichOneof("record_type") == "alert"]
    experiment = karn_wandb.load_experiment(run.records_path.parent)
    return Finished(experiment.events(run.id, via="log"), experiment.events(run.id, via="wandb"), alerts)


@pytest.fixture(scope="module")
def failed(offline_folder: Path) -> Finished:
    """A run with an episode for each failure, which comes after 10 batches of its epoch 2."""
    with karn_wandb.init("failures", mode="offline", dir=offline_folder) as run:
        for env_id, inject in enumerate(FAILURES):
            learner = Learner(run.episode(env_id))
            learner.epochs(1)
            learner.batches(10)
            inject(learner)
            learner.batches(BATCHES)
            learner.end_epoch()
            learner.epochs(1)
            run.episode(env_id).conclude()
    return read_back(run)


@pytest.fixture
def trace_of(failed: Finished) -> Callable[[Callable[[Learner], None]], DenseTrace]:
    """The only trace of a failure's episode."""

    def found(failure: Callable[[Learner], None]) -> DenseTrace:
        (trace,) = failed.of(DenseTrace, FAILURES.index(failure))
        return trace

    return found


def at(trace: DenseTrace, epoch: int, batch_idx: int) -> BatchMetrics:
    return next(batch for batch in trace.batch_metrics if (batch.epoch, batch.batch_idx) == (epoch, batch_idx))


@pytest.mark.parametrize("failure", FAILURES)
class TestEveryFailure:
    def test_fires_its_own_trigger_once_and_no_other(self, failed, failure):
        reason = failure.__name__.removesuffix("_of_decisions")
        assert [trace.trigger_reason for trace in failed.of(DenseTrace, FAILURES.index(failure))] == [reason]
        assert failed.of(HealthReport, FAILURES.index(failure))[-1].triggers == {reason: 1}

    def test_leaves_a_trace_with_batches_before_and_after_and_every_layer(self, failed, trace_of, failure):
        trace = trace_of(failure)
        places = [(batch.epoch, batch.batch_idx) for batch in trace.batch_metrics]
        logged = [(batch.epoch, batch.batch_idx) for batch in failed.of(BatchMetrics, FAILURES.index(failure))]
        first = logged.index(places[0])
        assert places == logged[first : first + len(places)]
        assert len(places) > KarnConfig().trace_batches
        assert set(trace.gradient_flow) == set(trace.gradient_histograms) == HOST | SEED
        assert {"blocks.1.2", "blocks.2.3", "head.1"} | HOST | SEED <= set(trace.activation_means)
        assert set(trace.activation_means) == set(trace.activation_stds) == set(trace.dead_neuron_counts)

    def test_is_told_as_an_alert_that_reached_w_and_b(self, failed, failure):
        alerts = failed.of(Alert, FAILURES.index(failure))
        if failure is gate_failure:
            assert alerts == []
        else:
            told = [alert for alert in alerts if alert.kind == failure.__name__.removesuffix("_of_decisions")]
            assert len(told) == 1
            assert any(alert.text == told[0].text for alert in failed.alerts)


def test_every_trace_reads_back_from_w_and_b_as_from_the_log(failed):
    assert failed.wandb == failed.log
    assert sum(isinstance(event.data, DenseTrace) for event in failed.wandb) == len(FAILURES)


def test_a_spike_is_in_the_losses(trace_of):
    trace = trace_of(loss_spike)
    spike = at(trace, 2, 10).loss
    assert trace.cause["loss"] == spike > trace.cause["loss/limit"]
    assert trace.cause["threshold"] == 2.0
    assert spike > 2 * max(batch.loss for batch in trace.batch_metrics if batch.epoch == 1 and batch.batch_idx > 20)
    assert at(trace, 3, 0).loss < trace.cause["loss/limit"]


def test_an_explosion_is_in_the_norms_and_not_in_the_losses(trace_of):
    trace = trace_of(gradient_explosion)
    exploded, before = at(trace, 2, 10), at(trace, 2, 9)
    assert trace.cause["host_grad_norm"] == exploded.host_grad_norm > 1000 * before.host_grad_norm
    assert trace.cause["seed_grad_norms/early"] == exploded.seed_grad_norms["early"]
    assert trace.cause["host_grad_norm/limit"] >= 100 * trace.cause["host_grad_norm/typical"]
    assert exploded.loss < 2 * before.loss


def test_a_dead_layer_has_no_unit_that_fires_and_lets_no_gradient_through(trace_of):
    trace = trace_of(dead_layer)
    assert set(trace.cause) == {f"{BRANCH}.0", f"{BRANCH}.1"}
    assert min(trace.cause.values()) >= 20
    channels = 4
    assert trace.dead_neuron_counts[f"{BRANCH}.2"] == channels
    assert trace.activation_means[f"{BRANCH}.2"] == trace.activation_stds[f"{BRANCH}.2"] == 0
    assert trace.dead_neuron_counts["blocks.0.2"] < channels
    assert trace.gradient_zeros[f"{BRANCH}.1"] == sum(trace.gradient_histograms[f"{BRANCH}.1"]) > 0
    assert trace.gradient_zeros["head.2"] < sum(trace.gradient_histograms["head.2"])


def test_a_nan_is_in_the_losses_and_in_all_that_follows(trace_of):
    trace = trace_of(non_finite)
    assert math.isnan(trace.cause["loss"])
    assert all(math.isnan(batch.loss) for batch in trace.batch_metrics if (batch.epoch, batch.batch_idx) >= (2, 10))
    assert all(math.isfinite(batch.loss) for batch in trace.batch_metrics if (batch.epoch, batch.batch_idx) < (2, 10))
    assert math.isnan(trace.gradient_flow["head.2"])
    assert trace.gradient_non_finite["head.2"] > 0


def test_a_drop_says_from_where_to_where(trace_of, failed):
    trace = trace_of(accuracy_drop)
    env_id = FAILURES.index(accuracy_drop)
    first, second, *_ = (snapshot.host.val_accuracy for snapshot in failed.of(EpochSnapshot, env_id))
    assert trace.cause == {"val_accuracy": second, "val_accuracy/before": first, "threshold": 5.0}


def test_a_gate_that_failed_is_there_with_its_internals(trace_of):
    trace = trace_of(gate_failure)
    gate = trace.gate_evaluation_details
    assert (gate.slot_id, gate.gate, gate.checks_passed, gate.checks_failed) == ("early", "G3", ("alpha",), ("host_not_hurt",))
    assert gate.thresholds == {"alpha": 1.0, "host_not_hurt": 3.0}
    assert trace.cause == {"alpha": 1.0, "host_not_hurt": 5.0, "alpha/threshold": 1.0, "host_not_hurt/threshold": 3.0}


def test_a_collapsed_critic_spreads_less_than_a_hundredth_of_the_returns(trace_of):
    cause = trace_of(value_collapse).cause
    assert cause["value_std"] <= cause["threshold"] == pytest.approx(0.01 * cause["return_std"])


@pytest.mark.parametrize("failure", [entropy_collapse, entropy_collapse_of_decisions])
def test_a_collapsed_policy_has_a_twentieth_of_its_entropy(trace_of, failure):
    cause = trace_of(failure).cause
    assert cause["entropy"] <= cause["threshold"] == pytest.approx(0.05 * cause["highest"])
    assert cause["highest"] > 0.5


@pytest.fixture(scope="module")
def escalated(offline_folder: Path) -> Finished:
    """An adaptive run with a spike in epoch 2, and `escalation_epochs` = 2."""
    config = KarnConfig(mode="adaptive", escalation_epochs=2)
    with karn_wandb.init("adaptive", mode="offline", dir=offline_folder, karn=config) as run:
        learner = Learner(run)
        learner.epochs(1)
        learner.batches(10)
        loss_spike(learner)
        learner.batches(BATCHES)
        learner.end_epoch()
        learner.epochs(4)
    return read_back(run)


class TestAdaptive:
    def test_everything_is_captured_for_the_rest_of_the_epoch_and_two_more(self, escalated):
        modes = {report.epoch: report.mode for report in escalated.of(HealthReport)}
        assert modes == {1: "standard", 2: "research", 3: "research", 4: "standard", 5: "standard", 6: "standard"}
        dense = {layers.epoch for layers in escalated.of(LayerStatistics) if layers.histograms and layers.activations}
        assert dense == {2, 3, 4}

    def test_each_of_these_epochs_has_its_trace_beside_that_of_the_spike(self, escalated):
        traces = [(t.trigger_reason, t.window_start_epoch, t.window_end_epoch) for t in escalated.of(DenseTrace)]
        assert sorted(traces) == [("force_dense", e, e) for e in (2, 3, 4)] + [("loss_spike", 1, 3)]
        assert escalated.of(HealthReport)[-1].triggers == {"loss_spike": 1}


LIFE = tuple(SeedStage[name] for name in ("GERMINATED", "TRAINING", "PRUNED", "EMBARGOED", "RESETTING", "DORMANT"))


def test_of_thirty_traces_memory_holds_ten_and_log_and_w_and_b_all(offline_folder):
    """Five seed modules, each germinated, trained and pruned: 30 changes of stage, with a trace each."""
    with karn_wandb.init("many", mode="offline", dir=offline_folder, karn=KarnConfig(trace_batches=4)) as run:
        learner = Learner(run)
        learner.epochs(1)
        late = learner.model.slots()[-1]
        for stage in 5 * LIFE:
            before = late.stage
            if stage is SeedStage.GERMINATED:
                late.germinate("norm", BLUEPRINTS["norm"](late.channels))
            else:
                late.enter(stage)
            run.log_stage("late", before, stage, seed_id=late.seed_id)
            learner.batches(5)
    found = read_back(run)
    traces = found.of(DenseTrace)
    assert [trace.cause for trace in traces] == [{"late/stage": float(stage)} for stage in 5 * LIFE]
    assert all(len(trace.batch_metrics) == 8 for trace in traces)
    assert all(set(trace.gradient_histograms) >= HOST for trace in traces)
    assert [event.data for event in found.wandb if isinstance(event.data, DenseTrace)] == traces
    assert list(run.collector.episode().store.dense_traces) == traces[-10:]
