"""A run that keeps everything in memory and says what was logged to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from karn_wandb.errors import UsageError
from karn_wandb.pipeline import KarnCollector
from karn_wandb.records import Alert, EpisodeContext, EpisodeOutcome, EpochSnapshot, Record, TelemetryEvent
from karn_wandb.run import Run
from karn_wandb.schema import CLOCKS, KEYS, USER_STEP, Row, clock_of, encode_row, scope_of
from karn_wandb.schema.tables import EVENT_COLUMNS, TABLES, Cell, table_rows

if TYPE_CHECKING:
    import wandb

    from karn_wandb.sinks import LogGate

R = TypeVar("R", bound=Record)


class Point(NamedTuple):
    """A value of a W&B key; equal to the plain pair (clock, value).

    Attributes:
        clock: Value of the key's clock in the same row: epoch, batch_step, decision or ppo_update; the `step=` of a row
            that was logged through `run.wandb`, None without one.
        value: What was logged.
    """

    clock: int | None
    value: Any


class UserRows:
    """What was logged through `run.wandb` or `wandb`, put together to rows as W&B does.

    Args:
        log: Takes what was logged, too.
    """

    def __init__(self, log: Callable[..., None]) -> None:
        self.rows: list[dict[str, Any]] = []
        self._open: dict[str, Any] = {}
        self._log = log

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:  # noqa: ARG002 -- the gate has put it into the row
        """Take a row, or a part of one."""
        self._log(data)
        self._open.update(data)
        if commit is not False:
            self.rows += [self._open] if self._open else []
            self._open = {}


class RecordedRun(Run):
    """A run that keeps everything in memory; made by `recorded` and `recorded_inits`.

    Everything can be asked at any time, while it is open and afterwards. `wandb` is the SDK's own disabled run: its methods
    are there and do nothing, but for `config`, `summary` and `log`.
    """

    wandb_options: ClassVar[Mapping[str, Any]] = MappingProxyType({"mode": "disabled"})
    remembers_all: ClassVar[bool] = True
    started: ClassVar[list[RecordedRun]] = []

    def __init__(self, wandb_run: wandb.Run, collector: KarnCollector, gate: LogGate | None = None) -> None:
        from karn_wandb.sinks import LogGate  # noqa: PLC0415 -- loads wandb

        self._user = UserRows(wandb_run.log)
        setattr(wandb_run, "log", self._user.log)  # noqa: B010 -- W&B's own keeps the summary only
        super().__init__(wandb_run, collector, gate or LogGate(wandb_run))
        self.started.append(self)

    @property
    def finished(self) -> bool:
        """Whether the code finished it, by `finish` or by the end of its `with` block."""
        return self._finished is not None

    @property
    def events(self) -> tuple[TelemetryEvent, ...]:
        """All events, in the order of the record log: what was logged, and the readings that followed from it."""
        self.collector.catch_up()
        return tuple(self.collector.log.events())

    def records(self, kind: type[R], env_id: int | None = None, episode_idx: int | None = None) -> tuple[R, ...]:
        """The records of a class, in their order.

        Args:
            kind: Class of the records, such as `StageTransition`; `Record` for all.
            env_id: Only those of an environment.
            episode_idx: Only those of an episode in its environment.

        Raises:
            UsageError: It is no class of records.
        """
        if not (isinstance(kind, type) and issubclass(kind, Record)):
            raise UsageError("records() takes a class of records", got=repr(kind), do="Pass EpochSnapshot, for example.")
        return tuple(
            event.data
            for event in self.events
            if isinstance(event.data, kind) and env_id in (None, event.env_id) and episode_idx in (None, event.episode_idx)
        )

    @property
    def epochs(self) -> tuple[EpochSnapshot, ...]:
        """The epoch snapshots."""
        return self.records(EpochSnapshot)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """The alerts that W&B would have got."""
        return self.records(Alert)

    @property
    def context(self) -> EpisodeContext:
        """The newest episode context."""
        return self.records(EpisodeContext)[-1]

    @property
    def outcome(self) -> EpisodeOutcome | None:
        """The newest outcome of an episode; None before any has ended."""
        outcomes = self.records(EpisodeOutcome)
        return outcomes[-1] if outcomes else None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The history rows that W&B would have got of the records."""
        return tuple(map(encode_row, self.events))

    @property
    def user_rows(self) -> tuple[Mapping[str, Any], ...]:
        """The rows that the code logged through `run.wandb.log` or `wandb.log`; one that is not committed is not in it."""
        return tuple(self._user.rows)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every W&B key that was logged, sorted."""
        return tuple(sorted({key for row in (*self.rows, *self.user_rows) for key in row}))

    def metrics(self, key: str) -> tuple[Point, ...]:
        """The values that W&B would have got under a key, with their clock.

        Args:
            key: Such as "host/val_accuracy"; docs/keys.md has them all. Those of `run.episode` start with env/<env_id>/.

        Returns:
            The points in the order they were logged; empty when a key of ours was not logged.

        Raises:
            UsageError: Nothing was logged under the key, and this package has no such key.
        """
        points = (*self._own_points(key), *(Point(row.get(USER_STEP), row[key]) for row in self.user_rows if key in row))
        if not points and not _is_ours(key):
            near = get_close_matches(key, self.keys, n=3) or list(self.keys)
            raise UsageError("nothing was logged under the key", got=repr(key), do=f"There is {', '.join(near)}.")
        return points

    def _own_points(self, key: str) -> Iterator[Point]:
        for event in self.events:
            row = encode_row(event)
            if key in row:
                clock = row.get(scope_of(event) + clock_of(type(event.data)))
                yield Point(clock if isinstance(clock, int) else None, row[key])

    def table(self, name: str) -> tuple[dict[str, Cell], ...]:
        """The rows of a W&B table as it would be when the run ends.

        Args:
            name: Such as "tables/gates".

        Raises:
            UsageError: There is no such table.
        """
        spec = next((spec for spec in TABLES if spec.name == name), None)
        if spec is None:
            raise UsageError("there is no such table", got=repr(name), do=f"There is {', '.join(s.name for s in TABLES)}.")
        columns = (*EVENT_COLUMNS, *spec.columns)
        return tuple(dict(zip(columns, row, strict=True)) for event in self.events for row in table_rows(spec, event))

    def close(self) -> None:
        """Close it as the end of a process does, unless it is finished: everything is kept, and there is no outcome."""
        if not self.collector.closed:
            self._abandon()


def _is_ours(key: str) -> bool:
    """Whether the package may log under the key."""
    own = re.sub(r"^env/\d+/", "", key)
    return own in CLOCKS or any(re.fullmatch(re.sub("<[^>]*>", "[^/]+", k.pattern), own) for k in KEYS)
