"""The store: the newest records of an episode, and never more than it may keep."""

import pytest
from hypothesis import given, settings
from strategies import any_record, records

from karn_wandb.pipeline import TelemetryStore
from karn_wandb.records import (
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpochSnapshot,
    FactoredAction,
    GateEvaluationTrace,
    HostBaseline,
    HostSnapshot,
    KarnConfig,
    PolicySnapshot,
    SeedStage,
    StageTransition,
)


def epoch(number):
    return EpochSnapshot(number, HostSnapshot(number))


MAKERS = {
    "epochs": epoch,
    "matrices": lambda n: CounterfactualMatrix(n, ()),
    "decisions": lambda n: PolicySnapshot((float(n),), FactoredAction("WAIT")),
    "stages": lambda n: StageTransition("a", SeedStage.DORMANT, SeedStage.GERMINATED, n),
    "gates": lambda n: GateEvaluationTrace("a", "G0", passed=True, epoch=n),
    "dense_traces": lambda n: DenseTrace("spike", n, n),
}


@pytest.mark.parametrize("buffer", MAKERS)
def test_a_buffer_keeps_the_newest_of_its_kind_in_order(buffer):
    store = TelemetryStore.for_config(KarnConfig(max_dense_traces=3, max_epochs_in_memory=3))
    made = [MAKERS[buffer](number) for number in range(1, 7)]
    for each in made:
        store.add(each)
    assert list(getattr(store, buffer)) == made[-3:]
    assert all(not getattr(store, other) for other in MAKERS.keys() - {buffer})


def test_no_dense_trace_is_kept_when_none_may_be():
    store = TelemetryStore.for_config(KarnConfig(max_dense_traces=0))
    store.add(DenseTrace("spike", 1, 1))
    assert not store.dense_traces


@settings(max_examples=10)
@given(records(EpisodeContext), records(EpisodeContext), records(HostBaseline), records(HostBaseline))
def test_context_and_baseline_are_the_newest(context, later_context, baseline, later_baseline):
    store = TelemetryStore()
    assert (store.context, store.baseline) == (None, None)
    for record in (context, baseline, later_context, later_baseline):
        store.add(record)
    assert (store.context, store.baseline) == (later_context, later_baseline)


@given(any_record())
def test_any_record_is_kept_once_or_not_at_all(record):
    store = TelemetryStore()
    store.add(record)
    kept = [
        *(getattr(store, name) for name in MAKERS),
        [store.context] if store.context else [],
        [store.baseline] if store.baseline else [],
    ]
    assert sum(map(len, kept)) <= 1
    assert all(each == record for buffer in kept for each in buffer)
