"""An offline run whose folder was moved: its run file is made to point at the artifact bytes that came with it.

W&B's run file says where the bytes of an artifact are by absolute path, and `wandb sync` looks nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karn_wandb.errors import SourceError
from karn_wandb.experiment.chunks import join_records, split_records
from karn_wandb.experiment.wandb_file import content_of, record_type
from karn_wandb.experiment.wire import ARTIFACT, body_of
from karn_wandb.schema.artifacts import KEPT, kept_name


@dataclass(frozen=True, slots=True)
class Relocated:
    """What became of a run's artifact files.

    Attributes:
        path: The run file.
        moved: Files that the run file now finds in the run's folder, and did not before.
        missing: Those that are neither there nor where they were logged, as "artifact/path".
    """

    path: Path
    moved: int
    missing: tuple[str, ...]


def relocate(folder: Path) -> Relocated:
    """Make the run file of a moved folder point at the artifact bytes in it; all else in the file stays as it is.

    Args:
        folder: The run's folder.

    Raises:
        SourceError: It is not one run's, or its run file cannot be read or is damaged.
        OSError: The disk refuses.
    """
    files = sorted(folder.glob("run-*.wandb"))
    if len(files) != 1:
        raise SourceError(
            f"the folder {str(folder)!r} is not one run's", got=f"{len(files)} run files", do="Name a run's own folder."
        )
    (path,) = files
    damage: list[str] = []
    found = _Pointing(folder.resolve() / KEPT)
    records = [found.pointed(payload) for _, payload in split_records(content_of(path), damage)]
    if damage:
        raise SourceError(
            f"the run file {str(path)!r} is damaged", got=damage[0], do="Make it anew: karn-wandb import records.jsonl."
        )
    if found.moved:
        new = path.with_name(f"{path.name}.new")
        new.write_bytes(join_records(records))
        new.replace(path)
    return Relocated(path, found.moved, tuple(found.missing))


class _Pointing:
    """Gives artifact records the paths of the bytes that a folder keeps."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._record = record_type()
        self.moved = 0
        self.missing: list[str] = []

    def pointed(self, payload: bytes) -> bytes:
        """The record, changed only when it is an artifact's whose files are elsewhere than it says."""
        if body_of(payload)[0] != ARTIFACT:
            return payload
        record = self._record.FromString(payload)
        before = self.moved
        for entry in record.artifact.manifest.contents:
            self._point(record.artifact.name, entry)
        return payload if self.moved == before else bytes(record.SerializeToString())

    def _point(self, artifact: str, entry: Any) -> None:
        if not entry.local_path:  # a reference
            return
        kept = self._kept / kept_name(entry.digest)
        if kept.is_file() and kept.stat().st_size == entry.size:
            self.moved += entry.local_path != str(kept)
            entry.local_path = str(kept)
        elif not Path(entry.local_path).is_file():
            self.missing.append(f"{artifact}/{entry.path}")
