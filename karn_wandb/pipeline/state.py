"""What the collector keeps of one episode."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from karn_wandb.analysis import MorphogeneticAnalytics
from karn_wandb.errors import RecordError, UsageError
from karn_wandb.pipeline.desk import Desk
from karn_wandb.pipeline.store import TelemetryStore
from karn_wandb.records import CounterfactualMatrix, EpisodeContext, EpochSnapshot, GateEvaluationTrace, StageTransition


class EpisodeState:
    """What the collector keeps of one episode.

    What records are checked against (its slots, `last_epoch`) is always up to date. The rest is brought up to date by
    live analysis, which is waited for when it is asked for.

    Attributes:
        prefix: That of its W&B keys.
        tick_offset: Where its epoch 0 is on its environment's epoch clock; None before its first epoch.
        last_epoch: The last epoch logged, -1 before the first.
        resumed: Whether an earlier process logged it, and no epoch was logged since.

    Args:
        desk: Its live analysis.
        catch_up: Waits for live analysis.
        prefix: That of its W&B keys.
    """

    __slots__ = ("_catch_up", "_desk", "_slots", "last_epoch", "prefix", "resumed", "tick_offset")

    def __init__(self, desk: Desk, catch_up: Callable[[], None], prefix: str = "") -> None:
        self._catch_up = catch_up
        self.prefix = prefix
        self.tick_offset: int | None = None
        self.begin(desk)

    def begin(self, desk: Desk) -> None:
        """Begin with nothing known but the episode's place on the epoch clock."""
        self._desk = desk
        self._slots: frozenset[str] = frozenset()
        self.last_epoch = -1
        self.resumed = False

    def declare(self, slots: Iterable[str]) -> None:
        """Name the slots there are; others are errors from then on. Without a declaration any name is taken."""
        self._slots = self._slots.union(slots)

    def observe(self, data: object) -> None:
        """Take what an event carries into account.

        Raises:
            RecordError: Slots were declared, and it is about none of them.
        """
        match data:
            case EpochSnapshot():
                self._check_slots(data.slots)
                self.last_epoch = data.epoch
                self.resumed = False
            case StageTransition() | GateEvaluationTrace():
                self._check_slots((data.slot_id,))
            case CounterfactualMatrix():
                self._check_slots(data.slot_ids)
            case EpisodeContext():
                self.declare(data.slot_config)
            case _:
                pass

    def _check_slots(self, slots: Collection[str]) -> None:
        if self._slots and not self._slots.issuperset(slots):
            unknown = next(slot_id for slot_id in slots if slot_id not in self._slots)
            raise RecordError(
                f"there is no slot {unknown!r}",
                got=f"the slots are {', '.join(sorted(self._slots))}",
                do="Declare it in the episode's slot_config, or attach the model that has it.",
            )

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
