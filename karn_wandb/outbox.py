"""Events of one episode on their way to the collector: gathered, then emitted as one group."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from karn_wandb.pipeline import KarnCollector
from karn_wandb.records import RECORD_OF, Record, SeedStage, StageTransition, TelemetryEvent, TelemetryEventType

EVENT_OF = MappingProxyType({record: event_type for event_type, record in RECORD_OF.items() if record is not StageTransition})
"""The event that carries each class of records; that of a change of stage depends on the stage."""

STAGE_EVENT_OF = MappingProxyType(
    {
        SeedStage.GERMINATED: TelemetryEventType.SEED_GERMINATED,
        SeedStage.FOSSILIZED: TelemetryEventType.SEED_FOSSILIZED,
        SeedStage.PRUNED: TelemetryEventType.SEED_PRUNED,
    }
)
"""The event of a change to a stage; of those not listed it is SEED_STAGE_CHANGED."""


def event_of(record: Record) -> TelemetryEventType:
    """The type of the event that carries a record."""
    if isinstance(record, StageTransition):
        return STAGE_EVENT_OF.get(record.to_stage, TelemetryEventType.SEED_STAGE_CHANGED)
    return EVENT_OF[type(record)]


class Outbox:
    """Gathers events of one episode, so that what belongs together is emitted together.

    Args:
        collector: Where they go.
        env_id: Environment of the episode.
        episode_idx: Index of the episode in that environment.
        scoped: Whether W&B keys start with env/<env_id>/.
    """

    def __init__(self, collector: KarnCollector, env_id: int, episode_idx: int, *, scoped: bool) -> None:
        self._collector = collector
        self._env_id, self._episode_idx, self._scoped = env_id, episode_idx, scoped
        self._waiting: list[TelemetryEvent] = []

    def add(self, record: Record) -> None:
        """Wrap a record, which was checked when it was made, in its event."""
        event = TelemetryEvent.trusted(
            event_type=event_of(record),
            data=record,
            env_id=self._env_id,
            episode_idx=self._episode_idx,
            scoped=self._scoped,
            slot_id=getattr(record, "slot_id", ""),
            seed_id=getattr(record, "seed_id", None) or "",
        )
        self._waiting.append(event)

    def add_event(self, event: TelemetryEvent) -> TelemetryEvent:
        """Take any event as one of this episode; gives the one that will be emitted."""
        own = replace(event, env_id=self._env_id, episode_idx=self._episode_idx, scoped=self._scoped)
        self._waiting.append(own)
        return own

    def send(self) -> None:
        """Emit what waits, as one group."""
        group, self._waiting = self._waiting, []
        self._collector.emit_all(group)
