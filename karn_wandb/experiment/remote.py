"""Runs of a W&B project: listed, chosen by what the list says of them, and only then read, or taken from the cache.

A run's events come from the record log it left as an artifact, when that has each event of which W&B has a row; else from
the rows themselves. Both give the same events; the first is one small file however long the run.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from karn_wandb.errors import RecordError, SourceError
from karn_wandb.experiment.cache import Origin, RunCache
from karn_wandb.experiment.filters import select
from karn_wandb.experiment.frames import EPISODES, episodes_frame
from karn_wandb.experiment.packed import Packed
from karn_wandb.experiment.runs import Progress, Read, RunData, State, Via, dropped, ending, events_of_rows
from karn_wandb.experiment.service import ENDED, RemoteRun, WandbService
from karn_wandb.experiment.telemetry import Facts, Held
from karn_wandb.pipeline.log import ReadLog, parse_log
from karn_wandb.schema.config import overlay

_REMOTE = re.compile(r"[A-Za-z0-9_-][\w.-]*/[\w.-]+(/[\w.-]+)?")
_FILES = (".wandb", ".jsonl", ".gz")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXACT = 2**53

_SAID: Mapping[str, tuple[State, str]] = {"finished": ("finished", ""), "failed": ("failed", "W&B says that it failed")}
_NO_END: Mapping[str, str] = {
    "crashed": "W&B has not heard of it since its last row: the process was killed, or lost its connection",
    "killed": "it was stopped by hand",
}


def is_remote(source: str) -> bool:
    """Whether a source that is no path looks like "entity/project" or "entity/project/run_id"."""
    return bool(_REMOTE.fullmatch(source)) and not source.endswith(_FILES)


class RemoteRuns:
    """Reads runs from W&B.

    Args:
        cache: Where events are kept.
        progress: Is told how far it is.
        service: The service; W&B's, when None.
    """

    def __init__(self, cache: RunCache, progress: Progress | None = None, service: WandbService | None = None) -> None:
        self._cache = cache
        self._progress = progress or (lambda *_: None)
        self._done, self._all = 0, 0
        self._service = service or WandbService(self._tell)

    def read(
        self, source: str, filters: Mapping[str, Any], at_hand: Mapping[str, RunData] = MappingProxyType({})
    ) -> list[RunData]:
        """The runs of a project, or one run. Those that the filters rule out by what W&B's list says come without their events.

        Args:
            source: "entity/project" or "entity/project/run_id".
            filters: As of `load_experiment`.
            at_hand: Runs that were read from files, by id. One that has ended, and has no fewer events than W&B counts, is given
                as it is, and not asked for.

        Raises:
            SourceError: There is no such, or W&B cannot be asked.
        """
        self._done, self._all = 0, 0
        self._tell(f"listing {source}")
        runs = self._listed(source, filters)
        wanted = chosen(list(runs.values()), filters)
        here = {run.run_id: at_hand[run.run_id] for run in runs if _has_all(at_hand.get(run.run_id), run)}
        self._all = len(wanted - here.keys())
        found = [
            here[run.run_id] if run.run_id in here else self._with_events(run, data) if run.run_id in wanted else data
            for run, data in runs.items()
        ]
        self._tell(f"{source} is read")
        return found

    def _listed(self, source: str, filters: Mapping[str, Any]) -> dict[RemoteRun, RunData]:
        """The runs, without those that W&B can tell do not match, as long as the others have what is filtered by."""
        pushed = server_filter(filters)
        runs = {run: _described(source, run) for run in self._service.runs(source, pushed)}
        if pushed and not filters.keys() <= _names(episodes_frame(runs.values()).columns):
            runs = {run: _described(source, run) for run in self._service.runs(source, {})}
        if not runs:
            raise SourceError(f"W&B has no run in {source!r}", do="Check the name, or log a run there first.")
        return runs

    def _tell(self, what: str) -> None:
        self._progress(self._done, self._all, what)

    def _with_events(self, run: RemoteRun, data: RunData) -> RunData:
        self._tell(f"reading {run.run_id}")
        kept = self._cache.read(_origin(run)) or self._fetched(run)
        facts, notes = kept.facts, kept.about.notes
        state, reason = _ending(run.state, facts)
        self._done += 1
        return replace(
            data,
            config=_exact(run.config, facts.config),
            state=state,
            reason=reason,
            telemetry=kept,
            via=notes["via"],
            rows=partial(self._rows, run),
            warnings=(*notes["damage"], *dropped(facts)),
        )

    def _fetched(self, run: RemoteRun) -> Packed:
        if not run.ours or not run.rows:
            return _NOWHERE.keep(_origin(run), Held(), _notes("wandb"))
        log = self._record_log(run) if run.state in ENDED else None
        if log is not None:
            return self._cache.keep(_origin(run), Held(log.events), _notes("log"))
        rows = self._service.history(run)
        events, damage = _of_rows(rows)
        certain = len(rows) >= run.rows  # W&B may list rows that it does not give yet
        return (self._cache if certain else _NOWHERE).keep(_origin(run), Held(events), _notes("wandb", damage))

    def _record_log(self, run: RemoteRun) -> ReadLog | None:
        try:
            content = self._service.record_log(run) if run.events else None
            log = parse_log(content or b"")
        except (SourceError, RecordError):
            return None  # the rows have the same, and say more clearly what is wrong
        return log if _is_whole(log, run) else None

    def _rows(self, run: RemoteRun) -> Read:
        return _of_rows(self._service.history(run))


_NOWHERE = RunCache(None)


def _origin(run: RemoteRun) -> Origin:
    """A run of a service, as W&B describes it: when it was made and last heard of, how it stands, how long it is."""
    host = urlsplit(run.host).netloc or run.host
    place = Path(*(quote(part, safe="") for part in (host, run.entity, run.project))) / f"{quote(run.run_id, safe='')}"
    return Origin(run.run_id, place, json.dumps([run.created_at, run.heartbeat_at, run.state, run.rows]))


def _notes(via: Via, damage: Sequence[str] = ()) -> dict[str, Any]:
    return {"via": via, "damage": list(damage)}


def server_filter(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the filters that W&B can apply and that leaves out no run which they would choose.

    These are plain names that can only be entries of the config. Where one is also a column (`group`, `name`), or may be a
    nested entry or one with dots in its name, the list decides.
    """
    return {
        f"config.{name}.value": {"$in": list(wanted)} if isinstance(wanted, tuple) else wanted
        for name, wanted in filters.items()
        if _PLAIN.fullmatch(name) and name not in EPISODES and all(map(_sendable, _one_or_more(wanted)))
    }


def chosen(runs: Sequence[RunData], filters: Mapping[str, Any]) -> set[str]:
    """Ids of the runs that may match: those whose config, group, name and id do not rule them out."""
    episodes = episodes_frame(runs)
    known = {name: wanted for name, wanted in filters.items() if _decides(episodes.columns, name, wanted)}
    return set(episodes.loc[select(episodes, known), "run_id"])


def _decides(columns: Iterable[str], name: str, wanted: Any) -> bool:
    """Whether a run's events have no say in a filter. They have where W&B's config has lost digits."""
    if not all(value is None or _sendable(value) for value in _one_or_more(wanted)):
        return False
    if f"config.{name}" in columns or (name in columns and name.startswith("config.")):
        return True
    return name in ("run_id", "group", "name") and None not in _one_or_more(wanted)


def _names(columns: Iterable[str]) -> set[str]:
    """What columns can be filtered by as."""
    return {name for column in columns for name in (column, column.removeprefix("config."))}


def _one_or_more(wanted: Any) -> tuple[Any, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _sendable(value: Any) -> bool:
    """Whether W&B compares the value as we do."""
    if isinstance(value, bool | str):
        return True
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _EXACT


def _described(source: str, run: RemoteRun) -> RunData:
    """What W&B's list says of a run."""
    return RunData(
        run.run_id,
        source,
        project=run.project,
        name=run.name,
        group=run.group,
        job_type=run.job_type,
        tags=run.tags,
        config=run.config,
        started=run.started,
    )


def _exact(config: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    """W&B's config, whose numbers went through 64-bit floats, with the numbers as they were logged where they are the same."""
    return overlay({name: logged[name] for name in config if name in logged}, config)


def _ending(state: str, facts: Facts) -> tuple[State, str]:
    """How a run ended, from W&B's state of it."""
    if state in ENDED:
        return ending(facts, _SAID.get(state), _NO_END.get(state, ""))
    return "running", f"it has not ended: W&B calls it {state}"


def _has_all(here: RunData | None, run: RemoteRun) -> bool:
    """Whether a run in files has what W&B has of it."""
    if here is None or here.project != run.project or run.events is None:
        return False
    return run.state in ENDED and len(here.telemetry) >= run.events > 0


def _is_whole(log: ReadLog, run: RemoteRun) -> bool:
    """Whether the log has every event from the first on, as many as W&B has rows that end one."""
    return not log.damage and [event.sequence for event in log.events] == list(range(run.events or 0))


def _of_rows(rows: Iterable[Mapping[str, Any]]) -> Read:
    events, damage = events_of_rows(rows)
    sequences = [event.sequence for event in events if event.sequence is not None]
    missing = max(sequences, default=-1) + 1 - len(sequences)
    lost = (f"{missing} of its {max(sequences) + 1} events are not among W&B's rows",) if missing else ()
    return events, (*damage, *lost)
