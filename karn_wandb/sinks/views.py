"""What a run leaves in W&B beside its rows, made once when it ends: tables, summary, artifacts, charts."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
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
from karn_wandb.schema.tables import EVENT_COLUMNS, MAX_ROWS, TABLES, Cell, TableSpec, part_name, table_rows
from karn_wandb.sinks.presets import default_folder, noted

if TYPE_CHECKING:
    from wandb import Run as WandbRun

_ARTIFACTS: dict[str, tuple[type[Record], ...]] = {
    EPISODE: (EpisodeContext, HostBaseline),
    COUNTERFACTUAL: (CounterfactualMatrix,),
    DENSE_TRACE: (DenseTrace,),
}
"""By artifact type, the records whose events it holds: as a record log, packed, so that what reads those reads it back."""

MAX_PLOT_ROWS = 10_000
"""Rows of a table that W&B's client copies for W&B's pages. A chart of more would lack some: it is a picture only."""


class Views:
    """The views of a run's events, made in one pass over them. Tables are logged as they fill, the rest in the end.

    Args:
        run: The W&B run.
        log_row: Logs a history row.
        chart_presets: Entity that has our presets of custom charts, "" when none has; None where those count that are noted for
            the run's own.
    """

    def __init__(self, run: WandbRun, log_row: Callable[[dict[str, Any]], None], chart_presets: str | None = None) -> None:
        self._run = run
        self._chart_presets = chart_presets
        self._log_row = log_row
        self._rows: dict[str, list[list[Cell]]] = {spec.name: [] for spec in TABLES}
        self._parts: Counter[str] = Counter()
        self._lines: dict[str, list[bytes]] = {artifact_type: [] for artifact_type in _ARTIFACTS}
        self._outcome: EpisodeOutcome | None = None
        self._checkpoints: dict[Path, HostBaseline] = {}
        self._charts = AttributionCharts()

    def add(self, event: TelemetryEvent) -> None:
        """Take the next event."""
        for spec in TABLES:
            for row in table_rows(spec, event):
                self._rows[spec.name].append(row)
                if len(self._rows[spec.name]) == MAX_ROWS:
                    self._log_table(spec)
        for artifact_type, records in _ARTIFACTS.items():
            if isinstance(event.data, records):
                self._lines[artifact_type].append(encode_event(event))
        self._charts.observe(event)
        match event.data:
            case EpisodeOutcome() as outcome if not event.scoped:
                self._outcome = outcome
            case HostBaseline(initial_checkpoint=path) as baseline if path is not None:
                self._checkpoints[path] = baseline
            case _:
                pass

    def _log_table(self, spec: TableSpec) -> None:
        """Log the rows that were gathered for a table, as its next part."""
        self._parts[spec.name] += 1
        table = to_table([*EVENT_COLUMNS, *spec.columns], self._rows.pop(spec.name))
        self._rows[spec.name] = []
        self._log_row({part_name(spec.name, self._parts[spec.name]): table})

    def finish(self, records_path: Path | None) -> Iterator[None]:
        """Log what is left, a table or an artifact a step.

        Artifacts last, for W&B's client asks its service about each, and gives up when that is away.

        Args:
            records_path: The record log, to become an artifact.
        """
        for spec in TABLES:
            if self._rows[spec.name]:
                self._log_table(spec)
                yield
        drawn = self._charts.charts()
        for row in (_pictures(drawn) if charts.can_draw() else {}, self._custom_charts(drawn)):
            if row:
                self._log_row(row)
                yield
        if self._outcome is not None:
            self._run.summary.update({"outcome": self._outcome.to_plain()})
        with tempfile.TemporaryDirectory(prefix="karn-") as folder:
            for artifact_type, lines in self._lines.items():
                if lines:
                    path = Path(folder) / f"{artifact_type}.jsonl"
                    path.write_bytes(b"".join([encode_header(), *lines]))
                    _log_artifact(self._run, artifact_type, _packed(path, Path(folder)))
                    yield
            if records_path is not None and records_path.exists():
                _log_artifact(self._run, RECORDS, _packed(records_path, Path(folder)))
        self._log_checkpoints(self._run)

    def _custom_charts(self, drawn: Iterable[charts.Chart]) -> dict[str, Any]:
        """Charts that people can point at: drawn by our presets where W&B has them, else by its own where one fits."""
        said = self._chart_presets
        owner = self._run.entity if said is None else said
        known = noted(str(self._run.settings.base_url), owner, default_folder()) if said is None and owner else ()
        found: dict[str, Any] = {}
        for chart in drawn:
            ours = owner and (said is not None or charts.preset(chart.drawn_by).name in known)
            plot = charts.plot(chart, owner) if ours else chart.plain
            if plot is not None and len(plot.rows) <= MAX_PLOT_ROWS:
                table = to_table([*plot.columns], map(list, plot.rows))
                found[f"custom_charts/{chart.name}"] = wandb.plot_table(plot.preset, table, dict(plot.fields), dict(plot.texts))
        return found

    def _log_checkpoints(self, run: WandbRun) -> None:
        for path, baseline in self._checkpoints.items():
            if path.exists():
                policy = baseline.checkpoint_retention_policy
                _log_artifact(run, MODEL, path, {"checkpoint_retention_policy": policy})
                if policy == "delete_after_run":
                    path.unlink()


def to_table(columns: list[str], rows: Iterable[list[Cell]]) -> wandb.Table:
    """A W&B table of these rows.

    W&B infers the type of each cell of each row it is given to add, which takes 0.07 milliseconds a row. A row whose
    cells have the Python types of an earlier one's tells it nothing new, and goes to the others as it is.
    """
    table = wandb.Table(columns=[*columns])
    known: set[tuple[type, ...]] = set()
    for row in rows:
        types = tuple(map(type, row))
        if types in known:
            table.data.append(row)
        else:
            known.add(types)
            table.add_data(*row)
    return table


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
