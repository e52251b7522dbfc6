"""The clocks of a run: what number of its family's clock each event gets. None ever goes down, but where training goes back."""

from __future__ import annotations

from karn_wandb.pipeline.desk import READINGS
from karn_wandb.pipeline.state import EpisodeState
from karn_wandb.records import LayerStatistics, TelemetryEvent
from karn_wandb.schema import CLOCK_OF

IN_TRAINING = frozenset((*READINGS, LayerStatistics))
"""Records that may be of the epoch in training, which need not come to its end."""


class Clocks:
    """How far each environment's clocks have come.

    Attributes:
        counted: By W&B key prefix and clock, the last tick of batches, decisions and updates.
        epochs: By prefix, the furthest epoch of all its episodes laid end to end.
    """

    def __init__(self) -> None:
        self.counted: dict[tuple[str, str], int] = {}
        self.epochs: dict[str, int] = {}

    def tick(self, state: EpisodeState, event: TelemetryEvent) -> int | None:
        """The tick of a new event, None where it belongs to no clock."""
        clock = CLOCK_OF.get(type(event.data))
        if clock is not None:
            key = (state.prefix, clock)
            self.counted[key] = count = self.counted.get(key, -1) + 1
            return count
        epoch = getattr(event.data, "epoch", None)
        if epoch is None:
            return event.tick
        if state.tick_offset is None:  # the episode begins: it goes on where the environment's last one ended
            state.tick_offset = self.epochs.get(state.prefix, 0)
        return self._reach(state.prefix, event, state.tick_offset + epoch)

    def restore(self, state: EpisodeState, event: TelemetryEvent) -> None:
        """Take the tick of an event that an earlier process logged into account."""
        if event.tick is None:
            return
        clock, epoch = CLOCK_OF.get(type(event.data)), getattr(event.data, "epoch", None)
        if clock is not None:
            key = (state.prefix, clock)
            self.counted[key] = max(event.tick, self.counted.get(key, -1))
        elif epoch is not None:
            if state.tick_offset is None:
                state.tick_offset = event.tick - epoch
            self._reach(state.prefix, event, event.tick)

    def _reach(self, prefix: str, event: TelemetryEvent, tick: int) -> int:
        """Keep where an environment's epoch clock has come to; gives the tick."""
        if tick > self.epochs.get(prefix, 0) and type(event.data) not in IN_TRAINING:
            self.epochs[prefix] = tick
        return tick
