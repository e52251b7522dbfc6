"""From what a user names (folders, run files, record logs, W&B projects) to runs, each read once, none left out in silence."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from karn_wandb.errors import SourceError
from karn_wandb.experiment.cache import RunCache
from karn_wandb.experiment.chunks import MAGIC
from karn_wandb.experiment.local import Found, LocalRuns
from karn_wandb.experiment.remote import RemoteRuns, is_remote
from karn_wandb.experiment.runs import RunData, RunPaths, one_run
from karn_wandb.pipeline.log import LOG_NAME, PACKED

_LOG_BEGINNING = b'{"karn_records"'


def find_runs(
    sources: Sequence[str | Path],
    filters: Mapping[str, Any] | None = None,
    remote: RemoteRuns | None = None,
    local: LocalRuns | None = None,
) -> tuple[list[RunData], list[str]]:
    """Read the runs that sources name.

    Args:
        sources: Folders (searched with all folders below), W&B run files, record logs, and, as text that is no path here,
            "entity/project" or "entity/project/run_id".
        filters: What the caller will choose episodes by: a run of a project that cannot match is not read.
        remote: Reads the runs of projects; without it they are read from W&B and not kept.
        local: Reads the runs in files; without it they are not kept.

    Returns:
        The runs, each run id once, in the order they were found; and what a careful reader must know.

    Raises:
        SourceError: A source is not there, cannot be read, or holds no run.
    """
    if not sources:
        raise SourceError(
            "no source of runs was named",
            do="Name a folder of offline runs, a run-ID.wandb file, a record log, or entity/project.",
        )
    notes: list[str] = []
    here = {place: _found(source, notes) for place, source in enumerate(sources) if not _is_remote(source)}
    in_files = (local or LocalRuns(RunCache(None))).read([run for runs in here.values() for run in runs])
    at_hand = {run.run_id: run for run in map(one_run, _by_id(in_files).values())}
    rest = iter(in_files)
    remote = remote or RemoteRuns(RunCache(None))
    found: dict[str, list[RunData]] = {}
    for place, source in enumerate(sources):
        name = str(source)
        for run in islice(rest, len(here[place])) if place in here else remote.read(name, filters or {}, at_hand):
            parts = found.setdefault(run.run_id, [])
            if place not in here and run is at_hand.get(run.run_id):
                notes.append(f"run {run.run_id} is in {name!r} too, with no more events: the one from {run.source!r} is used")
                continue
            again = next((part for part in parts if part.telemetry == run.telemetry), None)
            if again is None:
                parts.append(run)
                notes.extend(f"run {run.run_id}: {line}" for line in run.warnings)
            else:
                notes.append(f"run {run.run_id} was found again in {name!r}: the first, from {again.source!r}, is used")
    runs = list(map(one_run, found.values()))
    notes.extend(line for run in runs for line in _differing(run, found[run.run_id], {str(sources[place]) for place in here}))
    return runs, notes


def _by_id(runs: Iterable[RunData]) -> dict[str, list[RunData]]:
    found: dict[str, list[RunData]] = {}
    for run in runs:
        found.setdefault(run.run_id, []).append(run)
    return found


def _differing(run: RunData, parts: Sequence[RunData], files: Container[str]) -> Iterator[str]:
    """What to say of a run that is here and in W&B, and not the same: one may have gone on, or lack what was not sent."""
    if len({part.source in files for part in parts}) > 1:
        counted = " and ".join(f"{len(part.telemetry):,} events in {part.source!r}" for part in parts)
        used = "both together are" if run.via != "log" else f"the one from {run.source!r}, whose last event is the newest, is"
        yield f"run {run.run_id} has {counted}: {used} used"


def _is_remote(source: str | Path) -> bool:
    return isinstance(source, str) and is_remote(source) and not os.path.lexists(source)


def _found(source: str | Path, notes: list[str]) -> list[Found]:
    """The runs in files that a source names."""
    name, path = str(source), Path(source)
    return [Found(name, paths, among_others=path.is_dir()) for paths in _locate(name, path, notes)]


def _locate(source: str, path: Path, notes: list[str]) -> list[RunPaths]:
    try:
        path.stat()
        if not path.is_dir():
            return [_recognise(source, path)]
    except OSError as error:
        raise _unreadable(source, error) from error
    found = list(_search(source, path, notes))
    if not found:
        raise SourceError(
            f"no runs were found in the folder {source!r}",
            do=f"It must hold run-ID.wandb files of W&B or {LOG_NAME} files of this package, at any depth.",
        )
    return found


def _unreadable(source: str, error: OSError) -> SourceError:
    return SourceError(f"the source {source!r} cannot be read", got=error.strerror or str(error), do="Check the path.")


def _recognise(source: str, path: Path) -> RunPaths:
    with path.open("rb") as file:
        beginning = file.read(20)
    if path.suffix == ".wandb" or beginning.startswith(MAGIC):
        log_path = path.parent / LOG_NAME
        return RunPaths(path, log_path if log_path.is_file() else None)
    if beginning.startswith((_LOG_BEGINNING, PACKED)):
        return RunPaths(None, path)
    raise SourceError(
        f"the file {source!r} is neither a W&B run file nor a record log",
        got=f"{beginning!r} at its beginning",
        do=f"A run file begins with {MAGIC!r}, a record log with {_LOG_BEGINNING!r}.",
    )


def _search(source: str, folder: Path, notes: list[str]) -> Iterator[RunPaths]:
    """The runs below a folder, in the order of their paths; links to folders are not followed."""

    def refuse(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise _unreadable(source, error) from error
        notes.append(f"the folder {error.filename!r} cannot be read and is left out: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        log_path = Path(root, LOG_NAME) if LOG_NAME in files else None
        run_files = sorted(name for name in files if name.startswith("run-") and name.endswith(".wandb"))
        yield from (RunPaths(Path(root, name), log_path) for name in run_files)
        if log_path and not run_files:
            yield RunPaths(None, log_path)
