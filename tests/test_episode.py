"""The `log_*` methods: a record or its fields, what is counted and measured for you, and the end of an episode."""

import math
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from karn_wandb.capture import capture_episode
from karn_wandb.episode import EpisodeLog
from karn_wandb.errors import RecordError, TransitionError, UsageError
from karn_wandb.pipeline import KarnCollector, read_log
from karn_wandb.records import (
    AdvantageStats,
    BatchMetrics,
    CounterfactualMatrix,
    DenseTrace,
    EpisodeOutcome,
    EpochSnapshot,
    FactoredAction,
    GateEvaluationTrace,
    HostBaseline,
    HostSnapshot,
    KarnConfig,
    PolicySnapshot,
    PPOUpdate,
    SeedStage,
    SlotSnapshot,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)

Type = TelemetryEventType
READINGS = (Type.CLAIM_READ, Type.HEALTH_READ)


@pytest.fixture
def episode():
    return EpisodeLog(KarnCollector())


def kept(episode, *types):
    """What was logged, without the readings; of these types only, when there are any."""
    wanted = types or set(Type) - set(READINGS)
    return [event for event in episode.collector.log.events() if event.event_type in wanted]


def data(episode, *types):
    return [event.data for event in kept(episode, *types)]


CONTEXT = capture_episode()
MATRIX = CounterfactualMatrix(1, ())

CALLS = [
    ("log_baseline", HostBaseline(2.3, 10.0), {"initial_loss": 2.3, "initial_accuracy": 10.0}, Type.BASELINE_RECORDED),
    (
        "log_decision",
        PolicySnapshot((1.0, 2.0), FactoredAction("WAIT"), value_estimate=0.5),
        {"observation_vector": (1.0, 2.0), "action": FactoredAction("WAIT"), "value_estimate": 0.5},
        Type.DECISION_MADE,
    ),
    ("log_ppo_update", PPOUpdate(entropy=0.5), {"entropy": 0.5}, Type.PPO_UPDATE_COMPLETED),
    (
        "log_trace",
        DenseTrace("spike", 1, 2),
        {"trigger_reason": "spike", "window_start_epoch": 1, "window_end_epoch": 2},
        Type.DENSE_TRACE_RECORDED,
    ),
    (
        "log_gate",
        GateEvaluationTrace("early", "G1", passed=True, epoch=0),
        {"slot_id": "early", "gate": "G1", "passed": True},
        Type.SEED_GATE_EVALUATED,
    ),
    ("log_epoch", EpochSnapshot(1, HostSnapshot(1, val_accuracy=50.0)), {"val_accuracy": 50.0}, Type.EPOCH_COMPLETED),
]
calls = pytest.mark.parametrize(("method", "record", "keywords", "event_type"), CALLS, ids=[call[0] for call in CALLS])


class TestRecordOrKeywords:
    @calls
    def test_a_record_is_kept_as_it_is(self, episode, method, record, keywords, event_type):
        assert getattr(episode, method)(record) is record
        (event,) = kept(episode)
        assert (event.event_type, event.data) == (event_type, record)

    @calls
    def test_keywords_become_the_record(self, episode, method, record, keywords, event_type):
        assert getattr(episode, method)(**keywords) == record
        (event,) = kept(episode)
        assert (event.event_type, event.data) == (event_type, record)

    @calls
    def test_both_are_refused(self, episode, method, record, keywords, event_type):
        with pytest.raises(UsageError) as caught:
            getattr(episode, method)(record, **keywords)
        assert str(caught.value) == (
            f"pass a {type(record).__name__} or keywords, not both; got {', '.join(keywords)}. Drop one."
        )
        assert kept(episode) == []

    @calls
    def test_a_record_of_another_class_is_refused(self, episode, method, record, keywords, event_type):
        for other in (BatchMetrics(1, 0, 0.5), {"epoch": 1}, 3):
            with pytest.raises(RecordError) as caught:
                getattr(episode, method)(other)
            assert str(caught.value) == (
                f"expected a {type(record).__name__}; got {type(other).__name__}. Pass the record or its fields."
            )
        assert kept(episode) == []

    @calls
    def test_a_wrong_keyword_is_answered_with_the_right_ones(self, episode, method, record, keywords, event_type):
        with pytest.raises(RecordError) as caught:
            getattr(episode, method)(**keywords, val_acuracy=1.0)
        cls = HostSnapshot if method == "log_epoch" else type(record)
        names = ", ".join(cls.__dataclass_fields__)
        assert str(caught.value) == f"{cls.__name__} has no field 'val_acuracy'. Its fields are {names}."
        assert kept(episode) == []

    def test_missing_fields_are_named(self, episode):
        with pytest.raises(RecordError) as caught:
            episode.log_decision(value_estimate=0.5)
        assert str(caught.value) == (
            "PolicySnapshot is incomplete; got PolicySnapshot.__init__() missing 2 required positional arguments: "
            "'observation_vector' and 'action'. Pass the missing fields."
        )

    def test_context_and_matrix_are_records_only(self, episode):
        assert episode.log_context(CONTEXT) is CONTEXT
        assert episode.log_counterfactual(MATRIX) is MATRIX
        assert data(episode, Type.EPISODE_STARTED, Type.COUNTERFACTUAL_MATRIX_COMPUTED) == [CONTEXT, MATRIX]
        for method, name in ((episode.log_context, "EpisodeContext"), (episode.log_counterfactual, "CounterfactualMatrix")):
            with pytest.raises(RecordError, match=f"expected a {name}; got dict"):
                method({})

    def test_a_bad_value_is_refused_and_the_next_try_is_welcome(self, episode):
        with pytest.raises(RecordError) as caught:
            episode.log_epoch(val_accuracy=math.nan)
        assert str(caught.value) == (
            "HostSnapshot.val_accuracy must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100."
        )
        assert episode.log_epoch(val_accuracy=50.0).epoch == 1

    def test_keywords_take_tensors_and_arrays(self, episode):
        snapshot = episode.log_epoch(
            train_loss=torch.tensor(0.5, requires_grad=True),
            val_loss=np.float32(1.5),
            val_accuracy=torch.tensor(50),
            seed_grad_norms={"early": torch.tensor(2.0, dtype=torch.bfloat16)},
        )
        assert snapshot.host == HostSnapshot(1, 0.5, None, 1.5, 50.0, seed_grad_norms={"early": 2.0})
        action = FactoredAction("WAIT")
        decision = episode.log_decision(observation_vector=torch.arange(3), action=action, reward_total=np.array(1.5))
        assert decision == PolicySnapshot((0.0, 1.0, 2.0), action, reward_total=1.5)
        decision = episode.log_decision(
            observation_vector=[torch.tensor(0.5)], action=action, action_log_probs={"op": np.float64(-1)}
        )
        assert decision == PolicySnapshot((0.5,), action, {"op": -1.0})
        stats = AdvantageStats(0.0, 1.0, -1.0, 1.0, 0.0)
        assert episode.log_ppo_update(entropy=torch.tensor(0.25), advantages=stats) == PPOUpdate(entropy=0.25, advantages=stats)
        with pytest.raises(RecordError, match=r"HostSnapshot.train_loss must be a number; got \[1.0, 1.0\] \(list\)"):
            episode.log_epoch(train_loss=torch.ones(2))


class TestEpochs:
    def test_are_counted_from_1(self, episode):
        assert episode.current_epoch == 1
        assert [episode.log_epoch().epoch for _ in range(3)] == [1, 2, 3]
        assert episode.current_epoch == 4

    def test_go_on_from_those_that_are_given(self, episode):
        assert [episode.log_epoch(epoch=0).epoch, episode.log_epoch().epoch] == [0, 1]
        assert [episode.log_epoch(epoch=np.int64(7)).epoch, episode.log_epoch().epoch] == [7, 8]
        episode.log_epoch(EpochSnapshot(20, HostSnapshot(20)))
        assert episode.log_epoch().epoch == 21

    def test_must_go_up(self, episode):
        episode.log_epoch(epoch=3)
        with pytest.raises(RecordError, match="epochs must go up; got epoch 3 after epoch 3"):
            episode.log_epoch(epoch=3)
        assert episode.log_epoch().epoch == 4

    def test_take_slots_and_the_policy_s_decision(self, episode):
        slots = {"early": SlotSnapshot("early", SeedStage.TRAINING)}
        policy = PolicySnapshot((), FactoredAction("WAIT"))
        assert episode.log_epoch(slots=slots, policy=policy) == EpochSnapshot(1, HostSnapshot(1), slots, policy)


class TestBatches:
    def test_are_counted_in_each_epoch(self, episode):
        for _ in range(2):
            for loss in (1.0, 2.0):
                episode.log_batch(loss=loss)
            episode.log_epoch()
        assert [(b.epoch, b.batch_idx) for b in data(episode, Type.BATCH_COMPLETED)] == [(1, 0), (1, 1), (2, 0), (2, 1)]
        assert [event.tick for event in kept(episode, Type.BATCH_COMPLETED)] == [0, 1, 2, 3]

    def test_take_their_place_from_you(self, episode):
        episode.log_batch(loss=1.0, epoch=0, batch_idx=5)
        episode.log_batch(loss=1.0)
        episode.log_batch(BatchMetrics(1, 9, 1.0))
        episode.log_batch(loss=1.0)
        episode.log_epoch()
        assert [(b.epoch, b.batch_idx) for b in data(episode, Type.BATCH_COMPLETED)] == [(0, 5), (1, 6), (1, 9), (1, 10)]

    def test_are_kept_before_whatever_is_logged_after_them(self, episode):
        episode.log_batch(loss=1.0)
        episode.log_gate(slot_id="early", gate="G0", passed=True)
        episode.log_batch(loss=2.0)
        episode.emit(TelemetryEvent(Type.MEMORY_WARNING))
        assert [event.event_type for event in kept(episode)] == [
            Type.BATCH_COMPLETED,
            Type.SEED_GATE_EVALUATED,
            Type.BATCH_COMPLETED,
            Type.MEMORY_WARNING,
        ]

    def test_fill_in_the_epoch_s_means(self, episode):
        episode.log_batch(loss=torch.tensor(1.0), accuracy=40.0, host_grad_norm=3.0, seed_grad_norms={"early": 1.0})
        episode.log_batch(
            loss=2.0, accuracy=torch.tensor(60.0), isolation_leakage=0.5, seed_grad_norms={"early": 3.0, "late": 5.0}
        )
        episode.log_batch(BatchMetrics(1, 2, loss=6.0))
        first = episode.log_epoch().host
        assert first == HostSnapshot(
            1,
            train_loss=3.0,
            train_accuracy=50.0,
            host_grad_norm=3.0,
            grad_isolation_leakage=0.5,
            seed_grad_norms={"early": 2.0, "late": 5.0},
        )
        episode.log_batch(loss=10.0)
        assert episode.log_epoch().host == HostSnapshot(2, train_loss=10.0)
        assert episode.log_epoch().host == HostSnapshot(3)

    def test_that_failed_to_make_an_epoch_still_count_for_the_next_try(self, episode):
        episode.log_batch(loss=1.0)
        with pytest.raises(RecordError):
            episode.log_epoch(val_accuracy=-1.0)
        assert episode.log_epoch(val_accuracy=1.5).host.train_loss == 1.0

    def test_what_is_passed_for_the_epoch_wins_over_their_means(self, episode):
        episode.log_batch(loss=1.0, accuracy=40.0, seed_grad_norms={"early": 1.0})
        host = episode.log_epoch(train_loss=9.0, train_accuracy=None, seed_grad_norms={"late": 2.0}).host
        assert host == HostSnapshot(1, train_loss=9.0, seed_grad_norms={"late": 2.0})

    def test_with_a_bad_value_are_reported_with_epoch_and_batch_and_all_others_are_kept(self, episode):
        for accuracy in (50.0, math.nan, 70.0):
            episode.log_batch(loss=1.0, accuracy=torch.tensor(accuracy))
        with pytest.raises(RecordError) as caught:
            episode.log_epoch(val_accuracy=60.0)
        assert str(caught.value) == (
            "BatchMetrics.accuracy must be between 0 and 100 (epoch 1, batch 1); got nan. Accuracies are percentages, 0 to 100."
        )
        assert [b.batch_idx for b in data(episode, Type.BATCH_COMPLETED)] == [0, 2]
        assert episode.log_epoch(val_accuracy=60.0).host.train_accuracy == 60.0

    def test_need_a_loss(self, episode):
        with pytest.raises(UsageError) as caught:
            episode.log_batch(accuracy=50.0)
        assert str(caught.value) == "log_batch needs a loss; got None. Pass loss=, or a BatchMetrics."

    def test_are_a_record_or_keywords(self, episode):
        with pytest.raises(UsageError) as caught:
            episode.log_batch(BatchMetrics(1, 0, 0.5), loss=0.5, epoch=2)
        assert str(caught.value) == "pass a BatchMetrics or keywords, not both; got loss, epoch. Drop one."
        with pytest.raises(RecordError, match="expected a BatchMetrics; got Tensor"):
            episode.log_batch(torch.tensor(0.5))
        assert kept(episode) == []


class TestStages:
    @pytest.mark.parametrize(
        ("before", "after", "event_type"),
        [
            ("DORMANT", "GERMINATED", Type.SEED_GERMINATED),
            ("GERMINATED", "TRAINING", Type.SEED_STAGE_CHANGED),
            ("HOLDING", "BLENDING", Type.SEED_STAGE_CHANGED),
            ("HOLDING", "FOSSILIZED", Type.SEED_FOSSILIZED),
            ("TRAINING", "PRUNED", Type.SEED_PRUNED),
            ("PRUNED", "EMBARGOED", Type.SEED_STAGE_CHANGED),
        ],
    )
    def test_each_change_is_the_event_it_is(self, episode, before, after, event_type):
        by_name = episode.log_stage("early", before, after, seed_id="s1")
        by_member = episode.log_stage("early", SeedStage[before], SeedStage[after], seed_id="s1")
        by_keyword = episode.log_stage(slot_id="early", from_stage=before, to_stage=after, seed_id="s1")
        by_record = episode.log_stage(by_name)
        assert (
            by_name
            == by_member
            == by_keyword
            == by_record
            == StageTransition("early", SeedStage[before], SeedStage[after], 0, "s1")
        )
        for event in kept(episode):
            assert (event.event_type, event.slot_id, event.seed_id) == (event_type, "early", "s1")

    def test_the_epoch_is_the_last_one_logged_unless_given(self, episode):
        episode.log_epoch(epoch=6)
        assert episode.log_stage("early", "DORMANT", "GERMINATED").epoch == 6
        assert episode.log_stage("early", "GERMINATED", "TRAINING", epoch=7).epoch == 7
        assert episode.log_gate(slot_id="early", gate="G2", passed=False).epoch == 6

    def test_an_illegal_change_is_refused(self, episode):
        with pytest.raises(TransitionError) as caught:
            episode.log_stage("early", "DORMANT", "FOSSILIZED")
        assert str(caught.value) == "slot 'early' cannot go from DORMANT to FOSSILIZED. After DORMANT comes GERMINATED."
        assert kept(episode) == []

    def test_a_stage_that_is_none_is_refused(self, episode):
        with pytest.raises(RecordError, match=r"StageTransition.to_stage must be a SeedStage; got 'GROWING'"):
            episode.log_stage("early", "DORMANT", "GROWING")
        with pytest.raises(RecordError, match=r"StageTransition.from_stage must be a SeedStage; got None"):
            episode.log_stage("early")


class TestPlace:
    def test_everything_is_of_the_episode_it_was_logged_to(self):
        collector = KarnCollector()
        first, second = EpisodeLog(collector, 2, 0, scoped=True), EpisodeLog(collector, 2, 1, scoped=True)
        for log in (first, second):
            log.log_batch(loss=1.0)
            log.log_epoch()
            log.emit(TelemetryEvent(Type.MEMORY_WARNING, env_id=9, episode_idx=9))
        events = kept(first)
        assert {(e.env_id, e.scoped) for e in events} == {(2, True)}
        assert [(e.episode_idx, e.tick) for e in events] == [(0, 0), (0, 1), (0, None), (1, 1), (1, 2), (1, None)]


class TestEnd:
    def test_the_outcome_is_logged_once(self, episode):
        episode.log_batch(loss=1.0)
        episode.log_epoch(val_accuracy=50.0, val_loss=1.5)
        episode.log_batch(loss=2.0)
        outcome = episode.conclude()
        assert outcome == EpisodeOutcome(epochs=1, final_accuracy=50.0, final_loss=1.5, best_accuracy=50.0)
        assert episode.conclude(state="failed", reason="too late") is outcome
        assert data(episode, Type.EPISODE_OUTCOME) == [outcome]
        assert [b.loss for b in data(episode, Type.BATCH_COMPLETED)] == [1.0, 2.0]

    def test_a_failure_says_why(self, episode):
        outcome = episode.conclude(state="failed", reason="RuntimeError: no")
        assert (outcome.state, outcome.reason) == ("failed", "RuntimeError: no")

    @pytest.mark.parametrize(
        ("call", "event_type"),
        [
            (lambda e: e.log_batch(loss=1.0), "BATCH_COMPLETED"),
            (lambda e: e.log_epoch(), "EPOCH_COMPLETED"),
            (lambda e: e.log_stage("early", "DORMANT", "GERMINATED"), "SEED_GERMINATED"),
            (lambda e: e.log_counterfactual(MATRIX), "COUNTERFACTUAL_MATRIX_COMPUTED"),
            (lambda e: e.emit(TelemetryEvent(Type.MEMORY_WARNING)), "MEMORY_WARNING"),
        ],
    )
    def test_nothing_can_be_logged_afterwards(self, episode, call, event_type):
        episode.conclude()
        with pytest.raises(UsageError) as caught:
            call(episode)
        assert str(caught.value) == f"nothing can be logged after the episode ended; got {event_type}. Conclude it last."
        assert len(kept(episode)) == 1

    def test_other_episodes_of_the_run_go_on(self):
        collector = KarnCollector()
        first, second = EpisodeLog(collector, 0, 0, scoped=True), EpisodeLog(collector, 0, 1, scoped=True)
        first.conclude()
        assert second.log_epoch().epoch == 1


class Slot(nn.Module):
    """Adds alpha times its seed module."""

    def __init__(self, slot_id):
        super().__init__()
        self.slot_id, self.channels = slot_id, 4
        self.seed, self.stage, self.alpha = None, SeedStage.DORMANT, 0.0

    def grow(self, stage=SeedStage.BLENDING, alpha=0.5):
        self.seed, self.stage, self.alpha = nn.Linear(4, 4), stage, alpha

    def forward(self, x):
        return x if self.seed is None or not self.alpha else x + self.alpha * self.seed(x)

    @contextmanager
    def force_alpha(self, alpha):
        before, self.alpha = self.alpha, alpha
        yield
        self.alpha = before


class Net(nn.Module):
    def __init__(self, device="cpu"):
        super().__init__()
        self.stem, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.seed_slots = nn.ModuleDict({name: Slot(name) for name in ("early", "late")})
        self.to(device)

    def forward(self, x):
        x = self.stem(x)
        for slot in self.seed_slots.values():
            x = slot(x)
        return self.head(x)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def loader():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 3, generator=generator)
    return [(inputs, (inputs.sum(1) > 0).long())]


def train(net, loader):
    """One step's gradients."""
    net.zero_grad()
    ((inputs, targets),) = loader
    loss = cross_entropy(net(inputs), targets)
    loss.backward()
    return loss


class TestAttached:
    def test_the_model_says_its_parameters_slots_and_gradient_norms(self, episode, net, loader):
        net.seed_slots["early"].grow()
        episode.attach(net)
        loss = train(net, loader)
        episode.log_batch(loss=loss)
        snapshot = episode.log_epoch(val_accuracy=60.0)
        host = [p.grad.norm().item() for part in (net.stem, net.head) for p in part.parameters()]
        seed = [p.grad.norm().item() for p in net.seed_slots["early"].seed.parameters()]
        assert snapshot.host.host_grad_norm == pytest.approx(math.hypot(*host), rel=1e-6)
        assert snapshot.host.seed_grad_norms == {"early": pytest.approx(math.hypot(*seed), rel=1e-6)}
        assert replace(snapshot.host, host_grad_norm=None, seed_grad_norms={}) == HostSnapshot(
            1,
            train_loss=loss.item(),
            val_accuracy=60.0,
            host_params=26,
            total_seed_params=20,
            total_params=46,
            fossilized_params=0,
        )
        assert snapshot.slots == {
            "early": SlotSnapshot("early", SeedStage.BLENDING, seed_params=20, alpha=0.5),
            "late": SlotSnapshot("late", SeedStage.DORMANT),
        }

    def test_what_is_passed_wins(self, episode, net, loader):
        net.seed_slots["early"].grow()
        episode.attach(net)
        train(net, loader)
        episode.log_batch(loss=1.0, seed_grad_norms={"early": 7.0})
        episode.log_batch(loss=1.0, host_grad_norm=9.0)
        slots = {"late": SlotSnapshot("late", SeedStage.TRAINING)}
        snapshot = episode.log_epoch(fossilized_params=3, slots=slots)
        assert (snapshot.host.fossilized_params, snapshot.slots) == (3, slots)
        first, second = data(episode, Type.BATCH_COMPLETED)
        assert first.seed_grad_norms == {"early": 7.0}
        assert first.host_grad_norm > 0
        assert second.host_grad_norm == 9.0
        assert second.seed_grad_norms["early"] > 0

    def test_with_a_loader_coalitions_are_evaluated_and_removal_costs_follow(self, episode, net, loader):
        net.seed_slots["early"].grow()
        net.seed_slots["late"].grow(SeedStage.TRAINING, 0.25)
        episode.attach(net, val_loader=loader)
        snapshot = episode.log_epoch(val_accuracy=60.0)
        matrix, logged = data(episode)
        assert logged == snapshot
        assert (matrix.epoch, matrix.slot_ids, len(matrix.configs)) == (1, ("early", "late"), 4)
        assert {tuple(result.alpha_settings.values()) for result in matrix.configs} == {(0, 0), (0.5, 0), (0, 0.25), (0.5, 0.25)}
        cost = matrix.value((True, True)) - matrix.value((False, True))
        assert snapshot.slots["early"].counterfactual_contribution == cost

    def test_coalitions_are_evaluated_every_so_many_epochs_and_only_when_there_is_a_seed_module(self, net, loader):
        episode = EpisodeLog(KarnCollector(KarnConfig(counterfactual_every=2)))
        episode.attach(net, val_loader=loader)
        for _ in range(2):
            episode.log_epoch()
        net.seed_slots["early"].grow()
        for _ in range(4):
            episode.log_epoch()
        assert [matrix.epoch for matrix in data(episode, Type.COUNTERFACTUAL_MATRIX_COMPUTED)] == [4, 6]

    def test_a_bad_value_is_refused_before_anything_is_evaluated(self, episode, net, loader):
        net.seed_slots["early"].grow()
        episode.attach(net, val_loader=loader)
        with pytest.raises(RecordError):
            episode.log_epoch(val_accuracy=101.0)
        assert kept(episode) == []

    def test_improvements_follow_from_what_was_logged_before(self, episode, net):
        episode.attach(net)
        episode.log_epoch(val_accuracy=40.0)
        net.seed_slots["early"].grow(SeedStage.TRAINING, 0.0)
        episode.log_stage("early", "DORMANT", "GERMINATED")
        episode.log_stage("early", "GERMINATED", "TRAINING")
        episode.log_epoch(val_accuracy=45.0)
        episode.log_gate(slot_id="early", gate="G2", passed=True, message="ready")
        slot = episode.log_epoch(val_accuracy=47.0).slots["early"]
        assert (slot.total_improvement, slot.improvement_this_epoch) == (7.0, 2.0)
        assert (slot.last_gate_attempted, slot.last_gate_passed, slot.last_gate_reason) == ("G2", True, "ready")
        outcome = episode.conclude()
        assert (outcome.germinated, outcome.fossilized, outcome.pruned) == (1, 0, 0)

    def test_it_completes_the_context_and_declares_its_slots(self, episode, net):
        episode.log_context(CONTEXT)
        episode.attach(net)
        completed = replace(CONTEXT, host_params=26, host_architecture="Net", slot_config={"early": 4, "late": 4})
        assert data(episode) == [CONTEXT, completed]
        with pytest.raises(RecordError, match="there is no slot 'lat'; got the slots are early, late"):
            episode.log_stage("lat", "DORMANT", "GERMINATED")
        episode.attach(net)
        assert len(kept(episode)) == 2

    def test_what_the_context_says_is_left_as_it_is(self, episode, net):
        context = replace(CONTEXT, host_params=1, host_architecture="mine", slot_config={"early": 8})
        episode.log_context(context)
        episode.attach(net)
        assert data(episode) == [context]

    def test_detached_it_says_nothing_more(self, episode, net):
        episode.attach(net)
        episode.log_batch(loss=1.0)
        episode.detach()
        snapshot = episode.log_epoch()
        assert snapshot == EpochSnapshot(1, HostSnapshot(1, train_loss=1.0))

    def test_a_short_trace_has_layers_captured_after_its_trigger_too(self, net, loader):
        episode = EpisodeLog(KarnCollector(KarnConfig(trace_batches=6)))
        episode.attach(net)
        for batch in range(64):
            train(net, loader)
            episode.log_batch(loss=math.nan if batch == 40 else 1.0)
        episode.detach()
        (trace,) = data(episode, Type.DENSE_TRACE_RECORDED)
        assert [batch.batch_idx for batch in trace.batch_metrics] == list(range(35, 47))
        assert {"stem", "head"} <= set(trace.gradient_histograms) & set(trace.activation_means)

    def test_the_training_loop_never_waits_for_the_device(self, episode):
        """On the meta device there are no values: reading one raises."""
        net = Net("meta")
        episode.attach(net)
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        for _ in range(20):
            episode.log_batch(loss=torch.ones((), device="meta"), accuracy=torch.ones((), device="meta"))
        assert kept(episode) == []
        with pytest.raises((RuntimeError, NotImplementedError)):
            episode.log_epoch()


KILLED_AFTER_THREE_EPOCHS = """
import os, signal, sys
from pathlib import Path
from karn_wandb.episode import EpisodeLog
from karn_wandb.pipeline import KarnCollector, RecordLog
from karn_wandb.records import FactoredAction

log = EpisodeLog(KarnCollector(log=RecordLog(Path(sys.argv[1]))))
for epoch in range(1, 4):
    log.log_decision(observation_vector=[epoch], action=FactoredAction("WAIT"))
    log.log_epoch(val_accuracy=epoch)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_has_every_epoch_that_log_epoch_returned_from_on_disk(tmp_path):
    command = [sys.executable, "-c", KILLED_AFTER_THREE_EPOCHS, str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    found = read_log(tmp_path / "log")
    assert found.damage == ()
    logged = [e.event_type for e in found.events if e.event_type not in READINGS]
    assert logged == [Type.DECISION_MADE, Type.EPOCH_COMPLETED] * 3
    assert [e.data.host.val_accuracy for e in found.events if isinstance(e.data, EpochSnapshot)] == [1.0, 2.0, 3.0]
