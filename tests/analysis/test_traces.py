"""Dense traces: the batches before and after a firing, their layers, the cause; research mode covers everything once."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.analysis.traces import LONGEST, MOST_MESSAGES, DenseTraces, gradient_flow, merge_activations
from karn_wandb.analysis.triggers import Firing, TriggerWatch
from karn_wandb.records import (
    ActivationStatistics,
    BatchMetrics,
    DenseTraceTrigger,
    EpochSnapshot,
    GateEvaluationTrace,
    GradientHistogram,
    HostSnapshot,
    KarnConfig,
    LayerStatistics,
)

SIZE = 8
SPIKE = Firing("loss_spike", 1, "loss 9 is above 2", {"loss": 9.0})


def traces(**config):
    return DenseTraces(KarnConfig(trace_batches=SIZE, **config))


def batch(index, epoch=1):
    return BatchMetrics(epoch, index, 1.0)


def epoch(number):
    return EpochSnapshot(number, HostSnapshot(number))


def layers(first, last, number=1, **values):
    return LayerStatistics(number, first, last, last - first + 1, **values)


def indices(trace):
    return [b.batch_idx for b in trace.batch_metrics]


def feed(dense, records):
    return [trace for record in records for trace in dense.observe(record)]


def test_a_trace_holds_batches_before_and_after_and_the_cause():
    dense = traces()
    feed(dense, map(batch, range(20)))
    assert dense.observe(batch(20), (SPIKE,)) == ()
    assert dense.wanted
    (trace,) = feed(dense, map(batch, range(21, 60)))
    assert indices(trace) == list(range(13, 29))
    assert (trace.trigger_reason, trace.cause, trace.message) == ("loss_spike", {"loss": 9.0}, "loss 9 is above 2")
    assert (trace.window_start_epoch, trace.window_end_epoch) == (1, 1)
    assert (trace.gradient_histograms, trace.gradient_flow, trace.activation_means) == ({}, {}, {})
    assert not dense.wanted


def test_what_the_watch_finds_is_traced():
    watch, dense = TriggerWatch(DenseTraceTrigger()), traces()
    found = []
    for index in range(60):
        record = BatchMetrics(1, index, math.nan if index == 40 else 1.0)
        found += dense.observe(record, watch.observe(record))
    (trace,) = found
    assert trace.trigger_reason == "non_finite"
    assert indices(trace) == list(range(33, 49))


def test_a_firing_for_the_same_reason_joins_the_open_window():
    dense = traces()
    dense.observe(batch(0), (SPIKE,))
    dense.observe(batch(1), (Firing("loss_spike", 1, "again", {"loss": 7.0}),))
    dense.observe(batch(2), (Firing("loss_spike", 1, "again"),))
    (trace,) = dense.close()
    assert (trace.message, trace.cause) == ("loss 9 is above 2; again", {"loss": 9.0})


def test_messages_that_join_are_bounded():
    dense = traces()
    for number in range(100):
        dense.observe(epoch(0), (Firing("gate_failure", 1, f"failure {number}"),))
    (trace,) = dense.close()
    assert trace.message.startswith("failure 0; failure 1; ")
    assert trace.message.endswith(f"failure {MOST_MESSAGES - 1}; and {100 - MOST_MESSAGES} more")


def test_other_reasons_have_windows_of_their_own():
    dense = traces()
    dense.observe(batch(0), (SPIKE, Firing("gradient_explosion", 1, "norm")))
    assert [trace.trigger_reason for trace in dense.close()] == ["loss_spike", "gradient_explosion"]


def test_a_firing_after_a_full_window_opens_another():
    dense = traces()
    dense.observe(batch(0), (SPIKE,))
    (first,) = feed(dense, map(batch, range(1, SIZE + 1)))
    dense.observe(batch(SIZE + 1), (SPIKE,))
    (second,) = dense.close()
    assert (indices(first)[-1], indices(second)[-1]) == (SIZE, SIZE + 1)


def test_a_gate_s_internals_are_in_its_trace():
    gate = GateEvaluationTrace("early", "G2", passed=False, checks_failed=("learned",))
    dense = traces()
    dense.observe(gate, (Firing("gate_failure", 3, "G2", gate=gate),))
    (trace,) = dense.close()
    assert trace.gate_evaluation_details == gate


def test_a_window_ends_with_the_next_epoch():
    dense = traces()
    dense.observe(batch(0), (SPIKE,))
    assert feed(dense, [epoch(1), batch(0, 2)]) == []
    (trace,) = dense.observe(epoch(2))
    assert [(b.epoch, b.batch_idx) for b in trace.batch_metrics] == [(1, 0), (2, 0)]
    assert (trace.window_start_epoch, trace.window_end_epoch) == (1, 2)


def test_without_batches_the_window_is_the_firing_s_epoch():
    dense = traces()
    assert dense.observe(epoch(3), (Firing("accuracy_drop", 3, "fell"),)) == ()
    (trace,) = dense.observe(epoch(4))
    assert (trace.batch_metrics, trace.window_start_epoch, trace.window_end_epoch) == ((), 3, 3)


def test_the_end_of_the_episode_ends_all_windows():
    dense = traces()
    feed(dense, [batch(0)])
    dense.observe(batch(1), (SPIKE,))
    (trace,) = dense.close()
    assert indices(trace) == [0, 1]
    assert dense.close() == ()
    assert not dense.wanted


def test_a_full_window_waits_for_the_layers_of_its_last_batch():
    dense = traces()
    feed(dense, [*map(batch, range(10)), layers(0, 9, gradient_rms={"stem": 1.0})])
    dense.observe(batch(10), (SPIKE,))
    assert feed(dense, map(batch, range(11, 20))) == []
    assert not dense.wanted
    (trace,) = dense.observe(layers(10, 19, gradient_rms={"stem": 7.0}))
    assert indices(trace) == list(range(3, 19))
    assert trace.gradient_flow == {"stem": 5.0}


@pytest.mark.parametrize("later", [[layers(19, 30)], [epoch(1)], [batch(n) for n in range(19, 19 + LONGEST)]])
def test_it_does_not_wait_for_ever(later):
    dense = traces()
    feed(dense, [layers(0, 0), *map(batch, range(10))])
    dense.observe(batch(10), (SPIKE,))
    assert feed(dense, map(batch, range(11, 19))) == []
    (trace,) = feed(dense, later)
    assert indices(trace) == list(range(3, 19))
    assert trace.gradient_flow == {}


def test_layers_of_other_batches_are_left_out():
    dense = traces()
    early, partly = layers(0, 9, gradient_rms={"stem": 100.0}), layers(10, 19, gradient_rms={"stem": 2.0})
    feed(dense, [*map(batch, range(10)), early, *map(batch, range(10, 20)), partly])
    dense.observe(batch(20), (SPIKE,))
    (trace,) = dense.close()
    assert trace.gradient_flow == {"stem": 2.0}


def test_the_rings_are_bounded():
    dense = traces()
    for index in range(1000):
        feed(dense, [batch(index), layers(index, index)])
    assert len(dense._batches) == SIZE
    assert len(dense._layers) <= SIZE + 1
    only_layers = traces()
    feed(only_layers, (layers(index, index) for index in range(1000)))
    assert len(only_layers._layers) == 2 * SIZE


def test_research_mode_wants_everything_from_the_beginning():
    assert not traces().wanted
    assert traces(mode="research").wanted
    assert traces(trigger=DenseTraceTrigger(force_dense=True)).wanted


def test_a_research_trace_is_an_epoch_and_a_firing_has_its_own_beside_it():
    dense = traces(mode="research")
    feed(dense, [batch(0)])
    dense.observe(batch(1), (SPIKE,))
    (research,) = dense.observe(epoch(1))
    assert (research.trigger_reason, indices(research), research.cause) == ("force_dense", [0, 1], {})
    (spike,) = dense.close()
    assert spike.trigger_reason == "loss_spike"


def test_research_may_be_switched_on_and_off():
    dense = traces()
    feed(dense, [batch(0)])
    dense.always = True
    feed(dense, [batch(1), batch(2)])
    dense.always = False
    (trace,) = feed(dense, [batch(3), epoch(1), batch(0, 2), epoch(2)])
    assert indices(trace) == [1, 2]


def test_a_part_of_a_long_epoch_waits_for_its_layers_and_layers_are_in_one_part_only():
    dense = traces(mode="research")
    found = feed(dense, [batch(0), layers(0, 0, gradient_rms={"stem": 3.0}), *map(batch, range(1, 300))])
    assert found == []
    found = feed(dense, [layers(250, 280, gradient_rms={"stem": 3.0}), layers(281, 299, gradient_rms={"head": 1.0}), epoch(1)])
    assert [sorted(trace.gradient_flow) for trace in found] == [["stem"], ["head"]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=4), st.booleans(), st.integers(1, 300))
def test_research_traces_cover_every_batch_once_and_in_order(epochs, snapshots, interval):
    dense, found = traces(mode="research"), []
    for number, count in enumerate(epochs, 1):
        for index in range(count):
            found += dense.observe(batch(index, number))
            if index % interval == interval - 1:
                found += dense.observe(layers(index - interval + 1, index, number))
        found += dense.observe(epoch(number)) if snapshots else ()
    found += dense.close()
    places = [(b.epoch, b.batch_idx) for trace in found for b in trace.batch_metrics]
    assert places == [(number, index) for number, count in enumerate(epochs, 1) for index in range(count)]
    assert all(0 < len(trace.batch_metrics) <= LONGEST for trace in found)
    assert all(trace.window_start_epoch == trace.window_end_epoch for trace in found)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["batch", "loss_spike", "gate_failure"]), max_size=80))
def test_windows_of_one_reason_follow_each_other_and_hold_their_firing(steps):
    dense, found = traces(), []
    for index, step in enumerate(steps):
        fired = () if step == "batch" else (Firing(step, 1, str(index)),)
        found += dense.observe(batch(index), fired)
    found += dense.close()
    for reason in ("loss_spike", "gate_failure"):
        mine = [trace for trace in found if trace.trigger_reason == reason]
        starts = [int(trace.message.split(";")[0]) for trace in mine]
        for trace, start in zip(mine, starts, strict=True):
            assert indices(trace) == list(range(max(0, start - SIZE + 1), min(len(steps), start + SIZE + 1)))
        assert all(later - sooner >= SIZE for sooner, later in pairwise(starts))
        assert bool(mine) == (reason in steps)


def statistics(values):
    """What capture would say of activations of shape (elements, units)."""
    fired = np.packbits((values > 0).any(axis=0)).tobytes().hex()
    return ActivationStatistics(values.size, float(values.mean()), float(values.std()), values.shape[1], fired)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 20), st.integers(0, 10**6))
def test_merged_activations_equal_those_of_the_union(sizes, units, seed):
    draws = np.random.default_rng(seed)
    parts = [draws.normal(draws.normal(-2, 1), 1, (size, units)) for size in sizes]
    merged, union = merge_activations([statistics(part) for part in parts]), statistics(np.concatenate(parts))
    assert (merged.count, merged.units, merged.fired, merged.dead) == (union.count, union.units, union.fired, union.dead)
    assert merged.mean == pytest.approx(union.mean, abs=1e-12)
    assert merged.std == pytest.approx(union.std, abs=1e-12)


def test_a_layer_that_became_another_is_not_merged_with_what_it_was():
    was, now = ActivationStatistics(10, 5.0, 1.0, 4, "f0"), ActivationStatistics(10, 1.0, 1.0, 8, "01")
    assert merge_activations([was, now]) == now


def test_activations_that_are_not_finite_stay_so():
    sane, broken = ActivationStatistics(10, 5.0, 1.0, 4, "f0"), ActivationStatistics(10, math.nan, math.nan, 4, "00")
    assert math.isnan(merge_activations([sane, broken]).mean)
    assert merge_activations([ActivationStatistics(0, 0.0, 0.0, 4, "00")]).dead == 4


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 10**6))
def test_gradient_flow_is_the_root_mean_square_of_the_union(sizes, seed):
    draws = np.random.default_rng(seed)
    parts = [draws.normal(0, draws.uniform(0.1, 9), (size, 30)) for size in sizes]
    stretches = [layers(0, len(p) - 1, gradient_rms={"stem": float(np.sqrt((p**2).mean()))}) for p in parts]
    assert gradient_flow(stretches)["stem"] == pytest.approx(float(np.sqrt((np.concatenate(parts) ** 2).mean())))


def test_gradient_flow_of_a_layer_is_over_the_stretches_that_have_it():
    assert gradient_flow([layers(0, 0, gradient_rms={"a": 1e200}), layers(1, 1, gradient_rms={"b": math.nan})]) == {
        "a": 1e200,
        "b": pytest.approx(math.nan, nan_ok=True),
    }


def test_what_the_layers_say_is_in_the_trace():
    first = layers(
        0,
        4,
        gradient_rms={"stem": 3.0},
        histograms={"stem": GradientHistogram((), 0, (1, 2), 500, 3, 1)},
        activations={"relu": ActivationStatistics(10, 1.0, 0.0, 8, "80")},
    )
    second = layers(
        5,
        9,
        gradient_rms={"stem": 3.0},
        histograms={"stem": GradientHistogram((4,), 490, (1,), 501, 2)},
        activations={"relu": ActivationStatistics(30, 5.0, 0.0, 8, "81")},
    )
    dense = DenseTraces(KarnConfig(trace_batches=64, histogram_bins=16))
    feed(dense, [*map(batch, range(5)), first, *map(batch, range(5, 10)), second])
    dense.observe(batch(10), (SPIKE,))
    (trace,) = dense.close()
    assert trace.gradient_flow == pytest.approx({"stem": 3.0})
    assert (trace.gradient_zeros, trace.gradient_non_finite) == ({"stem": 5}, {"stem": 1})
    assert sum(trace.gradient_histograms["stem"]) == pytest.approx(1 + 2 + 4 + 1 + 5)
    assert len(trace.histogram_edges["stem"]) == len(trace.gradient_histograms["stem"]) + 1
    assert (trace.activation_means, trace.dead_neuron_counts) == ({"relu": 4.0}, {"relu": 6})
    assert trace.activation_stds == pytest.approx({"relu": math.sqrt(3)})
