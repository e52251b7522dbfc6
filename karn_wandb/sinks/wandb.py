"""Events into a real W&B run: one history row each; tables and artifacts when the run ends."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import wandb

from karn_wandb.records import (
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpisodeOutcome,
    HostBaseline,
    Record,
    TelemetryEvent,
)
from karn_wandb.schema import CLOCKS, EPISODE, FAMILIES, REST, encode_row, scope
from karn_wandb.schema.artifacts import COUNTERFACTUAL, DENSE_TRACE, MODEL, RECORDS, artifact_name
from karn_wandb.schema.artifacts import EPISODE as EPISODE_ARTIFACT
from karn_wandb.schema.tables import EVENT_COLUMNS, MAX_ROWS, TABLES, Cell, TableSpec, histograms, table_rows

if TYPE_CHECKING:
    from wandb import Run as WandbRun

MAX_BINS = 512


class LogGate:
    """Keeps a user's half row and our rows apart.

    W&B has one pending row a run: `log({...}, commit=False)` adds to it and the next commit sends it, whoever makes
    it. So while a user's row is open, ours wait; and both never write at the same time.
    """

    def __init__(self, run: WandbRun) -> None:
        self._log: Callable[..., None] = run.log
        self._free = threading.Condition(threading.RLock())
        self._open = False
        self._closing = False
        setattr(run, "log", self._user_log)  # noqa: B010 -- the one place every call of the user passes

    def _user_log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        with self._free:
            self._log(data, step=step, commit=commit)
            self._open = commit is False or (commit is None and step is not None)
            self._free.notify_all()

    def log(self, row: dict[str, Any]) -> None:
        """Log a row of ours as soon as no user's row is open."""
        with self._free:
            self._free.wait_for(lambda: not self._open or self._closing)
            self._log(row)

    def close(self) -> None:
        """The run ends: an open row is committed by what comes next, as W&B does at finish."""
        with self._free:
            self._closing = True
            self._free.notify_all()


class WandbSink:
    """Writes events to one W&B run.

    Args:
        run: The run; the global `wandb.run` is never used.
        gate: The run's gate between the user's rows and ours.
        events: Gives all events of the run again, for the tables and artifacts made when it ends.
        log_path: The record log, to become an artifact.
    """

    name = "wandb"

    def __init__(
        self, run: WandbRun, gate: LogGate, events: Callable[[], Iterable[TelemetryEvent]], log_path: Path | None
    ) -> None:
        self._run = run
        self._gate = gate
        self._events = events
        self._log_path = log_path
        self._scopes: set[str] = set()
        self._define("")

    def write(self, event: TelemetryEvent) -> None:
        """Log the event as one row, with its histograms beside it."""
        if event.scoped:
            self._define(scope(event.env_id))
        row: dict[str, Any] = dict(encode_row(event))
        if isinstance(event.data, Record):
            row |= {key: _histogram(counts, edges) for key, counts, edges in histograms(event.data) if _drawable(counts, edges)}
        self._gate.log(row)

    def _define(self, prefix: str) -> None:
        if prefix in self._scopes:
            return
        self._scopes.add(prefix)
        for clock in CLOCKS:
            self._run.define_metric(prefix + clock, hidden=True)
        for family, clock in FAMILIES.items():
            self._run.define_metric(f"{prefix}{family}/*", step_metric=prefix + clock)
        if prefix:
            self._run.define_metric(prefix + EPISODE, hidden=True)
        else:
            self._run.define_metric(REST, hidden=True, summary="none")

    def close(self) -> None:
        """Log tables, summary and artifacts."""
        self._log_tables()
        self._summarise()
        with tempfile.TemporaryDirectory(prefix="karn-") as folder:
            self._log_artifacts(Path(folder))

    def _log_tables(self) -> None:
        rows: dict[str, list[list[Cell]]] = {spec.name: [] for spec in TABLES}
        for event in self._events():
            for spec in TABLES:
                rows[spec.name].extend(table_rows(spec, event))
        tables = {spec.name: _table(spec, rows[spec.name][-MAX_ROWS:]) for spec in TABLES if rows[spec.name]}
        if tables:
            self._gate.log(dict(tables))

    def _summarise(self) -> None:
        for event in self._events():
            if isinstance(event.data, EpisodeOutcome) and not event.scoped:
                self._run.summary.update({"outcome": event.data.to_plain()})

    def _log_artifacts(self, folder: Path) -> None:
        context = [e.to_plain() for e in self._events() if isinstance(e.data, EpisodeContext | HostBaseline)]
        matrices = [e.to_plain() for e in self._events() if isinstance(e.data, CounterfactualMatrix)]
        traces = [e.to_plain() for e in self._events() if isinstance(e.data, DenseTrace)]
        for artifact_type, plain in ((EPISODE_ARTIFACT, context), (COUNTERFACTUAL, matrices), (DENSE_TRACE, traces)):
            if plain:
                path = folder / f"{artifact_type}.json"
                path.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=1))
                self._log_artifact(artifact_type, path)
        self._log_checkpoint()
        if self._log_path is not None and self._log_path.exists():
            packed = folder / f"{self._log_path.name}.gz"
            with self._log_path.open("rb") as source, gzip.GzipFile(packed, "wb", mtime=0) as target:
                shutil.copyfileobj(source, target)
            self._log_artifact(RECORDS, packed)

    def _log_checkpoint(self) -> None:
        for event in self._events():
            baseline = event.data
            if isinstance(baseline, HostBaseline) and baseline.initial_checkpoint and baseline.initial_checkpoint.exists():
                policy = baseline.checkpoint_retention_policy
                self._log_artifact(MODEL, baseline.initial_checkpoint, {"checkpoint_retention_policy": policy})
                if policy == "delete_after_run":
                    baseline.initial_checkpoint.unlink()

    def _log_artifact(self, artifact_type: str, path: Path, metadata: dict[str, Any] | None = None) -> None:
        artifact = wandb.Artifact(artifact_name(artifact_type, self._run.id), type=artifact_type, metadata=metadata)
        artifact.add_file(str(path), policy="mutable")
        self._run.log_artifact(artifact)


def _drawable(counts: tuple[float, ...], edges: tuple[float, ...]) -> bool:
    return 0 < len(counts) <= MAX_BINS and bool(np.isfinite([*counts, *edges]).all())


def _table(spec: TableSpec, rows: list[list[Cell]]) -> wandb.Table:
    return wandb.Table(columns=[*EVENT_COLUMNS, *spec.columns], data=[*rows])


def _histogram(counts: tuple[float, ...], edges: tuple[float, ...]) -> wandb.Histogram:
    return wandb.Histogram(np_histogram=(np.asarray(counts), np.asarray(edges)))
