"""Runs in files, read once: what was read is kept, and serves for as long as the files are as they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from karn_wandb.errors import SourceError
from karn_wandb.experiment.cache import Origin, RunCache
from karn_wandb.experiment.packed import Packed
from karn_wandb.experiment.processes import read_in_processes
from karn_wandb.experiment.runs import Progress, RunData, RunPaths, read_run, rows_of_file

FILES = "@files"
"""Where runs in files are kept below the cache's folder: no host of a service has that name."""

_LONGEST_NAME = 60
_SAID = ("run_id", "project", "name", "group", "job_type", "config", "state", "reason", "via")
"""What a run's files say of it, kept as it is."""


def origin_of(paths: RunPaths) -> Origin:
    """A run in files, as they stand: their sizes, and when they were changed.

    Raises:
        OSError: One of them is not there.
    """
    files = [path and path.resolve() for path in (paths.wandb_path, paths.log_path)]
    stands = [file and [(s := file.stat()).st_size, s.st_mtime_ns, s.st_ctime_ns] for file in files]
    digest = hashlib.sha256(json.dumps(list(map(str, files))).encode("utf-8", "surrogatepass")).hexdigest()
    name = quote(paths.name, safe="", errors="replace")[:_LONGEST_NAME]
    return Origin(paths.name, Path(FILES, digest[:2], f"{name}-{digest[2:18]}"), json.dumps(stands))


@dataclass(frozen=True, slots=True)
class Found:
    """A run that a source names.

    Attributes:
        source: The source.
        paths: Its files.
        among_others: Whether it was found in a folder, so that it is listed even if it cannot be read.
    """

    source: str
    paths: RunPaths
    among_others: bool = False


class LocalRuns:
    """Reads runs in files.

    Args:
        cache: Where what was read is kept.
        progress: Is told how many runs of how many are read.
    """

    def __init__(self, cache: RunCache, progress: Progress | None = None) -> None:
        self._cache = cache
        self._progress = progress or (lambda *_: None)

    def read(self, runs: Sequence[Found]) -> list[RunData]:
        """Read runs: those that are not kept by several processes, where they are many.

        Raises:
            SourceError: One that is not among others cannot be read.
        """
        kept = [self._kept(run) for run in runs]
        new = [run for run, known in zip(runs, kept, strict=True) if known is None]
        done = len(runs) - len(new)
        if self._cache.folder is not None:
            for number, name in enumerate(read_in_processes(self._cache.folder, [run.paths for run in new])):
                self._progress(done + number, len(runs), f"reading {name}")
        return [known or self._read(run, number, len(runs)) for number, (run, known) in enumerate(zip(runs, kept, strict=True))]

    def _kept(self, run: Found) -> RunData | None:
        try:
            kept = self._cache.read(origin_of(run.paths))
        except OSError:
            return None  # whoever reads it says what is wrong
        return None if kept is None else _run_of(run, kept)

    def _read(self, run: Found, number: int, among: int) -> RunData:
        known = self._kept(run)  # another process has read it
        if known is not None:
            return known
        self._progress(number, among, f"reading {run.paths.name}")
        try:
            return read_and_keep(run, self._cache)
        except SourceError as error:
            if not run.among_others:
                raise
            return RunData(run.paths.name, run.source, reason=str(error), warnings=(str(error),))


def read_and_keep(found: Found, cache: RunCache) -> RunData:
    """Read a run, and keep it unless one of its files cannot be read.

    Raises:
        SourceError: None of them can.
    """
    try:
        origin = origin_of(found.paths)  # before they are read: what is written meanwhile is read the next time
    except OSError:
        return read_run(found.source, found.paths)
    run = read_run(found.source, found.paths)
    if (run.wandb_path, run.log_path) != (found.paths.wandb_path, found.paths.log_path):
        return run
    return _run_of(found, cache.keep(origin, run.telemetry, _notes(run)))


def _notes(run: RunData) -> dict[str, Any]:
    more = {"tags": run.tags, "started": run.started and run.started.isoformat(), "warnings": run.warnings}
    return {name: getattr(run, name) for name in _SAID} | more


def _run_of(found: Found, kept: Packed) -> RunData:
    notes, paths = kept.about.notes, found.paths
    return RunData(
        source=found.source,
        tags=tuple(notes["tags"]),
        started=notes["started"] and datetime.fromisoformat(notes["started"]),
        telemetry=kept,
        wandb_path=paths.wandb_path,
        log_path=paths.log_path,
        rows=partial(rows_of_file, paths.wandb_path) if paths.wandb_path else None,
        warnings=tuple(notes["warnings"]),
        **{name: notes[name] for name in _SAID},
    )
