"""A run's events, and what frames need of them: facts of each episode, epochs as columns, coalitions that were evaluated.

Frames never go through all events: a run with a thousand epochs is three thousand events and one small table.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, overload

import pyarrow as pa

from karn_wandb.experiment.agreement import Agreement, agreement
from karn_wandb.experiment.columns import flatten, table_of
from karn_wandb.pipeline import standing
from karn_wandb.records import (
    CounterfactualMatrix,
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    HostSnapshot,
    PolicySnapshot,
    RunInfo,
    SlotSnapshot,
    TelemetryEvent,
)
from karn_wandb.schema.config import episode_config

EPISODE = ("env_id", "episode_idx")
"""What tells the episodes of a run apart."""

_HOST = tuple(f.name for f in fields(HostSnapshot))
_SLOT = tuple(f.name for f in fields(SlotSnapshot) if f.name not in ("slot_id", "stage"))


class Matrix(NamedTuple):
    """Coalitions that were evaluated, and in which episode."""

    env_id: int
    episode_idx: int
    matrix: CounterfactualMatrix


@dataclass(frozen=True, slots=True)
class Episode:
    """What a run's events say of one episode.

    Attributes:
        env_id: Its environment.
        episode_idx: Its number there, from 0.
        context: Its context; None when none was logged.
        outcome: How it ended; None when nothing says so.
        began: When its first event was.
        trained: When its last epoch was logged; None without one.
        ended: When its outcome was logged; None without one.
        scoped: Whether it was logged through `run.episode`.
        results: Epochs, final and best values by their columns' names; empty without an epoch.
        policy: How often the policy did what the heuristic would have done; None where no decision says so.
    """

    env_id: int = 0
    episode_idx: int = 0
    context: EpisodeContext | None = None
    outcome: EpisodeOutcome | None = None
    began: datetime | None = None
    trained: datetime | None = None
    ended: datetime | None = None
    scoped: bool = False
    results: Mapping[str, Any] = field(default_factory=dict)
    policy: Agreement | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run's events say of the run.

    Attributes:
        episodes: Its episodes, in the order in which they began.
        concluded: Whether every episode that began has an outcome, and there is one.
        failure: Why the first failed; None when none did.
        dropped: Records that were lost while it was logged.
        config: Its configuration as it was logged.
        info: What its first process called it; None when that was not logged.
        rank: Rank of the process whose event is the first; None without events.
    """

    episodes: tuple[Episode, ...] = ()
    concluded: bool = False
    failure: str | None = None
    dropped: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    info: RunInfo | None = None
    rank: int | None = None


class Telemetry(Sequence[TelemetryEvent]):
    """The events of a run, in order, and what frames need of them."""

    @property
    @abstractmethod
    def facts(self) -> Facts:
        """What they say of the run and its episodes."""

    @abstractmethod
    def epochs(self, columns: Sequence[str] | None = None) -> pa.Table:
        """A row for every epoch that stands, by episode and epoch.

        Args:
            columns: Those that are wanted, beside `EPISODE` and "epoch", as far as there are such; None for all.
        """

    @abstractmethod
    def matrices(self, *, last: bool = False) -> Iterable[Matrix]:
        """The evaluated coalitions that stand, in their order.

        Args:
            last: Of each episode only those of the last epoch, and of the last that has a Shapley value.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[TelemetryEvent]: ...

    @overload
    def __getitem__(self, index: int) -> TelemetryEvent: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TelemetryEvent]: ...
    def __getitem__(self, index: int | slice) -> TelemetryEvent | Sequence[TelemetryEvent]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Telemetry | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class Held(Telemetry):
    """Events in memory."""

    def __init__(self, events: Iterable[TelemetryEvent] = ()) -> None:
        self._events = tuple(events)

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[TelemetryEvent]:
        return iter(self._events)

    @cached_property
    def standing(self) -> tuple[TelemetryEvent, ...]:
        """Those that were not superseded."""
        return standing(self._events)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Where those stand among all."""
        kept = iter(self.standing)
        awaited = next(kept, None)
        places = []
        for place, event in enumerate(self._events):
            if event is awaited:
                places.append(place)
                awaited = next(kept, None)
        return tuple(places)

    @cached_property
    def epoch_places(self) -> tuple[int, ...]:
        """Where the epochs that stand are, in the order of their table's rows."""
        every = self._events
        return tuple(sorted((p for p in self.places if isinstance(every[p].data, EpochSnapshot)), key=lambda p: _order(every[p])))

    @cached_property
    def facts(self) -> Facts:
        """See `Telemetry`."""
        concluded, failure = _conclusion(self._events)
        outcomes = [event.data for event in self._events if isinstance(event.data, EpisodeOutcome)]
        return Facts(
            episodes=tuple(_episodes(self.standing)),
            concluded=concluded,
            failure=failure,
            dropped=max((outcome.dropped_records for outcome in outcomes), default=0),
            config=_config(self._events),
            info=next((event.data for event in self._events if isinstance(event.data, RunInfo)), None),
            rank=self._events[0].rank if self._events else None,
        )

    def epochs(self, columns: Sequence[str] | None = None) -> pa.Table:
        """See `Telemetry`."""
        return self._epochs if columns is None else self._epochs.select(chosen(self._epochs.column_names, columns))

    @cached_property
    def _epochs(self) -> pa.Table:
        return table_of([_epoch_row(self._events[place]) for place in self.epoch_places])

    def matrices(self, *, last: bool = False) -> Iterable[Matrix]:
        """See `Telemetry`."""
        wanted = self.last_matrix_places if last else self.matrix_places
        return [found for place, found in self._matrices.items() if place in wanted]

    @cached_property
    def _matrices(self) -> dict[int, Matrix]:
        every = ((place, self._events[place]) for place in self.places)
        return {p: Matrix(e.env_id, e.episode_idx, e.data) for p, e in every if isinstance(e.data, CounterfactualMatrix)}

    @cached_property
    def matrix_places(self) -> tuple[int, ...]:
        """Where the evaluated coalitions that stand are."""
        return tuple(self._matrices)

    @cached_property
    def last_matrix_places(self) -> tuple[int, ...]:
        """Where those are that `matrices` calls the last."""
        newest: dict[tuple[int, int, bool], int] = {}
        for env_id, episode_idx, matrix in self._matrices.values():
            for key in {(env_id, episode_idx, False), (env_id, episode_idx, bool(matrix.shapley_values))}:
                newest[key] = max(matrix.epoch, newest.get(key, 0))
        return tuple(
            place
            for place, (env_id, episode_idx, matrix) in self._matrices.items()
            if matrix.epoch == newest[env_id, episode_idx, False]
            or (bool(matrix.shapley_values) and matrix.epoch == newest[env_id, episode_idx, True])
        )


def chosen(names: Iterable[str], columns: Iterable[str]) -> list[str]:
    """Those of a table's columns that are wanted, and those that say which epoch it is."""
    wanted = {*EPISODE, "epoch", *columns}
    return [name for name in names if name in wanted]


def _order(event: TelemetryEvent) -> tuple[int, int, int]:
    return event.env_id, event.episode_idx, event.data.epoch


def _epoch_row(event: TelemetryEvent) -> dict[str, Any]:
    """An epoch's measurements by the names of their columns."""
    snapshot = event.data
    row: dict[str, Any] = {"env_id": event.env_id, "episode_idx": event.episode_idx}
    if isinstance(snapshot, EpochSnapshot):
        host = snapshot.host
        row |= {name: getattr(host, name) for name in _HOST}
        row |= flatten({"seed_grad_norms": row.pop("seed_grad_norms")})
        for name, slot in snapshot.slots.items():
            prefix = f"slot.{name}."
            row[f"{prefix}stage"] = slot.stage.name
            row |= {prefix + of: getattr(slot, of) for of in _SLOT}
    return row


def _conclusion(events: Iterable[TelemetryEvent]) -> tuple[bool, str | None]:
    """Whether all episodes that began have ended; and why the first that failed did."""
    started: set[tuple[int, int]] = set()
    outcomes: dict[tuple[int, int], EpisodeOutcome] = {}
    for event in events:
        if isinstance(event.data, EpisodeContext | EpochSnapshot):
            started.add((event.env_id, event.episode_idx))
        if isinstance(event.data, RunInfo | EpisodeContext | EpochSnapshot):
            outcomes.pop((event.env_id, event.episode_idx), None)  # it was resumed after it had ended
        elif isinstance(event.data, EpisodeOutcome):
            outcomes[event.env_id, event.episode_idx] = event.data
    failed = next((outcome for outcome in outcomes.values() if outcome.state == "failed"), None)
    return bool(outcomes) and not started - outcomes.keys(), failed.reason if failed else None


def _config(events: Iterable[TelemetryEvent]) -> dict[str, Any]:
    logged: dict[str, Any] = {}
    for event in events:
        if isinstance(event.data, RunInfo):
            logged |= event.data.config
        elif isinstance(event.data, EpisodeContext) and not event.scoped:
            logged |= episode_config(event.data)
    return logged


@dataclass(slots=True)
class _Gathered:
    """What was met of one episode so far."""

    context: EpisodeContext | None = None
    outcome: EpisodeOutcome | None = None
    began: datetime | None = None
    trained: datetime | None = None
    ended: datetime | None = None
    snapshots: dict[int, EpochSnapshot] = field(default_factory=dict)
    scoped: bool = False

    def take(self, event: TelemetryEvent) -> None:
        self.scoped |= event.scoped
        self.began = self.began or event.timestamp
        match event.data:
            case EpisodeContext():
                self.context = event.data
            case EpisodeOutcome():
                self.outcome, self.ended = event.data, event.timestamp
            case EpochSnapshot():
                self.snapshots[event.data.epoch] = event.data
                self.trained = event.timestamp
                self.outcome = self.ended = None  # it was resumed after it had ended

    def results(self) -> dict[str, Any]:
        """Numbers of the last epoch, and the best."""
        if not self.snapshots:
            return {}
        last = self.snapshots[max(self.snapshots)].host
        accuracies = [s.host.val_accuracy for s in self.snapshots.values() if s.host.val_accuracy is not None]
        return {
            "epochs": sum(epoch > 0 for epoch in self.snapshots),
            "final_accuracy": last.val_accuracy,
            "final_loss": last.val_loss,
            "best_accuracy": max(accuracies, default=None),
            "total_params": last.total_params,
            **({} if last.host_params is None else {"host_params": last.host_params}),
        }


def _episodes(events: Iterable[TelemetryEvent]) -> Iterator[Episode]:
    found: defaultdict[tuple[int, int], _Gathered] = defaultdict(_Gathered)
    decisions: defaultdict[tuple[int, int], list[PolicySnapshot]] = defaultdict(list)
    for event in events:
        if isinstance(event.data, EpisodeContext | EpisodeOutcome | EpochSnapshot):
            found[event.env_id, event.episode_idx].take(event)
        elif isinstance(event.data, PolicySnapshot):
            decisions[event.env_id, event.episode_idx].append(event.data)
    for (env_id, episode_idx), one in found.items():
        yield Episode(
            env_id=env_id,
            episode_idx=episode_idx,
            context=one.context,
            outcome=one.outcome,
            began=one.began,
            trained=one.trained,
            ended=one.ended,
            scoped=one.scoped,
            results=one.results(),
            policy=agreement(decisions[env_id, episode_idx]),
        )
