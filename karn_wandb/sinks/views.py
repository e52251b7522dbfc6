"""What a run leaves in W&B beside its rows, made once when it ends: tables, summary, artifacts, charts."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb

from karn_wandb import charts
from karn_wandb.analysis.attribution_charts import AttributionCharts
from karn_wandb.records import (
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpisodeOutcome,
    HostBaseline,
    Record,
    TelemetryEvent,
    encode_event,
    encode_header,
)
from karn_wandb.schema.artifacts import COUNTERFACTUAL, DENSE_TRACE, EPISODE, MODEL, RECORDS, artifact_name
from karn_wandb.schema.tables import EVENT_COLUMNS, MAX_ROWS, TABLES, Cell, table_rows

if TYPE_CHECKING:
    from wandb import Run as WandbRun

_ARTIFACTS: dict[str, tuple[type[Record], ...]] = {
    EPISODE: (EpisodeContext, HostBaseline),
    COUNTERFACTUAL: (CounterfactualMatrix,),
    DENSE_TRACE: (DenseTrace,),
}
"""By artifact type, the records whose events it holds: as a record log, packed, so that what reads those reads it back."""


class Views:
    """The views of a run's events, gathered in one pass over them.

    Args:
        events: All events of the run, in order.
    """

    def __init__(self, events: Iterable[TelemetryEvent]) -> None:
        self.rows: dict[str, list[list[Cell]]] = {spec.name: [] for spec in TABLES}
        self.lines: dict[str, list[bytes]] = {artifact_type: [] for artifact_type in _ARTIFACTS}
        self.outcome: EpisodeOutcome | None = None
        self.checkpoints: dict[Path, HostBaseline] = {}
        self.charts = AttributionCharts()
        for event in events:
            self._add(event)

    def _add(self, event: TelemetryEvent) -> None:
        for spec in TABLES:
            self.rows[spec.name].extend(table_rows(spec, event))
        for artifact_type, records in _ARTIFACTS.items():
            if isinstance(event.data, records):
                self.lines[artifact_type].append(encode_event(event))
        self.charts.observe(event)
        match event.data:
            case EpisodeOutcome() as outcome if not event.scoped:
                self.outcome = outcome
            case HostBaseline(initial_checkpoint=path) as baseline if path is not None:
                self.checkpoints[path] = baseline
            case _:
                pass

    def log(self, run: WandbRun, log_row: Callable[[dict[str, Any]], None], records_path: Path | None) -> None:
        """Log them to a run; artifacts last, for W&B's client asks its service about each, and gives up when that is away.

        Args:
            run: The W&B run.
            log_row: Logs a history row.
            records_path: The record log, to become an artifact.
        """
        tables = {spec.name: _table(spec.columns, self.rows[spec.name]) for spec in TABLES if self.rows[spec.name]}
        if tables:
            log_row(dict(tables))
        pictures = _pictures(self.charts.charts()) if charts.can_draw() else {}
        if pictures:
            log_row(pictures)
        if self.outcome is not None:
            run.summary.update({"outcome": self.outcome.to_plain()})
        with tempfile.TemporaryDirectory(prefix="karn-") as folder:
            for artifact_type, lines in self.lines.items():
                if lines:
                    path = Path(folder) / f"{artifact_type}.jsonl"
                    path.write_bytes(b"".join([encode_header(), *lines]))
                    _log_artifact(run, artifact_type, _packed(path, Path(folder)))
            if records_path is not None and records_path.exists():
                _log_artifact(run, RECORDS, _packed(records_path, Path(folder)))
        self._log_checkpoints(run)

    def _log_checkpoints(self, run: WandbRun) -> None:
        for path, baseline in self.checkpoints.items():
            if path.exists():
                policy = baseline.checkpoint_retention_policy
                _log_artifact(run, MODEL, path, {"checkpoint_retention_policy": policy})
                if policy == "delete_after_run":
                    path.unlink()


def _table(columns: tuple[str, ...], rows: list[list[Cell]]) -> wandb.Table:
    return wandb.Table(columns=[*EVENT_COLUMNS, *columns], data=[*rows[-MAX_ROWS:]])


def _pictures(drawn: Iterable[charts.Chart]) -> dict[str, Any]:
    """Charts as W&B's media, which show light and dark and run no script; W&B's own style sheet is not fetched."""
    return {f"charts/{chart.name}": wandb.Html(charts.to_page(chart), inject=False, data_is_not_path=True) for chart in drawn}


def _packed(path: Path, folder: Path) -> Path:
    packed = folder / f"{path.name}.gz"
    with path.open("rb") as source, gzip.GzipFile(packed, "wb", mtime=0) as target:
        shutil.copyfileobj(source, target)
    return packed


def _log_artifact(run: WandbRun, artifact_type: str, path: Path, metadata: dict[str, Any] | None = None) -> None:
    artifact = wandb.Artifact(artifact_name(artifact_type, run.id), type=artifact_type, metadata=metadata)
    artifact.add_file(str(path), policy="mutable")  # copied at once: the file may go
    run.log_artifact(artifact)
