"""Runs that were read, kept on disk: a packed file each, valid for as long as what it was read from is as it was."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from karn_wandb.errors import KarnWarning
from karn_wandb.experiment.packed import VERSION, Packed, pack, unpack
from karn_wandb.experiment.telemetry import Telemetry

FOLDER_VARIABLE = "KARN_WANDB_CACHE_DIR"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run is read from.

    Attributes:
        run_id: The run, for messages.
        place: Where what is kept of it is, below the folder, without an ending.
        stamp: How what it is read from stands; what was kept serves as long as this is the same.
    """

    run_id: str
    place: Path
    stamp: str


def default_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where runs are kept unless a folder is named: `KARN_WANDB_CACHE_DIR`, else the platform's folder for caches."""
    return Path(environment.get(FOLDER_VARIABLE) or platformdirs.user_cache_path("karn-wandb") / "runs")


class RunCache:
    """A folder of packed runs.

    A file is written beside its place and moved there, so several processes may use one folder. Deleting it, or any part of
    it, costs nothing but reading again. A file that is not, byte for byte, what was written is not used; the first is warned of.

    Args:
        folder: The folder, made when needed; None keeps nothing on disk.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._warned = False

    def read(self, origin: Origin) -> Packed | None:
        """What is kept of a run; None when there is nothing, or it has changed since."""
        if self.folder is None:
            return None
        path = self._path(self.folder, origin)
        try:
            found = unpack(path.read_bytes(), path.read_bytes)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._warn(path, error)
            return None
        return found if found.about.notes.get("stamp") == _stamp(origin) else None

    def keep(self, origin: Origin, telemetry: Telemetry, notes: Mapping[str, Any]) -> Packed:
        """Keep what was read of a run, on disk; in memory where there is no folder, or, with a warning, the disk refuses.

        Args:
            origin: What it was read from.
            telemetry: Its events.
            notes: JSON values to be kept beside them.
        """
        content = pack(telemetry, {**notes, "stamp": _stamp(origin)})
        if self.folder is None:
            return unpack(content)
        path = self._path(self.folder, origin)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content)
        except OSError as error:
            warnings.warn(f"run {origin.run_id} is not kept in {path}: {error}", KarnWarning, stacklevel=2)
            return unpack(content)
        return unpack(content, path.read_bytes)

    def _path(self, folder: Path, origin: Origin) -> Path:
        place = folder / origin.place
        return place.with_name(f"{place.name}.parquet")

    def _warn(self, path: Path, error: Exception) -> None:
        if not self._warned:
            first = str(error).partition("\n")[0]
            said = f"{path} is damaged or of another version, and its run is read again ({first}); so is every other such file"
            warnings.warn(said, KarnWarning, stacklevel=3)
        self._warned = True


def _stamp(origin: Origin) -> str:
    return f"{VERSION} {origin.stamp}"


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
