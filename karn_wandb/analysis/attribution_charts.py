"""What a run's events say of attribution, as charts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from karn_wandb import charts
from karn_wandb.analysis.analytics import MorphogeneticAnalytics
from karn_wandb.charts import Chart
from karn_wandb.records import CounterfactualMatrix, EpochSnapshot, SeedStage, TelemetryEvent

ONSET_THRESHOLD = {"accuracy": 0.5, "loss": 0.0}
"""What a Shapley value must exceed to count as contributing, by metric, in its unit."""


@dataclass(slots=True)
class _Episode:
    """Matrices and stages of one episode."""

    index: int
    analytics: MorphogeneticAnalytics = field(default_factory=MorphogeneticAnalytics)
    stages: dict[str, list[tuple[int, SeedStage]]] = field(default_factory=dict)


class AttributionCharts:
    """The charts of attribution, from events as they come: those of the episode whose coalitions were evaluated last.

    Of each environment only the newest episode is kept, so memory does not grow with the number of episodes.

    Args:
        events: Events to begin with.
    """

    def __init__(self, events: Iterable[TelemetryEvent] = ()) -> None:
        self._episodes: dict[tuple[bool, int], _Episode] = {}
        self._shown: _Episode | None = None
        for event in events:
            self.observe(event)

    def observe(self, event: TelemetryEvent) -> None:
        """Take an event into account."""
        match event.data:
            case EpochSnapshot() as snapshot:
                episode = self._episode(event)
                for slot_id, slot in snapshot.slots.items():
                    episode.stages.setdefault(slot_id, []).append((snapshot.epoch, slot.stage))
            case CounterfactualMatrix() as matrix:
                self._shown = self._episode(event)
                self._shown.analytics.observe(matrix)
            case _:
                pass

    def _episode(self, event: TelemetryEvent) -> _Episode:
        key = (event.scoped, event.env_id)
        episode = self._episodes.get(key)
        if episode is None or event.episode_idx > episode.index:
            episode = self._episodes[key] = _Episode(event.episode_idx)
        return episode

    def charts(self) -> tuple[Chart, ...]:
        """Those there is something to show in; none when no coalition was evaluated."""
        if self._shown is None or self._shown.analytics.matrix is None:
            return ()
        analytics, matrix = self._shown.analytics, self._shown.analytics.matrix
        values = analytics.shapley_by_epoch()
        threshold = ONSET_THRESHOLD[matrix.metric]
        slots = dict.fromkeys(slot for estimates in values.values() for slot in estimates)
        onsets = {slot: analytics.contribution_onset_epoch(slot, threshold) for slot in slots}
        found = (
            charts.slot_values(matrix),
            charts.waterfall(matrix),
            charts.coalitions(matrix),
            charts.interactions(matrix),
            charts.onset(values, matrix.metric, threshold, onsets, self._shown.stages),
        )
        return tuple(chart for chart in found if chart is not None)
