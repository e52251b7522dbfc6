"""One run, read from its record log, from W&B's rows (of its run file, or of the service), or from both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from warnings import warn

from karn_wandb.errors import KarnWarning, RecordError, SourceError
from karn_wandb.experiment.telemetry import Facts, Held, Telemetry
from karn_wandb.experiment.wandb_file import WandbFile, read_wandb_file
from karn_wandb.pipeline.log import LOG_NAME, ReadLog, read_log
from karn_wandb.records import RunInfo, TelemetryEvent
from karn_wandb.schema import RowJoiner, decode_row

Via = Literal["log", "wandb"]
State = Literal["finished", "failed", "crashed", "running"]
Read = tuple[tuple[TelemetryEvent, ...], tuple[str, ...]]
"""Events, and what could not be read, in words."""

Progress = Callable[[int, int, str], None]
"""Is told how many runs of how many are read (of 0 while they are listed), and what is being done."""

T = TypeVar("T")

NO_END = "no end was recorded: the process was killed, or is still running"


@dataclass(frozen=True, slots=True)
class RunData:
    """One run as read.

    Attributes:
        run_id: W&B's run id.
        source: What the user named that it was found in.
        project: W&B project, "" when unknown.
        name: Display name, "" when none was given.
        group: W&B group, "" when none was given.
        job_type: W&B job type, "" when none was given.
        tags: W&B tags.
        config: The run's configuration at its end, nested.
        started: When W&B says it began; None when unknown.
        state: "finished", "failed" (it raised, or left with an exit code), "crashed" (nothing says how it ended: killed, or
            still running, which files cannot tell apart) or "running" (W&B says so).
        reason: Why it is not finished, "" when it is.
        telemetry: Its events: of the record log when it has one, else of W&B's rows.
        via: Which of the two they are from; None when there are neither.
        wandb_path: The run file; None when there is none that can be read.
        earlier_paths: Run files of earlier processes of the run.
        log_path: The record log; None when there is none that can be read.
        rows: Reads the events of W&B's rows again; None when there is nothing to read them from.
        warnings: What could not be read, in words.
    """

    run_id: str
    source: str
    project: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    started: datetime | None = None
    state: State = "crashed"
    reason: str = NO_END
    telemetry: Telemetry = field(default_factory=Held, repr=False)
    via: Via | None = None
    wandb_path: Path | None = None
    log_path: Path | None = None
    rows: Callable[[], Read] | None = field(default=None, repr=False, compare=False)
    warnings: tuple[str, ...] = ()
    earlier_paths: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        given: Any = self.telemetry
        if not isinstance(given, Telemetry):  # events as they are
            object.__setattr__(self, "telemetry", Held(given))

    def events(self, via: Via | None = None) -> tuple[TelemetryEvent, ...]:
        """The run's events: from its record log, from W&B's rows alone, or (None) from the log if it has one.

        Raises:
            SourceError: The run has none of the kind asked for.
        """
        if via not in (None, "log", "wandb"):
            raise SourceError('events come via "log" or via "wandb"', got=repr(via))
        if via in (None, self.via):
            return tuple(self.telemetry)
        if via == "log":
            raise SourceError(f"run {self.run_id} has no record log", do='Pass via="wandb" for what W&B itself holds.')
        if self.rows is None:
            raise SourceError(f"run {self.run_id} has no W&B run file", do='Pass via="log" for what its record log holds.')
        events, damage = self.rows()
        for line in damage:
            warn(f"run {self.run_id}: {line}", KarnWarning, stacklevel=2)
        return events


def in_order(*parts: Iterable[TelemetryEvent]) -> tuple[TelemetryEvent, ...]:
    """Events of one run from several places, each once, by their sequence numbers; those without one at the end.

    Of two with one sequence number the first counts.
    """
    events: dict[tuple[float, int], TelemetryEvent] = {}
    for number, event in enumerate(event for part in parts for event in part):
        events.setdefault((math.inf, number) if event.sequence is None else (event.sequence, 0), event)
    return tuple(events[key] for key in sorted(events))


def one_run(parts: Sequence[RunData]) -> RunData:
    """The run that several processes logged, each of which left a folder; the newest one's says how it ended.

    The record log of a resumed run begins with all that was logged before. Where the newest has none, its events are
    those of all parts.
    """
    newest = max(parts, key=_last_told) if len(parts) > 1 else parts[0]
    others = [part for part in parts if part is not newest]
    whole = newest.via == "log" or not others
    return replace(
        newest,
        telemetry=newest.telemetry if whole else Held(in_order(*(part.telemetry for part in (newest, *others)))),
        warnings=tuple(dict.fromkeys((*newest.warnings, *(line for part in others for line in part.warnings)))),
        earlier_paths=tuple(part.wandb_path for part in others if part.wandb_path),
        rows=_together([part.rows for part in (newest, *others) if part.rows]),
    )


def _last_told(run: RunData) -> tuple[float, int]:
    """When the last of its events was, and how many there are."""
    return (run.telemetry[-1].timestamp.timestamp(), len(run.telemetry)) if run.telemetry else (0.0, 0)


def _together(readers: Sequence[Callable[[], Read]]) -> Callable[[], Read] | None:
    def read() -> Read:
        parts = [reader() for reader in readers]
        return in_order(*(events for events, _ in parts)), tuple(line for _, damage in parts for line in damage)

    return read if readers else None


@dataclass(frozen=True, slots=True)
class RunPaths:
    """Where a run is: its run file, its record log, or both."""

    wandb_path: Path | None
    log_path: Path | None

    @property
    def name(self) -> str:
        """What to call a run that does not say its id."""
        if self.wandb_path:
            return self.wandb_path.stem.removeprefix("run-")
        path = (self.log_path or Path()).resolve()
        return path.parent.name if path.name == LOG_NAME else path.stem


def read_run(source: str, paths: RunPaths) -> RunData:
    """Read a run; when one of its two files cannot be read, the other serves, with a warning.

    Raises:
        SourceError: Neither can be read.
    """
    errors: list[SourceError] = []
    log = _attempt(_read_log, paths.log_path, errors)
    file = _attempt(partial(read_wandb_file, rows=log is None, summary=False), paths.wandb_path, errors)
    if log and file and _info(log.events).run_id not in ("", file.run_id):
        errors.append(SourceError("the record log beside it is of another run", got=f"run {_info(log.events).run_id}"))
        log, file = None, read_wandb_file(file.path)
    if log:
        events, damage = log.events, log.damage
    elif file:
        events, damage = events_of_rows(file.rows)
    else:
        raise errors[-1]
    telemetry = Held(events)
    notes = (*map(str, errors), *(file.damage if file else ()), *damage, *dropped(telemetry.facts))
    return _run_data(source, paths, file, telemetry, notes, has_log=log is not None)


def _attempt(read: Callable[[Path], T], path: Path | None, errors: list[SourceError]) -> T | None:
    if path is None:
        return None
    try:
        return read(path)
    except SourceError as error:
        errors.append(error)
        return None


def _read_log(path: Path) -> ReadLog:
    try:
        return read_log(path)
    except RecordError as error:
        raise SourceError(f"the record log {str(path)!r} cannot be read: {error.what}", got=error.got, do=error.do) from error


def _info(events: Iterable[TelemetryEvent]) -> RunInfo:
    return next((event.data for event in events if isinstance(event.data, RunInfo)), RunInfo(run_id=""))


def dropped(facts: Facts) -> Iterator[str]:
    """What a run's outcomes say was lost while it was logged."""
    if facts.dropped:
        yield f"{facts.dropped} records were dropped while it was logged"


def _run_data(
    source: str,
    paths: RunPaths,
    file: WandbFile | None,
    telemetry: Telemetry,
    notes: tuple[str, ...],
    *,
    has_log: bool,
) -> RunData:
    """What W&B's file says of the run, and where it says nothing, what the first event says."""
    info = telemetry.facts.info or RunInfo(run_id="")
    said = file or WandbFile(Path(), info.run_id or paths.name)
    state, reason = ending(telemetry.facts, _recorded(said.exit_code))
    return RunData(
        run_id=said.run_id,
        source=source,
        project=said.project or info.project,
        name=said.display_name or info.name,
        group=said.group or info.group,
        job_type=said.job_type or info.job_type,
        tags=said.tags or info.tags,
        config=said.config or info.config,
        started=said.started,
        state=state,
        reason=reason,
        telemetry=telemetry,
        via="log" if has_log else "wandb",
        wandb_path=paths.wandb_path if file else None,
        log_path=paths.log_path if has_log else None,
        rows=partial(rows_of_file, file.path) if file else None,
        warnings=notes,
    )


def rows_of_file(path: Path) -> Read:
    """The events of a run file's rows, and what could not be read."""
    file = read_wandb_file(path, summary=False)
    events, damage = events_of_rows(file.rows)
    return events, (*file.damage, *damage)


def _recorded(exit_code: int | None) -> tuple[State, str] | None:
    if exit_code is None:
        return None
    return ("failed", f"exit code {exit_code}") if exit_code else ("finished", "")


def events_of_rows(rows: Iterable[Mapping[str, Any]]) -> Read:
    """The events of W&B's rows in the order they were logged, each once, and what could not be read."""
    events = []
    damage = []
    joiner = RowJoiner()
    for number, row in enumerate(rows):
        try:
            event = decode_row(joiner.joined(row))
        except RecordError as error:
            damage.append(f"history row {number} is left out: {error}")
            continue
        if event is not None:
            events.append(event)
    return in_order(events), tuple(damage)  # a resumed run may deliver events again


def ending(facts: Facts, recorded: tuple[State, str] | None, no_end: str = NO_END) -> tuple[State, str]:
    """How a run ended: what W&B recorded decides; without that, the outcomes of its episodes.

    Args:
        facts: What the run's events say.
        recorded: State and reason that W&B recorded; None when it recorded no end.
        no_end: The reason to give when nothing says how it ended.
    """
    if recorded is not None:
        state, reason = recorded
        return state, ((facts.failure or "") if state == "failed" else "") or reason
    if not facts.concluded:
        return "crashed", no_end
    return ("finished", "") if facts.failure is None else ("failed", facts.failure)
