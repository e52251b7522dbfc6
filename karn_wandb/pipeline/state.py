"""What the collector keeps of one episode."""

from __future__ import annotations

from collections.abc import Callable

from karn_wandb.analysis import Lifecycle, MorphogeneticAnalytics, SlotHistory
from karn_wandb.errors import RecordError, UsageError
from karn_wandb.pipeline.desk import Desk
from karn_wandb.pipeline.store import TelemetryStore


class EpisodeState:
    """What the collector keeps of one episode.

    What records are checked against (`lifecycle`, `slots`, `last_epoch`) is always up to date. The rest is brought up
    to date by live analysis, which is waited for when it is asked for.

    Attributes:
        lifecycle: The stages of its slots.
        slots: What their snapshots are completed from.
        tick_offset: Where its epoch 0 is on its environment's epoch clock; None before its first epoch.
        last_epoch: The last epoch logged, -1 before the first.
        resumed: Whether an earlier process logged it, and no epoch was logged since.

    Args:
        desk: Its live analysis.
        catch_up: Waits for live analysis.
    """

    __slots__ = ("_catch_up", "_desk", "last_epoch", "lifecycle", "resumed", "slots", "tick_offset")

    def __init__(self, desk: Desk, catch_up: Callable[[], None]) -> None:
        self._catch_up = catch_up
        self.tick_offset: int | None = None
        self.begin(desk)

    def begin(self, desk: Desk) -> None:
        """Begin with nothing known but the episode's place on the epoch clock."""
        self._desk = desk
        self.lifecycle = Lifecycle()
        self.slots = SlotHistory()
        self.last_epoch = -1
        self.resumed = False

    def check_epoch(self, epoch: int) -> None:
        """Raise `RecordError` unless the epoch comes after the last one."""
        if epoch <= self.last_epoch:
            raise RecordError(
                "epochs must go up",
                got=f"epoch {epoch} after epoch {self.last_epoch}",
                do="Log each epoch once, or call rewind(epoch) when training goes on from a checkpoint; a new episode goes "
                "through run.episode(env_id, episode_idx).",
            )

    def check_checkpoint(self, epoch: int) -> None:
        """Raise `UsageError` unless training can have a checkpoint of the epoch."""
        reached = max(self.last_epoch, 0)
        if not 0 <= epoch <= reached:
            raise UsageError(
                "training can only go back to an epoch that was logged",
                got=f"epoch {epoch} after epoch {reached}",
                do="Pass the epoch after which the checkpoint was saved.",
            )

    @property
    def desk(self) -> Desk:
        """Live analysis of all that was emitted so far."""
        self._catch_up()
        return self._desk

    @property
    def store(self) -> TelemetryStore:
        """The newest records."""
        return self.desk.store

    @property
    def analytics(self) -> MorphogeneticAnalytics:
        """The five questions, live."""
        return self.desk.analytics
