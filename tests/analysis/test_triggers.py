"""Triggers: on an injected failure of each kind exactly the right one fires, once; on healthy training none does."""

import math
import random
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_record

from karn_wandb.analysis.baselines import BATCHES
from karn_wandb.analysis.triggers import DEAD_BATCHES, OVERFLOWS, TriggerWatch, in_slot
from karn_wandb.records import (
    ActivationStatistics,
    AdvantageStats,
    BatchMetrics,
    DenseTraceTrigger,
    EpochSnapshot,
    FactoredAction,
    GateEvaluationTrace,
    HostSnapshot,
    LayerStatistics,
    PolicySnapshot,
    PPOUpdate,
    SeedStage,
    SlotSnapshot,
    StageTransition,
)

PER_EPOCH = 50
NAN, INF = math.nan, math.inf


def batches(*losses, start=0, **measured):
    return [BatchMetrics(1 + n // PER_EPOCH, n % PER_EPOCH, loss, **measured) for n, loss in enumerate(losses, start)]


def normed(*norms, loss=1.0, slot=None):
    return [
        BatchMetrics(1, n, loss, host_grad_norm=None if slot else norm, seed_grad_norms={slot: norm} if slot else {})
        for n, norm in enumerate(norms)
    ]


def epoch(number, policy=None, slots=(), **host):
    return EpochSnapshot(number, HostSnapshot(number, **host), {slot.slot_id: slot for slot in slots}, policy)


def firings(records, watch=None, **trigger):
    watch = watch or TriggerWatch(DenseTraceTrigger(**trigger))
    return [firing for record in records for firing in watch.observe(record)]


def reasons(records, watch=None, **trigger):
    return [firing.reason for firing in firings(records, watch, **trigger)]


CALM = [1.0] * 60


def healthy(seed):
    """2000 batches of training: a decreasing loss with noise of cv 0.3, learning-rate warm-up, seed modules, layers, epochs."""
    draws = random.Random(seed)
    sigma = math.sqrt(math.log(1.09))
    skewed, tau, floor = draws.random() < 0.5, draws.uniform(50, 800), draws.uniform(0.01, 1)
    accuracy, shape = 10.0, draws.uniform(0.3, 2)

    def noise():
        return draws.lognormvariate(-sigma * sigma / 2, sigma) if skewed else max(0.01, draws.gauss(1, 0.3))

    for n in range(2000):
        level = floor + shape * 2.3 * math.exp(-n / tau) + 0.5 * math.exp(-(((n - 60) / 40) ** 2))
        norms = {"early": noise() * min(1.0, (n - 500) / 300) + 1e-3} if n > 500 else {}
        yield BatchMetrics(1 + n // 100, n % 100, level * noise(), None, level * noise() * 3, norms)
        if n % 100 in (49, 99):
            gradient_rms = {"stem": noise(), "frozen": 0.0}
            unlucky = {"stem": draws.randrange(10), "frozen": 50}
            yield LayerStatistics(1 + n // 100, n % 100 - 49, n % 100, 50, gradient_rms, unlucky)
        if n % 100 == 99:
            accuracy += draws.uniform(-4, 4) + (90 - accuracy) / 8
            yield epoch(1 + n // 100, val_loss=level * noise(), train_loss=level, val_accuracy=accuracy, host_grad_norm=3.0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_nothing_fires_on_healthy_training(seed):
    assert reasons(healthy(seed)) == []


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_nothing_fires_on_healthy_epochs_without_batches(seed):
    records = [record for record in healthy(seed) if isinstance(record, EpochSnapshot)]
    assert reasons(records) == []


def test_a_jump_between_two_episodes_is_no_anomaly():
    first = [*batches(*[0.1] * 200), epoch(4, val_accuracy=95.0, slots=[SlotSnapshot("early", SeedStage.FOSSILIZED)])]
    second = [*batches(*[7.0] * 200), epoch(4, val_accuracy=10.0, slots=[SlotSnapshot("early", SeedStage.DORMANT)])]
    assert reasons(first) + reasons(second) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(any_record(), max_size=6))
def test_any_record_is_taken(records):
    for firing in firings(records):
        assert firing.message
        assert all(isinstance(value, float) for value in firing.cause.values())


# losses


@pytest.mark.parametrize("threshold", [1.5, 2.0, 4.0])
def test_a_loss_spikes_above_threshold_times_its_average(threshold):
    assert reasons(batches(*CALM, threshold * 0.999, *CALM), loss_spike_threshold=threshold) == []
    assert reasons(batches(*CALM, threshold * 1.001, *CALM), loss_spike_threshold=threshold) == ["loss_spike"]


def test_a_firing_says_what_was_measured_and_where():
    (firing,) = firings(batches(*CALM, 5.0))
    assert (firing.epoch, firing.gate) == (2, None)
    assert firing.cause == {"loss": 5.0, "loss/typical": 1.0, "loss/limit": 2.0, "threshold": 2.0}
    assert firing.message == "loss 5 is above 2, typical is 1"


def test_a_spike_among_the_first_batches_is_not_told():
    assert reasons(batches(*[1.0] * (BATCHES.warm_up - 1), 9.0)) == []
    assert reasons(batches(*[1.0] * BATCHES.warm_up, 9.0)) == ["loss_spike"]


def test_a_long_spike_is_told_once_and_the_next_again():
    assert reasons(batches(*CALM, *[6.0] * 40, *CALM, *[6.0] * 3)) == ["loss_spike", "loss_spike"]


def test_a_level_that_lasts_is_the_new_normal():
    assert reasons(batches(*CALM, *[6.0] * 200, 11.0, *[6.0] * 9, 13.0)) == ["loss_spike", "loss_spike"]


def test_losses_of_epochs_count_when_no_batches_are_logged():
    calm = [epoch(n, train_loss=1.0, val_loss=1.0) for n in range(1, 5)]
    assert reasons([*calm, epoch(5, train_loss=1.0, val_loss=3.0)]) == ["loss_spike"]
    assert reasons([*calm, epoch(5, train_loss=3.0, val_loss=3.0)]) == ["loss_spike"]
    assert reasons([*calm, epoch(5, train_loss=1.9, val_loss=1.9)]) == []
    assert reasons([*batches(1.0), *calm, epoch(5, train_loss=3.0, val_loss=3.0)]) == []
    assert reasons([*calm[:2], epoch(3, train_loss=1.0, val_loss=3.0)]) == []


# gradients


@pytest.mark.parametrize("slot", [None, "early"])
@pytest.mark.parametrize("threshold", [10.0, 100.0])
def test_a_gradient_explodes_above_threshold_times_its_median(slot, threshold):
    assert reasons(normed(*CALM, threshold * 0.999, *CALM, slot=slot), gradient_explosion=threshold) == []
    assert reasons(normed(*CALM, threshold * 1.001, *CALM, slot=slot), gradient_explosion=threshold) == ["gradient_explosion"]


def test_an_explosion_that_raises_the_loss_within_bounds_is_an_explosion_only():
    records = [*normed(*CALM), *normed(500.0, 400.0, loss=1.8), *normed(*CALM)]
    assert reasons(records) == ["gradient_explosion"]


def test_an_explosion_of_host_and_seed_module_is_one():
    calm = [BatchMetrics(1, n, 1.0, None, 1.0, {"early": 0.1, "late": 0.2}) for n in range(50)]
    host_first = [BatchMetrics(1, 50, 1.0, None, 500.0, {"early": 0.1}), BatchMetrics(1, 51, 1.0, None, 500.0, {"early": 90.0})]
    (firing,) = firings([*calm, *host_first])
    assert firing.cause.keys() == {"host_grad_norm", "host_grad_norm/typical", "host_grad_norm/limit", "threshold"}
    (firing,) = firings([*calm, BatchMetrics(1, 50, 1.0, None, 500.0, {"early": 90.0})])
    assert {"host_grad_norm", "seed_grad_norms/early"} <= firing.cause.keys()


def test_a_seed_module_s_norm_starts_over_when_its_stage_changes():
    blend = StageTransition("early", SeedStage.TRAINING, SeedStage.BLENDING)
    records = [*normed(*CALM, slot="early"), blend, *normed(*[500.0] * 60, slot="early")]
    assert reasons(records, stage_transition=False) == []


def test_norms_of_nothing_trained_are_no_past():
    assert reasons(normed(*[0.0] * 100, *CALM)) == []


def test_gradient_norms_of_epochs_count_when_no_batches_are_logged():
    calm = [epoch(n, host_grad_norm=1.0) for n in range(1, 5)]
    assert reasons([*calm, epoch(5, host_grad_norm=101.0)]) == ["gradient_explosion"]


# not finite


@pytest.mark.parametrize("loss", [NAN, INF, -INF])
def test_a_loss_that_is_not_finite_is_told_at_once_and_once(loss):
    assert reasons(batches(loss)) == ["non_finite"]
    records = [*normed(*CALM), *normed(*[NAN] * 200, loss=loss), epoch(3, train_loss=NAN, val_loss=NAN, host_grad_norm=NAN)]
    assert reasons(records) == ["non_finite"]


def test_a_finite_stretch_ends_it():
    assert reasons(batches(NAN, *[1.0] * (BATCHES.calm - 1), NAN)) == ["non_finite"]
    assert reasons(batches(NAN, *[1.0] * BATCHES.calm, NAN)) == ["non_finite", "non_finite"]


def test_nan_never_enters_a_baseline():
    (_, firing) = firings(batches(*CALM, NAN, NAN, *CALM, 5.0))
    assert (firing.reason, firing.cause["loss/typical"]) == ("loss_spike", 1.0)


def test_overflows_of_loss_scaling_are_told_only_when_they_go_on():
    now_and_then = ([INF] * (OVERFLOWS - 1) + [1.0]) * 10
    assert reasons(normed(*CALM, *now_and_then)) == []
    (firing,) = firings(normed(*CALM, *[INF] * 50))
    assert (firing.reason, firing.cause) == ("non_finite", {"host_grad_norm": INF})


def test_an_epoch_s_means_of_bad_batches_are_no_news_and_its_validation_loss_is():
    recovered = batches(*CALM, NAN, *CALM)
    assert reasons([*recovered, epoch(3, train_loss=NAN, host_grad_norm=NAN, val_loss=1.0)]) == ["non_finite"]
    assert reasons([*recovered, epoch(3, val_loss=NAN), epoch(4, val_loss=NAN)]) == ["non_finite", "non_finite"]
    assert reasons([epoch(1, train_loss=NAN), epoch(2, train_loss=NAN)]) == ["non_finite"]


ADVANTAGES = AdvantageStats(0.0, NAN, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"policy_loss": NAN}, {"policy_loss"}),
        ({"grad_norm": INF, "entropy": 1.0}, {"grad_norm"}),
        ({"per_head_kl": {"op": NAN}}, {"per_head_kl/op"}),
        ({"advantages": ADVANTAGES}, {"advantages/std"}),
    ],
)
def test_a_ppo_statistic_that_is_not_finite_is_told_at_once(values, cause):
    (firing,) = firings([PPOUpdate(**values), PPOUpdate(**values)])
    assert (firing.reason, firing.cause.keys()) == ("non_finite", cause)


def test_explained_variance_of_returns_that_do_not_vary_is_no_failure():
    assert reasons([PPOUpdate(explained_variance=NAN, value_nrmse=INF, return_std=0.0)]) == []


def test_a_decision_s_value_must_be_finite_and_its_observation_need_not():
    decision = PolicySnapshot((INF,), FactoredAction("WAIT"), {"op": -INF}, value_estimate=0.1)
    assert reasons([decision]) == []
    assert reasons([replace(decision, value_estimate=NAN)]) == ["non_finite"]
    assert reasons([epoch(1, replace(decision, value_estimate=NAN))]) == ["non_finite"]


# accuracy


def test_an_accuracy_drop_is_more_than_the_threshold_below_the_epoch_before():
    assert reasons([epoch(1, val_accuracy=60.0), epoch(2, val_accuracy=55.0)]) == []
    (firing,) = firings([epoch(1, val_accuracy=60.0), epoch(2), epoch(3, val_accuracy=54.9)])
    assert (firing.reason, firing.epoch) == ("accuracy_drop", 3)
    assert firing.cause == {"val_accuracy": 54.9, "val_accuracy/before": 60.0, "threshold": 5.0}
    assert firing.message == "validation accuracy fell from 60 % to 54.9 %"


def test_a_long_drop_is_one():
    assert (
        reasons([epoch(n, val_accuracy=value) for n, value in enumerate((90.0, 80.0, 70.0, 70.0, 60.0))]) == ["accuracy_drop"] * 2
    )


# stages


def slots(**stages):
    return [SlotSnapshot(slot_id, stage) for slot_id, stage in stages.items()]


def test_a_stage_transition_is_told_and_the_snapshot_after_it_is_no_news():
    records = [
        epoch(1, slots=slots(early=SeedStage.DORMANT)),
        StageTransition("early", SeedStage.DORMANT, SeedStage.GERMINATED),
        epoch(2, slots=slots(early=SeedStage.GERMINATED)),
    ]
    (firing,) = firings(records)
    assert (firing.reason, firing.epoch, firing.cause) == ("stage_transition", 1, {"early/stage": 2.0})
    assert firing.message == "slot 'early': DORMANT to GERMINATED"


def test_a_snapshot_before_its_event_is_told_once_too():
    records = [
        epoch(1, slots=slots(early=SeedStage.DORMANT)),
        epoch(2, slots=slots(early=SeedStage.GERMINATED)),
        StageTransition("early", SeedStage.DORMANT, SeedStage.GERMINATED, epoch=2),
        StageTransition("early", SeedStage.GERMINATED, SeedStage.TRAINING, epoch=2),
    ]
    assert [firing.message for firing in firings(records)] == [
        "slot 'early': DORMANT to GERMINATED",
        "slot 'early': GERMINATED to TRAINING",
    ]


def test_an_event_after_the_first_snapshot_is_told():
    records = [
        epoch(1, slots=slots(early=SeedStage.GERMINATED)),
        StageTransition("early", SeedStage.DORMANT, SeedStage.GERMINATED, epoch=1),
    ]
    assert reasons(records) == ["stage_transition"]


def test_slots_that_change_in_one_epoch_are_one_firing():
    records = [
        epoch(1, slots=slots(early=SeedStage.TRAINING, mid=SeedStage.DORMANT)),
        epoch(2, slots=slots(early=SeedStage.PRUNED, mid=SeedStage.DORMANT, late=SeedStage.GERMINATED, other=SeedStage.DORMANT)),
        epoch(3, slots=slots(early=SeedStage.PRUNED, late=SeedStage.GERMINATED)),
    ]
    (firing,) = firings(records)
    assert firing.message == "slot 'early': TRAINING to PRUNED, slot 'late': new to GERMINATED"
    assert firing.cause == {"early/stage": 8.0, "late/stage": 2.0}


# gates


def gate(name="G2", passed=False, seed_id="s1", **other):
    return GateEvaluationTrace("early", name, passed, seed_id=seed_id, **other)


def test_a_gate_failure_carries_the_gate():
    failed = gate(epoch=7, checks_failed=("learned",), measurements={"learned": 0.1}, thresholds={"learned": 0.5})
    (firing,) = firings([failed])
    assert (firing.reason, firing.epoch, firing.gate) == ("gate_failure", 7, failed)
    assert firing.cause == {"learned": 0.1, "learned/threshold": 0.5}
    assert firing.message == "slot 'early' did not pass G2: learned"


def test_a_gate_that_is_passed_is_no_failure():
    assert reasons([gate(passed=True)]) == []


def test_a_gate_failed_again_is_the_same_failure_until_something_changes():
    moved = StageTransition("early", SeedStage.TRAINING, SeedStage.PRUNED)
    assert len(firings([gate(), gate(message="still"), gate()])) == 1
    assert len(firings([gate(), gate("G3"), gate(seed_id="s2")])) == 3
    assert len(firings([gate(), gate(passed=True), gate()])) == 2
    assert len(firings([gate(), moved, gate()], stage_transition=False)) == 2


# layers


def stretch(number, zero=(), alive=("stem",), size=DEAD_BATCHES, fired=None):
    gradient_rms = dict.fromkeys(alive, 0.1) | dict.fromkeys(zero, 0.0)
    seen = {layer: ActivationStatistics(100, 0.0, 1.0, 8, bits) for layer, bits in (fired or {}).items()}
    return LayerStatistics(1, number * size, number * size + size - 1, size, gradient_rms, dict.fromkeys(zero, size), {}, seen)


def test_a_layer_that_had_a_gradient_and_gets_exactly_none_is_dead():
    (firing,) = firings([stretch(0, alive=("stem", "head")), stretch(1, ("head",)), stretch(2, ("head",))])
    assert (firing.reason, firing.message) == ("dead_layer", f"dead: head for {DEAD_BATCHES} batches")
    assert firing.cause == {"head": DEAD_BATCHES}


def test_a_dead_layer_needs_enough_batches():
    few = DEAD_BATCHES // 2
    records = [stretch(0, alive=("head",), size=few), stretch(1, ("head",), size=few), stretch(2, ("head",), size=few)]
    assert reasons(records[:2]) == []
    assert reasons(records) == ["dead_layer"]


def test_one_batch_with_a_gradient_is_a_sign_of_life():
    almost = LayerStatistics(1, 50, 99, 50, {"head": 0.001}, {"head": 49})
    assert reasons([stretch(0, alive=("head",)), almost, almost]) == []


def test_a_layer_that_never_had_a_gradient_or_has_none_any_more_is_not_dead():
    never = [stretch(n, ("head",)) for n in range(5)]
    frozen = [stretch(0, alive=("head",)), stretch(1), stretch(2, ("head",))]
    assert reasons(never) == reasons(frozen) == []


def test_a_layer_with_a_gradient_in_some_batches_only_all_zero_shows_neither_life_nor_death():
    partly = LayerStatistics(1, 20, 69, 50, {"head": 0.0}, {"head": 10})
    assert reasons([stretch(0, alive=("head",)), partly, stretch(5, ("head",))]) == []


def test_a_layer_whose_slot_is_empty_or_changed_stage_is_not_dead():
    layer = "seed_slots.early.seed.0"
    training = StageTransition("early", SeedStage.GERMINATED, SeedStage.TRAINING)
    pruned = StageTransition("early", SeedStage.TRAINING, SeedStage.PRUNED)
    records = [
        training,
        stretch(0, alive=(layer,)),
        pruned,
        stretch(1, (layer,)),
        stretch(2, alive=(layer,)),
        stretch(3, (layer,)),
    ]
    assert reasons(records, stage_transition=False) == []
    assert reasons([training, stretch(0, alive=(layer,)), stretch(1, (layer,))], stage_transition=False) == ["dead_layer"]


def test_a_layer_none_of_whose_units_fires_any_more_is_dead():
    records = [stretch(0, fired={"relu": "81"}), stretch(1, fired={"relu": "00"}), stretch(2, fired={"relu": "00"})]
    assert reasons(records) == ["dead_layer"]
    assert reasons(records[1:]) == []
    assert reasons([records[0], stretch(1, fired={"relu": "01"})]) == []


@pytest.mark.parametrize(
    ("layer", "belongs"),
    [
        ("seed_slots.early.seed.0", True),
        ("early.seed", True),
        ("early/0.weight", True),
        ("early.0", False),
        ("very_early.seed.0", False),
        ("seed_slots.late.seed.early", False),
    ],
)
def test_a_layer_belongs_to_the_slot_whose_seed_module_it_is_in(layer, belongs):
    assert in_slot(layer, "early") is belongs


# policy


def decisions(values):
    wait = FactoredAction("WAIT")
    return [PolicySnapshot((float(n),), wait, value_estimate=value) for n, value in enumerate(values)]


FLAT_CRITIC = decisions([n % 7 / 7 for n in range(40)] + [0.5] * 60)
CERTAIN_POLICY = [PPOUpdate(entropy=entropy) for entropy in [1.0] * 20 + [0.001] * 40]


def test_a_critic_that_says_the_same_everywhere_is_told_once():
    (firing,) = firings(FLAT_CRITIC)
    assert firing.reason == "value_collapse"
    assert firing.message.startswith("the critic predicts the same value everywhere: value_std 0, ")
    assert firing.cause["value_std"] == 0


def test_a_policy_that_becomes_deterministic_is_told_once():
    (firing,) = firings([epoch(3), *CERTAIN_POLICY])
    assert (firing.reason, firing.epoch) == ("entropy_collapse", 3)
    assert firing.message.startswith("the policy becomes deterministic: entropy 0.001, ")


def test_a_decision_that_an_epoch_repeats_is_looked_at_once():
    """The 20 newest decisions decide: the 20th flat one, not the 10th, makes a collapse."""
    varied, flat = FLAT_CRITIC[:40], FLAT_CRITIC[40:]
    repeated = [record for n, one in enumerate((*varied, *flat[:19]), 1) for record in (one, epoch(n, one))]
    assert reasons(repeated) == []
    assert reasons([epoch(n, one) for n, one in enumerate(FLAT_CRITIC, 1)]) == ["value_collapse"]


# all of them

INJECTED = {
    "stage_transition": [StageTransition("early", SeedStage.DORMANT, SeedStage.GERMINATED)],
    "gate_failure": [gate()],
    "loss_spike_threshold": batches(*CALM, 9.0),
    "accuracy_drop_threshold": [epoch(1, val_accuracy=90.0), epoch(2, val_accuracy=10.0)],
    "gradient_explosion": normed(*CALM, 500.0),
    "non_finite": batches(NAN),
    "dead_layer": [stretch(0, alive=("head",)), stretch(1, ("head",))],
    "value_collapse": FLAT_CRITIC,
    "entropy_collapse": CERTAIN_POLICY,
}


@pytest.mark.parametrize("name", INJECTED)
def test_a_trigger_that_is_off_does_not_fire(name):
    off = False if isinstance(getattr(DenseTraceTrigger(), name), bool) else 1e9
    assert len(firings(INJECTED[name])) == 1
    assert firings(INJECTED[name], **{name: off}) == []


def test_every_trigger_but_the_mode_is_tested():
    assert {f.name for f in fields(DenseTraceTrigger)} - {"force_dense"} == INJECTED.keys()


def test_force_dense_fires_nothing():
    assert reasons(batches(*CALM), force_dense=True) == []


def test_memory_is_bounded():
    watch = TriggerWatch(DenseTraceTrigger())
    reasons(healthy(0), watch)
    reasons(batches(*(1.0 + 99 * (n % 200 > 180) for n in range(3000))), watch)
    held = [
        b for spikes in (watch._batch_spikes, watch._epoch_spikes) for kind in spikes._kinds.values() for b in kind._of.values()
    ]
    assert len(held) == 3
    assert all(len(baseline._usual) + len(baseline._held) <= BATCHES.window + BATCHES.lasting for baseline in held)
