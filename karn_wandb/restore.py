"""A record log becomes a W&B run, or restores what a W&B run lacks: the way of live logging, with a log that is whole."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karn_wandb.errors import RecordError, SourceError, UsageError
from karn_wandb.experiment.runs import events_of_rows, in_order
from karn_wandb.experiment.wandb_file import WandbFile, read_wandb_file
from karn_wandb.pipeline import LOG_NAME, Follower, ReadLog, RecordLog, read_log, standing, write_log
from karn_wandb.records import SCHEMA_VERSION, EpisodeContext, EpisodeOutcome, RunInfo, TelemetryEvent
from karn_wandb.resume import rows_at_wandb, sequences
from karn_wandb.schema import PART, REST
from karn_wandb.schema.config import claims_config, episode_config

if TYPE_CHECKING:
    import wandb

_RUN_PATH = re.compile(r"(?P<entity>[^/\s]+)/(?P<project>[^/\s]+)/(?P<id>[^/\s]+)")
STALL_SECONDS = 60.0
"""How long W&B may take nothing before the import is given up."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        run_id: The run.
        folder: Folder of the new run file.
        url: The run in W&B; None offline.
        events: Events that the run has now.
        sent: Those among them that this import gave it.
        restored: Those that the run named as target lacked; None when none was named.
        damage: What could not be read, in words.
        beside: Rows of the target's file that are not of this package and are in that file only.
    """

    run_id: str
    folder: Path
    url: str | None
    events: int
    sent: int
    restored: int | None
    damage: tuple[str, ...]
    beside: int


def import_log(source: Path, into: str | None = None) -> Imported:
    """Make a W&B run of a record log, or give a run what it lacks.

    The run has the id of the one that was logged. Online it is continued when W&B has it: only events that its rows lack are
    sent. Offline a whole new run file is written, for W&B replaces what it has of a run when a run file is synced, or adds
    all of it, which depends on W&B's version.

    Args:
        source: The record log, packed by gzip or not.
        into: The run that lacks events: "entity/project/id" for one on the W&B server, or the folder or file of an
            offline run, whose rows then complete the log where that is damaged. None takes the id in the log.

    Raises:
        SourceError: The log or the run cannot be read, or they are not of the same run.
        UsageError: W&B is switched off, or offline though the target is online.
        OSError: The disk refuses.
        wandb.errors.Error: W&B refuses the run.
    """
    log = _read(source)
    info = next((event.data for event in log.events if isinstance(event.data, RunInfo)), RunInfo(run_id=""))
    target = _target(into, source, info)
    of_target, damage = events_of_rows(target.rows)
    events = in_order(log.events, of_target)
    wandb_run = _begin(target, info, events)
    if wandb_run.offline:
        present: frozenset[int] = frozenset()
        restored = None if target.file is None else len(sequences(events) - sequences(of_target))
    else:
        present = sequences(events_of_rows(rows_at_wandb(wandb_run))[0])
        restored = len(sequences(events) - present) if into else None
    folder = Path(wandb_run.dir).parent
    failure = _deliver(wandb_run, events, folder / LOG_NAME, present)
    wandb_run.finish(exit_code=1 if failure else _exit_code(events))
    if failure is not None:
        raise SourceError(f"W&B did not take all of {source}: {failure!r}", do="Import it again: what is there is passed over.")
    return Imported(
        run_id=str(wandb_run.id),
        folder=folder,
        url=wandb_run.url,
        events=len(events),
        sent=len(sequences(events) - present),
        restored=restored,
        damage=(*log.damage, *(target.file.damage if target.file else ()), *damage),
        beside=sum(map(_is_beside, target.rows)),
    )


@dataclass(frozen=True, slots=True)
class _Target:
    """The run to import into."""

    options: dict[str, Any]
    file: WandbFile | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.file.rows if self.file else []


def _read(source: Path) -> ReadLog:
    try:
        log = read_log(source)
    except RecordError as error:
        raise SourceError(f"{str(source)!r} cannot be imported: {error.what}", got=error.got, do=error.do) from error
    if not log.events:
        raise SourceError(f"{str(source)!r} holds no event", do="Nothing had been logged when it was written, or all is damaged.")
    return log


def _target(into: str | None, source: Path, info: RunInfo) -> _Target:
    if into is None:
        return _Target({"id": info.run_id or None, "resume": "allow", "config": _config_beside(source, info)})
    path = Path(into)
    if path.exists():
        file = read_wandb_file(_run_file(path))
        _check_id(file.run_id, info, str(path))
        folder = file.path.parent.parent  # W&B makes wandb/ in the folder it is given
        root = folder.parent if folder.name in ("wandb", ".wandb") else folder
        known = {"project": file.project or None, "entity": file.entity or None, "config": file.config}
        return _Target({"id": file.run_id, "resume": "allow", "dir": str(root), **known}, file)
    named = _RUN_PATH.fullmatch(into)
    if named is None:
        raise SourceError(
            f"the run {into!r} is not there",
            do="Name the folder or the run-ID.wandb file of an offline run, or entity/project/id.",
        )
    _check_id(named["id"], info, into)
    return _Target({**named.groupdict(), "resume": "must", "config": _config_beside(source, info)})


def _config_beside(source: Path, info: RunInfo) -> dict[str, Any]:
    """The run's config as the run file beside the log has it, the instrument's settings among it; else as the log has it."""
    path = source.parent / f"run-{info.run_id}.wandb"
    logged = {**info.config, **claims_config(info.claims)}
    try:
        return read_wandb_file(path, rows=False).config or logged
    except SourceError:
        return logged


def _run_file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(path.glob("run-*.wandb"))
    if len(files) != 1:
        raise SourceError(
            f"the folder {str(path)!r} is not one run's",
            got=f"{len(files)} run files",
            do="Name a run's own folder, or its file.",
        )
    return files[0]


def _check_id(run_id: str, info: RunInfo, into: str) -> None:
    if info.run_id not in ("", run_id):
        raise SourceError(
            f"the record log is of another run than {into}", got=f"{info.run_id}, not {run_id}", do="Name the run it is of."
        )


def _begin(target: _Target, info: RunInfo, events: Iterable[TelemetryEvent]) -> wandb.Run:
    import wandb  # noqa: PLC0415 -- takes seconds

    settings = wandb.setup().settings
    if settings.mode == "disabled":
        raise UsageError("W&B is switched off", got="WANDB_MODE=disabled", do="Set WANDB_MODE to online or offline.")
    if target.options["resume"] == "must" and settings.mode in ("offline", "dryrun"):
        raise UsageError(
            "a run on the W&B server can be restored online only", got=f"WANDB_MODE={settings.mode}", do="Set WANDB_MODE=online."
        )
    contexts = [e.data for e in standing(events) if isinstance(e.data, EpisodeContext) and not e.scoped]
    episode = episode_config(contexts[-1]) if contexts else {}
    said: dict[str, Any] = {
        "project": settings.project or info.project or None,
        "name": info.name or None,
        "group": info.group or None,
        "job_type": info.job_type or None,
        "tags": info.tags or None,
        "reinit": "create_new",
    }
    options = said | {name: value for name, value in target.options.items() if value is not None}
    return wandb.init(**{**options, "config": {"karn_schema": SCHEMA_VERSION, **options["config"], **episode}})


def _deliver(wandb_run: wandb.Run, events: tuple[TelemetryEvent, ...], path: Path, present: frozenset[int]) -> Exception | None:
    """Let W&B follow a record log to its end; gives what went wrong."""
    from karn_wandb.sinks import LogGate, WandbSink  # noqa: PLC0415 -- loads wandb

    write_log(path, events)
    log = RecordLog(path)
    sink = WandbSink(wandb_run, LogGate(wandb_run), log.events, path, present=present, told=log.next_sequence)
    follower = Follower(log, sink)
    reached, complete = -1, False
    while follower.failure is None and not complete and reached < follower.progress:
        reached = follower.progress
        complete = follower.close(STALL_SECONDS)
    log.close()
    return None if complete else follower.failure or TimeoutError(f"nothing was taken for {STALL_SECONDS:g} seconds")


def _exit_code(events: Iterable[TelemetryEvent]) -> int:
    """0 when the log says that all its episodes finished; a log without an end is of a process that was killed."""
    open_or_failed: dict[tuple[int, int, bool], bool] = {}
    for event in standing(events):
        if isinstance(event.data, RunInfo | EpisodeContext | EpisodeOutcome):
            finished = isinstance(event.data, EpisodeOutcome) and event.data.state == "finished"
            open_or_failed[event.env_id, event.episode_idx, event.scoped] = not finished
    own = open_or_failed.pop((0, 0, False), True)
    return int(any(open_or_failed.values()) if open_or_failed else own)


def _is_beside(row: dict[str, Any]) -> bool:
    """Whether a row is the user's own: neither an event nor a table or chart of this package."""
    names = [name for name in row if not name.startswith("_")]
    ours = REST in row or PART in row or all(name.startswith(("tables/", "charts/", "custom_charts/")) for name in names)
    return not ours
