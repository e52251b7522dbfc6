"""Logged tables and artifact files, found again on the machine that logged them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karn_wandb.errors import SourceError
from karn_wandb.experiment.wandb_file import ArtifactEntry, WandbFile

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
            do="Read it where it was logged; set WANDB_DATA_DIR inside the run's folder to move both together.",
        )
    table = read_table(content)
    logged = row.get(f"{key}.nrows", len(table.data))
    return Table(table.columns, table.data, max(int(logged) - len(table.data), 0))


def artifact_bytes(entry: ArtifactEntry) -> bytes | None:
    """Bytes of an artifact's file; None when they are gone or are not what was logged."""
    path = Path(entry.local_path)
    if not entry.local_path or not path.is_file():
        return None
    content = path.read_bytes()
    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    return content if digest == entry.digest else None


def _artifact_bytes(file: WandbFile, reference: str) -> bytes | None:
    client_id, _, path = reference.removeprefix(CLIENT_ARTIFACT).partition("/")
    for artifact in file.artifacts:
        for entry in artifact.entries:
            if artifact.client_id == client_id and entry.path == path:
                return artifact_bytes(entry)
    return None


def _media_bytes(file: WandbFile, name: str) -> bytes | None:
    """Bytes of the copy in the run's folder, never of a file outside it, whatever the name says."""
    folder = (file.path.parent / "files").resolve()
    path = (folder / name).resolve()
    return path.read_bytes() if path.is_relative_to(folder) and path.is_file() else None
