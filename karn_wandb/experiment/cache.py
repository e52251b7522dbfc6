"""Events that were read from W&B, kept on disk: a Parquet file a run, valid until W&B says that the run changed."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from karn_wandb.errors import KarnWarning, RecordError
from karn_wandb.experiment.runs import Via
from karn_wandb.experiment.service import RemoteRun
from karn_wandb.records import SCHEMA_VERSION, TelemetryEvent, decode_event, encode_event

FOLDER_VARIABLE = "KARN_WANDB_CACHE_DIR"
_KEY = b"karn_wandb"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """Events of a run as read from W&B.

    Attributes:
        events: The events, in order.
        via: "log" when they are from its record log, "wandb" when from W&B's rows.
        damage: What could not be read, in words.
    """

    events: tuple[TelemetryEvent, ...] = ()
    via: Via = "wandb"
    damage: tuple[str, ...] = ()


def default_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where events are kept unless a folder is named: `KARN_WANDB_CACHE_DIR`, else the platform's folder for caches."""
    return Path(environment.get(FOLDER_VARIABLE) or platformdirs.user_cache_path("karn-wandb") / "runs")


class EventCache:
    """A folder of events, by service, entity, project and run.

    A file is written beside its place and moved there, so several processes may use one folder. Deleting it, or any part of
    it, costs nothing but reading again.

    Args:
        folder: The folder, made when needed; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, run: RemoteRun) -> ReadEvents | None:
        """What is kept of a run; None when there is nothing, or the run has changed since."""
        if self._folder is None:
            return None
        path = _place(self._folder, run)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _warn(path, error)
            return None
        try:
            return _unpacked(content, _stamp(run))
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, RecordError) as error:
            _warn(path, error)
            return None

    def write(self, run: RemoteRun, read: ReadEvents) -> None:
        """Keep what was read of a run; a disk that refuses is warned of."""
        if self._folder is None:
            return
        path = _place(self._folder, run)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, _packed(read, _stamp(run)))
        except OSError as error:
            warnings.warn(f"the events of run {run.run_id} are not kept in {path}: {error}", KarnWarning, stacklevel=2)


def _warn(path: Path, error: Exception) -> None:
    first = str(error).partition("\n")[0]
    warnings.warn(f"{path} is damaged or newer, and read from W&B again: {first}", KarnWarning, stacklevel=3)


def _place(folder: Path, run: RemoteRun) -> Path:
    host = urlsplit(run.host).netloc or run.host
    parts = (quote(part, safe="") for part in (host, run.entity, run.project, run.run_id))
    return folder.joinpath(*parts).with_name(f"{quote(run.run_id, safe='')}.parquet")


def _stamp(run: RemoteRun) -> str:
    """What W&B's words about a run are compared by: when it was made and last heard of, how it stands, how long it is."""
    return json.dumps([_VERSION, run.created_at, run.heartbeat_at, run.state, run.rows])


def _packed(read: ReadEvents, stamp: str) -> bytes:
    """Events as Parquet: a row each, as lines of a record log, under the columns one would look for them by."""
    lines = [encode_event(event) for event in read.events]
    about = {"stamp": stamp, "version": SCHEMA_VERSION, "via": read.via, "damage": read.damage, "crc32": _checksum(lines)}
    table = pa.table(
        {
            "sequence": pa.array([event.sequence for event in read.events], pa.int64()),
            "event_type": pa.array([event.event_type.name for event in read.events], pa.string()),
            "event": pa.array(lines, pa.binary()),
        },
        metadata={_KEY: json.dumps(about).encode()},
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _unpacked(content: bytes, stamp: str) -> ReadEvents | None:
    file = pq.ParquetFile(pa.BufferReader(content))
    about = json.loads(file.schema_arrow.metadata[_KEY])
    if about["stamp"] != stamp:
        return None
    lines = file.read(columns=["event"]).column("event").to_pylist()
    if _checksum(lines) != about["crc32"]:
        raise ValueError("its checksum does not fit")
    events = tuple(decode_event(line, about["version"]) for line in lines)
    return ReadEvents(events, about["via"], tuple(about["damage"]))


def _checksum(lines: Iterable[bytes]) -> int:
    checksum = 0
    for line in lines:
        checksum = zlib.crc32(line, checksum)
    return checksum


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
