"""The process's collector, for code that emits from many places."""

import pytest

from karn_wandb import active
from karn_wandb.active import activate, configure, emit, get_collector
from karn_wandb.errors import UsageError
from karn_wandb.pipeline import KarnCollector
from karn_wandb.records import EpochSnapshot, HostSnapshot, KarnConfig, TelemetryEvent, TelemetryEventType

EVENT = TelemetryEvent(TelemetryEventType.EPOCH_COMPLETED, data=EpochSnapshot(1, HostSnapshot(1)))


@pytest.fixture(autouse=True)
def nothing_active(monkeypatch):
    monkeypatch.setattr(active, "_active", [])


def test_before_there_is_one_asking_for_it_says_what_to_do():
    for ask in (get_collector, lambda: emit(EVENT)):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == ("there is no collector yet. Call karn_wandb.init() or karn_wandb.configure() first.")


def test_configure_makes_one_that_keeps_events_in_memory():
    config = KarnConfig(mode="research")
    collector = configure(config)
    assert get_collector() is collector
    assert (collector.config, collector.log.path) == (config, None)
    kept = emit(EVENT)
    assert (kept.sequence, kept.tick) == (0, 1)
    assert collector.epoch_snapshot() == EVENT.data
    assert next(collector.log.events()) == kept


def test_the_newest_one_is_the_process_s():
    first, second = configure(), KarnCollector()
    assert activate(second) is second
    assert get_collector() is second
    emit(EVENT)
    assert first.log.next_sequence == 0
    assert configure().config == KarnConfig()
    assert get_collector() is not second
