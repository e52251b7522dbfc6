"""A W&B run file (`run-ID.wandb`) read without W&B's service: what was configured, logged, defined and how it ended.

wandb 0.31 ships no reader any more, only the protocol buffers the records are made of. The reading is tolerant: a torn
end ends it, a damaged block costs the records in it, and both are said in `damage`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from karn_wandb.errors import SourceError
from karn_wandb.experiment.chunks import MAGIC, split_records
from karn_wandb.experiment.wire import HISTORY, SUMMARY, ItemReader, body_of, configure, decoded

_TOGETHER = 256
"""Summary records that are read as one."""


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One `define_metric` call.

    Attributes:
        name: The metric, or a pattern such as "host/*".
        step_metric: Key of its x axis, "" for W&B's step.
        hidden: Whether it gets no panel of its own.
    """

    name: str
    step_metric: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class ArtifactEntry:
    """One file of an artifact.

    Attributes:
        path: Its path inside the artifact.
        local_path: Where the bytes are on the machine that logged it, "" for a reference.
        digest: MD5 of the bytes, base64.
        size: Bytes.
    """

    path: str
    local_path: str = ""
    digest: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class LoggedArtifact:
    """An artifact the run logged. W&B keeps its bytes outside the run's folder; `sinks.luggage` puts them there, too.

    Attributes:
        name: Its name.
        type: Its type.
        client_id: What a history row refers to it by.
        aliases: Its aliases.
        metadata: Its metadata.
        entries: Its files.
    """

    name: str
    type: str
    client_id: str = ""
    aliases: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    entries: tuple[ArtifactEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class WandbFile:
    """What a run file holds.

    Attributes:
        path: The file.
        run_id: W&B's run id; from the file's name when the record that says it is lost.
        project: Project, "" when unknown.
        entity: Entity, "" offline.
        display_name: Name, "" when none was given.
        group: Group, "" when none was given.
        job_type: Job type, "" when none was given.
        tags: Tags.
        started: When the run began; None when the record that says it is lost.
        config: Configuration at the end, nested, without W&B's own `_wandb`.
        rows: History rows in order, each from key to value; the parts of nested keys are joined with ".".
        summary: Summary at the end, keys as in the rows.
        metrics: The `define_metric` calls by name, the last of each.
        artifacts: Artifacts logged, in order.
        exit_code: Exit code; None without an exit record: killed, or still running.
        damage: What could not be read, in words; empty for a sound file.
    """

    path: Path
    run_id: str
    project: str = ""
    entity: str = ""
    display_name: str = ""
    group: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()
    started: datetime | None = None
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, MetricDefinition] = field(default_factory=dict)
    artifacts: tuple[LoggedArtifact, ...] = ()
    exit_code: int | None = None
    damage: tuple[str, ...] = ()


def read_wandb_file(path: Path, *, rows: bool = True, summary: bool | None = None) -> WandbFile:
    """Read a run file.

    Args:
        path: The file.
        rows: Whether to read the history too; without it a large file takes a small part of the time.
        summary: Whether to read the summary, which is written anew with every row; None when the history is read.

    Raises:
        SourceError: The file cannot be opened, or is no run file.
    """
    return _Reading(rows=rows, summary=rows if summary is None else summary).read(path, content_of(path))


def content_of(path: Path) -> bytes:
    """The bytes of a run file.

    Raises:
        SourceError: The file cannot be opened, or is no run file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"the W&B run file {str(path)!r} cannot be read",
            got=error.strerror or str(error),
            do="Check that it is a file, there and readable.",
        ) from error
    if not content.startswith(MAGIC):
        raise SourceError(
            f"{str(path)!r} is no W&B run file",
            got=f"{content[: len(MAGIC)]!r} at its beginning" if content else "an empty file",
            do="A run-ID.wandb file written by wandb begins with b':W&B'; this one is damaged or of another kind.",
        )
    return content


def record_type() -> Any:
    """The protocol buffer that the records of a run file are."""
    from wandb.proto import wandb_internal_pb2  # noqa: PLC0415 -- takes a second to import

    return vars(wandb_internal_pb2)["Record"]  # made at run time, so no type checker knows it


class _Reading:
    """Gathers a run file's records; what comes later overrides."""

    def __init__(self, *, rows: bool, summary: bool) -> None:
        self._with_rows, self._with_summary = rows, summary
        self._items = ItemReader()
        self._run: dict[str, Any] = {}
        self._config: dict[str, Any] = {}
        self._rows: list[dict[str, Any]] = []
        self._summary: dict[str, bytes] = {}
        self._metrics: dict[str, MetricDefinition] = {}
        self._artifacts: list[LoggedArtifact] = []
        self._exit_code: int | None = None

    def read(self, path: Path, content: bytes) -> WandbFile:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415 -- comes with wandb

        record = record_type()
        damage: list[str] = []
        summaries: list[tuple[int, bytes]] = []
        for start, payload in split_records(content, damage):
            try:
                kind, begin, end = body_of(payload)
                if kind == HISTORY:
                    if self._with_rows:
                        self._rows.append(self._items.row(payload, begin, end))
                elif kind == SUMMARY:
                    if self._with_summary:
                        summaries.append((start, payload[begin:end]))
                elif kind:
                    self._take(record.FromString(payload))
            except (DecodeError, ValueError, IndexError) as error:
                damage.append(_not_as_written(start, error))
        for place in range(0, len(summaries), _TOGETHER):
            starts, contents = zip(*summaries[place : place + _TOGETHER], strict=True)
            wrong = self._items.summarise(self._summary, contents)
            damage += [_not_as_written(starts[place], error) for place, error in wrong]
        if not self._run and not damage:
            damage.append("the file has no run record: the process was killed before W&B wrote one")
        found = {"run_id": path.stem.removeprefix("run-")} | self._run
        return WandbFile(
            path=path,
            config=_without_own(self._config),
            rows=self._rows,
            summary=_without_own(dict(zip(self._summary, decoded(self._summary.values()), strict=True))),
            metrics=self._metrics,
            artifacts=tuple(self._artifacts),
            exit_code=self._exit_code,
            damage=tuple(damage),
            **found,
        )

    def _take(self, record: Any) -> None:
        match record.WhichOneof("record_type"):
            case "config":
                configure(self._config, record.config)
            case "run":
                self._run |= _run_fields(record.run)
                configure(self._config, record.run.config)
            case "metric" if not record.metric.expanded_from_glob:  # wandb 0.28 also notes what each glob matched
                metric = record.metric
                name = metric.glob_name or metric.name
                self._metrics[name] = MetricDefinition(name, metric.step_metric, metric.options.hidden)
            case "artifact":
                self._artifacts.append(_artifact(record.artifact))
            case "exit":
                self._exit_code = record.exit.exit_code


def _not_as_written(start: int, error: Exception) -> str:
    return f"the record at byte {start} is not as W&B writes them and is left out: {error}"


def _without_own(values: Mapping[str, Any]) -> dict[str, Any]:
    """The user's values: W&B keeps its own under `_wandb`, or under keys that begin with it and a dot."""
    return {key: value for key, value in values.items() if key.split(".")[0] != "_wandb"}


def _run_fields(run: Any) -> Mapping[str, Any]:
    """Fields of a run record that are set; a later record may say only some."""
    fields = {
        "run_id": run.run_id,
        "project": run.project,
        "entity": run.entity,
        "display_name": run.display_name,
        "group": run.run_group,
        "job_type": run.job_type,
        "tags": tuple(run.tags),
        "started": run.start_time.ToDatetime(tzinfo=UTC) if run.HasField("start_time") else None,
    }
    return {name: value for name, value in fields.items() if value}


def _artifact(record: Any) -> LoggedArtifact:
    metadata = json.loads(record.metadata) if record.metadata else {}
    return LoggedArtifact(
        name=record.name,
        type=record.type,
        client_id=record.client_id,
        aliases=tuple(record.aliases),
        metadata=metadata if isinstance(metadata, dict) else {},
        entries=tuple(_entries(record.manifest.contents)),
    )


def _entries(contents: Iterable[Any]) -> Iterator[ArtifactEntry]:
    for entry in contents:
        yield ArtifactEntry(entry.path, entry.local_path, entry.digest, entry.size)
