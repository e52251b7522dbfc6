"""A run that went back to a checkpoint: which of its events still stand.

The record log only grows. When training goes on from the checkpoint of an earlier epoch, an event says so, and what
was logged of the episode after that epoch is superseded: it stays in the log, and whoever reads the log leaves it out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from karn_wandb.pipeline.desk import READINGS, EpisodeKey, key_of
from karn_wandb.records import EpisodeContext, EpochSnapshot, HostBaseline, RunInfo, TelemetryEvent, TelemetryEventType

BACK_TO = "back_to_epoch"
"""Key in the data of a CHECKPOINT_LOADED event: training goes on from the end of this epoch."""

WITHOUT_EPOCH = (RunInfo, EpisodeContext, HostBaseline)
"""Records that say what is trained, not how far; they stand whatever happens."""


def went_back(env_id: int, episode_idx: int, epoch: int, *, scoped: bool) -> TelemetryEvent:
    """The event of an episode that goes on from the checkpoint of an epoch, 0 for the untrained host."""
    return TelemetryEvent(
        TelemetryEventType.CHECKPOINT_LOADED,
        data={BACK_TO: epoch},
        env_id=env_id,
        episode_idx=episode_idx,
        scoped=scoped,
        message=f"training goes on from the checkpoint of epoch {epoch}",
    )


def back_to(event: TelemetryEvent) -> int | None:
    """The epoch that an event goes back to; None for all other events."""
    if event.event_type is not TelemetryEventType.CHECKPOINT_LOADED or not isinstance(event.data, dict):
        return None
    epoch = event.data.get(BACK_TO)
    return epoch if isinstance(epoch, int) else None


def standing(events: Iterable[TelemetryEvent]) -> tuple[TelemetryEvent, ...]:
    """The events that were not superseded, in their order.

    Superseded is what was logged of an episode behind the epoch that it went back to, but for that epoch's readings, records
    that say they are of an earlier epoch, and those that say what is trained.
    """
    every = tuple(events)
    gone: set[int] = set()
    branches: dict[EpisodeKey, list[int]] = defaultdict(list)
    for place, event in enumerate(every):
        branch = branches[key_of(event)]
        epoch = back_to(event)
        if epoch is not None:
            kept = _length([every[p] for p in branch], epoch)
            gone.update(p for p in branch[kept:] if not _stands(every[p].data, epoch))
            branch[:] = [p for p in branch if p not in gone]
        branch.append(place)
    return tuple(event for place, event in enumerate(every) if place not in gone) if gone else every


def _stands(data: object, epoch: int) -> bool:
    """Whether what was logged behind an epoch is of it: changes of stage and gates usually come after its snapshot."""
    of_epoch = getattr(data, "epoch", None)
    early = isinstance(of_epoch, int) and of_epoch <= epoch and not isinstance(data, READINGS)
    return early or isinstance(data, WITHOUT_EPOCH)


def _length(branch: Sequence[TelemetryEvent], epoch: int) -> int:
    """How many events of an episode are up to the end of an epoch, its readings included."""
    length = 0
    for place, event in enumerate(branch, start=1):
        if isinstance(event.data, EpochSnapshot) and event.data.epoch <= epoch:
            length = place
    while 0 < length < len(branch) and isinstance(branch[length].data, READINGS):
        length += 1
    return length
