"""Logged tables and artifact files, found again in the run's folder or where W&B put them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karn_wandb.errors import SourceError
from karn_wandb.experiment.wandb_file import ArtifactEntry, WandbFile
from karn_wandb.schema.artifacts import KEPT, kept_name

CLIENT_ARTIFACT = "wandb-client-artifact://"
"""How an offline history row refers to an artifact: this, its client id, "/", a path inside it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A logged table.

    Attributes:
        columns: Names of the columns.
        data: The rows.
        missing_rows: Rows that were logged and are not here, at least 0: W&B's copy in the run's folder stops at 10,000.
    """

    columns: tuple[str, ...]
    data: tuple[tuple[Any, ...], ...]
    missing_rows: int = 0


def read_table(source: Path | bytes) -> Table:
    """Read a table as W&B stores it, from a `*.table.json` file or its bytes.

    Raises:
        SourceError: It cannot be opened, or is no table.
    """
    try:
        plain = json.loads(source if isinstance(source, bytes) else source.read_bytes())
        return Table(tuple(map(str, plain["columns"])), tuple(map(tuple, plain["data"])))
    except OSError as error:
        raise SourceError(f"the table {str(source)!r} cannot be read", got=error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError("this is no W&B table", got=f"{type(error).__name__}: {error}", do="It must be JSON.") from error


def logged_table(file: WandbFile, row: Mapping[str, Any], key: str) -> Table:
    """The table a history row logged under a key; of an incremental table, the rows that were new in that row.

    The artifact's bytes are read first, because they hold all rows, and only while they match their digest; else the
    copy in the run's folder.

    Raises:
        SourceError: The row has no table under that key, or its file is gone.
    """
    if row.get(f"{key}._type") not in ("table-file", "incremental-table-file"):
        raise SourceError(
            f"the row has no table {key!r}", got=f"run {file.run_id}", do="Name a key that a table was logged under."
        )
    content = _artifact_bytes(file, str(row.get(f"{key}.artifact_path", ""))) or _media_bytes(
        file, str(row.get(f"{key}.path", ""))
    )
    if content is None:
        raise SourceError(
            f"the file of table {key!r} of run {file.run_id} is gone",
            do="Read it where it was logged, or move its folder with all that is in it.",
        )
    table = read_table(content)
    logged = row.get(f"{key}.nrows", len(table.data))
    return Table(table.columns, table.data, max(int(logged) - len(table.data), 0))


def artifact_bytes(entry: ArtifactEntry, folder: Path | None = None) -> bytes | None:
    """Bytes of an artifact's file; None when they are gone or are not what was logged.

    Args:
        entry: The file.
        folder: The run's folder, which may keep them too.
    """
    for path in places_of(entry, folder):
        content = path.read_bytes()
        if base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode() == entry.digest:
            return content
    return None


def places_of(entry: ArtifactEntry, folder: Path | None) -> list[Path]:
    """Where the bytes of an artifact's file may be: as W&B noted, and in the run's folder."""
    places = [Path(entry.local_path)] if entry.local_path else []
    if folder is not None and entry.digest:
        with suppress(ValueError):  # a reference may have any text for a digest
            places.append(folder / KEPT / kept_name(entry.digest))
    return [place for place in places if place.is_file()]


def _artifact_bytes(file: WandbFile, reference: str) -> bytes | None:
    client_id, _, path = reference.removeprefix(CLIENT_ARTIFACT).partition("/")
    for artifact in file.artifacts:
        for entry in artifact.entries:
            if artifact.client_id == client_id and entry.path == path:
                return artifact_bytes(entry, file.path.parent)
    return None


def _media_bytes(file: WandbFile, name: str) -> bytes | None:
    """Bytes of the copy in the run's folder, never of a file outside it, whatever the name says."""
    folder = (file.path.parent / "files").resolve()
    path = (folder / name).resolve()
    return path.read_bytes() if path.is_relative_to(folder) and path.is_file() else None
