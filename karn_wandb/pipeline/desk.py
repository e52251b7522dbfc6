"""Live analysis of each episode: every record brings it up to date, and some give readings, which are records too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from karn_wandb.analysis import DenseTraces, HealthMonitor, Lifecycle, Mode, MorphogeneticAnalytics, SlotHistory, TriggerWatch
from karn_wandb.analysis.health import LOST
from karn_wandb.pipeline.delivery import Guard
from karn_wandb.pipeline.store import TelemetryStore
from karn_wandb.records import (
    Alert,
    ClaimReading,
    DenseTrace,
    EpisodeOutcome,
    EpochSnapshot,
    HealthReport,
    KarnConfig,
    Record,
    TelemetryEvent,
)

EpisodeKey = tuple[int, int, bool]
"""env_id, episode_idx, and whether it was logged through `run.episode`: the run's own records are apart from those."""

READINGS = (ClaimReading, HealthReport, Alert, DenseTrace)
"""What comes out of the analysis; it takes note of them and reads nothing further off them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How the pipeline itself is doing.

    Attributes:
        dropped_records: Records that could not be kept.
        sink_lag: Records the slowest sink is behind.
        failures: What failed, in words.
    """

    dropped_records: int
    sink_lag: int
    failures: tuple[str, ...]


class Desk:
    """Everything live analysis keeps of one episode.

    Args:
        config: Settings of the instrument.
        condition: Says how the pipeline is doing.
    """

    def __init__(self, config: KarnConfig, condition: Callable[[], Condition]) -> None:
        self.store = TelemetryStore.for_config(config)
        self.analytics = MorphogeneticAnalytics(config.max_epochs_in_memory)
        self.lifecycle = Lifecycle()
        self.slots = SlotHistory()
        self.health = HealthMonitor(config)
        self._mode = Mode(config)
        self._watch = TriggerWatch(config.trigger)
        self._traces = DenseTraces(config)
        self._traces.always = self._mode.research
        self._condition = condition
        self._epoch = 0

    @property
    def research(self) -> bool:
        """Whether everything is captured at the moment, by the mode."""
        return self._mode.research

    @property
    def dense(self) -> bool:
        """Whether histograms and activations are wanted of the coming batches."""
        return self._traces.wanted

    def keep(self, record: Record) -> None:
        """Keep a record at hand: the newest of each kind, and what the five questions rest on."""
        self.store.add(record)
        self.analytics.observe(record)
        self.lifecycle.observe(record)
        self.slots.observe(record)

    def observe(self, record: Record) -> Iterator[Record]:
        """Take a record that was kept into account; gives the readings that follow from it."""
        if isinstance(record, READINGS):
            return
        self.health.observe(record)
        firings = self._watch.observe(record)
        for firing in firings:
            self.health.observe_firing(firing.reason, firing.message, firing.epoch)
            self._mode.escalate(firing.epoch, firing.reason)
        if isinstance(record, EpochSnapshot):
            yield from self._end_of_epoch(record.epoch)
        yield from self._traces.observe(record, firings)
        self._traces.always = self._mode.research
        yield from self.health.alerts(self._epoch + 1)

    def _end_of_epoch(self, epoch: int) -> Iterator[Record]:
        self._epoch = epoch
        self._mode.observe_epoch(epoch)
        now = self._condition()
        for failure in now.failures:
            self.health.observe_trouble("sink", failure)
        if now.dropped_records:
            self.health.observe_trouble("dropped_records", LOST)
        claim = self.analytics.claim_reading()
        if claim is not None:
            yield claim
        yield self.report()

    def report(self) -> HealthReport:
        """State of the instrument and of the episode's numbers, now."""
        now = self._condition()
        return self.health.report(
            self._epoch,
            dropped_records=now.dropped_records,
            sink_lag=now.sink_lag,
            mode=self._mode.name,
            failures=now.failures,
        )

    def close(self) -> tuple[Record, ...]:
        """The episode ends: the dense traces that are still open."""
        return self._traces.close()


class Analyst(Guard):
    """Live analysis as a sink: each event brings the desk of its episode up to date; readings go back to the log.

    When a reading fails there are no more readings, but what was logged stays at hand.

    Args:
        desks: The desks by episode.
        keep: Takes a reading, and the event it follows from.

    Attributes:
        doubt: What is doubtful about the numbers, in words; "" while nothing is.
    """

    name = "analysis"

    def __init__(self, desks: Mapping[EpisodeKey, Desk], keep: Callable[[TelemetryEvent, Record], object]) -> None:
        super().__init__()
        self._desks = desks
        self._keep = keep
        self.doubt = ""

    def write(self, event: TelemetryEvent) -> None:
        """Analyse one event."""
        record, desk = event.data, self._desks.get(key_of(event))
        if isinstance(record, Record) and desk is not None:
            desk.keep(record)
            self.attempt(lambda: self._keep_all(event, desk.observe(record)))
            self.doubt = self.doubt or desk.health.doubt

    def replay(self, event: TelemetryEvent) -> tuple[Record, ...]:
        """Analyse an event that was logged before; gives its readings instead of keeping them."""
        readings: list[Record] = []
        record, desk = event.data, self._desks[key_of(event)]
        if isinstance(record, Record):
            desk.keep(record)
            self.attempt(lambda: readings.extend(desk.observe(record)))
            self.doubt = self.doubt or desk.health.doubt
        if isinstance(record, EpisodeOutcome):
            desk.close()
        return tuple(readings)

    def settle(self, event: TelemetryEvent) -> None:
        """An episode ends with this event: keep the readings that were waiting for more of it."""
        self.attempt(lambda: self._keep_all(event, self._desks[key_of(event)].close()))

    def _keep_all(self, event: TelemetryEvent, readings: Iterable[Record]) -> None:
        for reading in readings:
            self._keep(event, reading)

    def close(self) -> None:
        """Nothing to let go of."""


def key_of(event: TelemetryEvent) -> EpisodeKey:
    """The episode an event is of."""
    return event.env_id, event.episode_idx, event.scoped
