"""The process's collector, for code that emits from many places and has no run at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from karn_wandb.errors import UsageError
from karn_wandb.pipeline import KarnCollector
from karn_wandb.records import KarnConfig, TelemetryEvent

_active: list[KarnCollector] = []


def configure(config: KarnConfig | None = None) -> KarnCollector:
    """Make a collector that keeps its events in memory, and the process's from now on."""
    return activate(KarnCollector(config))


def activate(collector: KarnCollector) -> KarnCollector:
    """Make a collector the process's from now on; `init` does it with the newest run's."""
    _active[:] = [collector]
    return collector


def get_collector() -> KarnCollector:
    """The process's collector.

    Raises:
        UsageError: There is none yet.
    """
    if not _active:
        raise UsageError("there is no collector yet", do="Call karn_wandb.init() or karn_wandb.configure() first.")
    return _active[0]


def emit(event: TelemetryEvent) -> TelemetryEvent:
    """Give an event to the process's collector."""
    return get_collector().emit(event)


@contextmanager
def restored() -> Iterator[None]:
    """Afterwards the process's collector is what it is now."""
    before = list(_active)
    try:
        yield
    finally:
        _active[:] = before
