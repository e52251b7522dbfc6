"""What the live dashboard shows, as data: brought up to date by every event, without input or output."""

from __future__ import annotations

from collections import Counter, deque
from typing import TypeVar

from karn_wandb.analysis.policy import PolicyAnalyzer
from karn_wandb.records import (
    Alert,
    BatchMetrics,
    ClaimReading,
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    GateEvaluationTrace,
    HealthReport,
    HostBaseline,
    LayerStatistics,
    PolicySnapshot,
    PPOUpdate,
    Record,
    RunInfo,
    SeedLayerNorm,
    SeedLayerNorms,
    StageTransition,
    TelemetryEvent,
)
from karn_wandb.sinks.dashboard_slots import Contribution, GateResult, SlotState, StageChange, contributions

RECENT_CHANGES = 3
"""Changes of stage that are kept."""

MOST_ALERTS = 5
"""Alerts kept that no health report holds yet."""

NOT_SHOWN = (BatchMetrics, LayerStatistics, SeedLayerNorm, SeedLayerNorms)
"""Records that change nothing on the dashboard; there are many of them."""

_NEWEST = (EpisodeContext, HostBaseline, EpochSnapshot, ClaimReading, CounterfactualMatrix, HealthReport)
_LOUD = ("warning", "error", "critical")

R = TypeVar("R", bound=Record)


class EpisodeState:
    """One episode.

    Args:
        env_id: Its environment.
        episode_idx: Its index in that environment.
        scoped: Whether it is logged through `run.episode`.
    """

    def __init__(self, env_id: int = 0, episode_idx: int = 0, *, scoped: bool = False) -> None:
        self.env_id, self.episode_idx, self.scoped = env_id, episode_idx, scoped
        self.done = False
        self.newest: dict[type[Record], TelemetryEvent] = {}
        self.slots: dict[str, SlotState] = {}
        self.changes: deque[StageChange] = deque(maxlen=RECENT_CHANGES)
        self.policy = PolicyAnalyzer()
        self.decision: PolicySnapshot | None = None
        self._told: deque[Alert] = deque(maxlen=MOST_ALERTS)

    def latest(self, kind: type[R]) -> R | None:
        """The newest record of a kind; None before the first."""
        event = self.newest.get(kind)
        return event.data if event is not None and isinstance(event.data, kind) else None

    @property
    def epoch(self) -> int | None:
        """The newest epoch completed; None before the first."""
        snapshot = self.latest(EpochSnapshot)
        return snapshot.epoch if snapshot else None

    @property
    def has_host_only_run(self) -> bool:
        """Whether a host-only run is known to compare with."""
        baseline = self.latest(HostBaseline)
        known = baseline is not None and (baseline.host_only_trajectory or baseline.final_host_only_accuracy is not None)
        return bool(known)

    def claim(self) -> ClaimReading | None:
        """The reading of the newest epoch; None while there is none."""
        reading = self.latest(ClaimReading)
        return reading if reading is not None and reading.epoch == self.epoch else None

    def alerts(self) -> tuple[str, ...]:
        """What needs attention: what the newest health report holds, and what was told since."""
        health = self.latest(HealthReport)
        return tuple(dict.fromkeys([*(health.alerts if health else ()), *(alert.text for alert in self._told)]))

    def contributions(self) -> tuple[Contribution, ...]:
        """Each slot's part in the result by the newest matrix; empty before the first."""
        matrix = self.latest(CounterfactualMatrix)
        return () if matrix is None else contributions(matrix, self.slots)

    def observe(self, event: TelemetryEvent) -> None:
        """Take an event of this episode into account."""
        if isinstance(event.data, _NEWEST):
            self.newest[type(event.data)] = event
        match event.data:
            case EpochSnapshot() as snapshot:
                self._observe_epoch(snapshot)
            case StageTransition() as change:
                self._observe_transition(change)
            case GateEvaluationTrace() as check:
                why = check.message or ", ".join(check.checks_failed)
                self._slot(check.slot_id).gate = GateResult(check.gate, check.passed, why)
            case PolicySnapshot() as decision:
                self._observe_decision(decision)
            case HealthReport(epoch=epoch):  # what was told before its epoch ended is in the report while it holds
                self._told = deque((alert for alert in self._told if alert.epoch >= epoch), maxlen=MOST_ALERTS)
            case Alert() as alert:
                self._told.append(alert)
            case _ if event.severity in _LOUD and event.message:
                self._told.append(Alert(event.event_type.name, event.message, (self.epoch or 0) + 1))
            case _:
                pass

    def _slot(self, slot_id: str) -> SlotState:
        return self.slots.setdefault(slot_id, SlotState())

    def _observe_epoch(self, snapshot: EpochSnapshot) -> None:
        for slot_id, seen in snapshot.slots.items():
            known, slot = slot_id in self.slots, self._slot(slot_id)
            if known and slot.stage is not seen.stage:
                self.changes.append(StageChange(slot_id, slot.stage, seen.stage, snapshot.epoch))
            slot.observe(seen)
        if snapshot.policy is not None and snapshot.policy != self.decision:  # a decision may come in both ways
            self._observe_decision(snapshot.policy)

    def _observe_transition(self, change: StageTransition) -> None:
        self._slot(change.slot_id).observe_transition(change)
        why = ": ".join(part for part in (change.initiator, change.reason) if part)
        self.changes.append(StageChange(change.slot_id, change.from_stage, change.to_stage, change.epoch, why))

    def _observe_decision(self, decision: PolicySnapshot) -> None:
        self.decision = decision
        self.policy.observe(decision)


class DashboardState:
    """Everything the dashboard shows; memory grows with the number of environments, not with the length of the run.

    Of several episodes it shows the one that last completed an epoch.
    """

    def __init__(self) -> None:
        self.run: RunInfo | None = None
        self.ppo: PPOUpdate | None = None
        self.traces: Counter[str] = Counter()
        self.dropped_records = 0
        self.episodes_done = 0
        self._shown: EpisodeState | None = None
        self._episodes: dict[tuple[bool, int], EpisodeState] = {}

    @property
    def shown(self) -> EpisodeState:
        """The episode that last completed an epoch; before that the first one seen."""
        return self._shown or next(iter(self._episodes.values()), None) or EpisodeState()

    @property
    def environments(self) -> int:
        """Environments that log through `run.episode`."""
        return sum(episode.scoped for episode in self._episodes.values())

    @property
    def alerting_elsewhere(self) -> int:
        """Other environments whose present episode has alerts."""
        shown = self.shown
        return sum(bool(episode.alerts()) for episode in self._episodes.values() if episode is not shown)

    def observe(self, event: TelemetryEvent) -> None:
        """Take an event into account."""
        if isinstance(event.data, NOT_SHOWN):
            return
        match event.data:
            case RunInfo() as run:
                self.run = run
                return
            case PPOUpdate() as update:
                self.ppo = update
                return
            case DenseTrace(trigger_reason=reason):
                self.traces[reason] += 1
                return
            case HealthReport(dropped_records=dropped) | EpisodeOutcome(dropped_records=dropped):
                self.dropped_records = max(self.dropped_records, dropped)
            case _:
                pass
        self._observe_episode(event)

    def _observe_episode(self, event: TelemetryEvent) -> None:
        key = (event.scoped, event.env_id)
        episode = self._episodes.get(key)
        if episode is None or event.episode_idx > episode.episode_idx:
            if episode is not None:
                self._end(episode)
            episode = self._episodes[key] = EpisodeState(event.env_id, event.episode_idx, scoped=event.scoped)
        if event.episode_idx < episode.episode_idx:  # what is said of an episode after the next one began
            return
        episode.observe(event)
        if isinstance(event.data, EpochSnapshot):
            self._shown = episode
        elif isinstance(event.data, EpisodeOutcome):
            self._end(episode)

    def _end(self, episode: EpisodeState) -> None:
        self.episodes_done += not episode.done
        episode.done = True
