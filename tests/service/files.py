"""Files of runs: what `run.save`, media and the SDK itself upload beside the streams."""

from __future__ import annotations

import mimetypes
import re

from .blobs import Blobs, md5
from .graphql import Node
from .runs import Run


class RunFiles:
    """The files of all runs.

    Args:
        blobs: Where their bytes are.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def upload(self, run: Run, name: str) -> Node:
        """Where a file is to be put."""
        return {"name": name, "uploadUrl": self._blobs.address(_place(run, name))}

    def keep_console(self, run: Run) -> None:
        """Make the streamed console output a file, as it is one of the run's."""
        if run.console.lines:
            self._blobs.put(_place(run, "output.log"), "".join(line + "\n" for line in run.console.lines).encode())

    def names(self, run: Run) -> list[str]:
        """The files there are."""
        return [name.removeprefix(_place(run, "")) for name in self._blobs.names(_place(run, ""))]

    def content(self, run: Run, name: str) -> bytes | None:
        """The bytes of one; None when there is no such file."""
        return self._blobs.get(_place(run, name))

    def chosen(self, run: Run, names: list[str] | None, pattern: str | None) -> list[str]:
        """The files with these names, or whose names fit an SQL pattern, in which % is anything and _ one character."""
        expression = re.escape(pattern).replace("%", ".*").replace("_", ".") if pattern else ".*"
        return [name for name in self.names(run) if (name in names if names else re.fullmatch(expression, name, re.DOTALL))]

    def node(self, run: Run, name: str) -> Node:
        """A file as GraphQL reads it."""
        place = _place(run, name)
        content = self._blobs.get(place) or b""
        address = self._blobs.address(place)
        return {
            "__typename": "File",
            "id": place,
            "name": name,
            "url": lambda upload=False: address,
            "directUrl": address,
            "sizeBytes": len(content),
            "mimetype": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "updatedAt": self._blobs.put_at(place),
            "md5": md5(content),
        }

    def remove(self, run: Run) -> None:
        """Forget all files of a run."""
        self._blobs.remove(self._blobs.names(_place(run, "")))


def _place(run: Run, name: str) -> str:
    return f"runs/{run.entity}/{run.project}/{run.run_id}/{name}"
