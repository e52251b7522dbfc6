"""The stand-in as a test sees it: its state, what it was asked, and how it is started, stopped and made to fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from .artifacts import Artifact, Artifacts
from .blobs import Blobs, now
from .exports import Exports
from .faults import Faults
from .files import RunFiles
from .graphql import RefusedError, answer, read
from .mutations import Mutations
from .queries import Queries
from .runs import Run
from .server import Listener
from .sweeps import Sweeps
from .views import Views

ENTITY = "standin"
API_KEY = "standin-" + "0" * 40
"""The one key that is accepted; W&B's SDK takes none under 40 characters."""


class Service:
    """A W&B service on the loopback interface, in memory, answering from threads of this process.

    Use it as a context manager. Whatever a client does happens under one lock, so a test that reads the state after the
    client has returned sees it whole.

    Attributes:
        entity: The one user, and the entity runs belong to when they name none.
        api_key: The key to log in with.
        url: Where it listens; for `WANDB_BASE_URL`.
        runs: Runs by entity, project and id; `run` finds one by its id.
        projects: When each was made, by entity and name.
        artifacts, sweeps, views, charts, files, exports, blobs: The rest of the state.
        faults: What is to go wrong.
        requests: How many requests there were by operation (`Runs`, `UpsertBucket`, ...) or route (`file_stream`,
            `upload`, `download`).
        notes: Fields, arguments and operations it was asked for and does not know.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._listener = Listener(self)
        self.entity = ENTITY
        self.api_key = API_KEY
        self.runs: dict[tuple[str, str, str], Run] = {}
        self.projects: dict[tuple[str, str], str] = {}
        self.charts: dict[str, dict[str, Any]] = {}
        self.blobs = Blobs(self.url)
        self.files = RunFiles(self.blobs)
        self.exports = Exports(self.blobs)
        self.artifacts = Artifacts(self.blobs)
        self.sweeps = Sweeps()
        self.views = Views()
        self.faults = Faults()
        self.requests: Counter[str] = Counter()
        self.notes: list[str] = []
        self._queries = Queries(self)
        self._mutations = Mutations(self, self._queries)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._listener.url

    def __enter__(self) -> Self:
        self._listener.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults.clear()
        self._listener.close()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections, and end those there are, until the block ends; the port stays the same."""
        self._listener.close()
        try:
            yield
        finally:
            self._listener.open()

    def run(self, run_id: str, project: str | None = None, entity: str | None = None) -> Run:
        """A run by its id.

        Raises:
            RefusedError: There is none.
        """
        for run in self.runs.values():
            if run.run_id == run_id and (project or run.project) == run.project and (entity or run.entity) == run.entity:
                return run
        raise RefusedError(f"run {run_id} not found")

    def artifact(self, name: str, project: str) -> Artifact:
        """An artifact by a name such as `model:best`.

        Raises:
            RefusedError: There is none.
        """
        found = self._queries.artifacts.by_name(self.entity, project, name)
        if found is None:
            raise RefusedError(f"artifact {name} not found")
        return found

    def crash(self, run_id: str) -> None:
        """Say that a run crashed, as W&B does minutes after the last sign of life; until it is resumed or ends."""
        self.run(run_id).state = "crashed"

    def export(self, run_id: str) -> None:
        """Make a Parquet file of a run's history, as W&B does at times nobody knows; it counts until more is sent."""
        with self._lock:
            self.exports.make(self.run(run_id))

    def runs_of(self, entity: str, project: str) -> list[Run]:
        """The runs of a project, from oldest to newest."""
        return [run for run in self.runs.values() if (run.entity, run.project) == (entity, project)]

    def run_by_storage_id(self, storage_id: str) -> Run:
        """A run by what mutations call it.

        Raises:
            RefusedError: There is none.
        """
        for run in self.runs.values():
            if run.storage_id == storage_id:
                return run
        raise RefusedError(f"run {storage_id} not found")

    def find_or_make_run(self, entity: str | None, project: str | None, run_id: str | None) -> tuple[Run, bool]:
        """A run by its id, made with its project when it is not there; whether it was made."""
        home = (entity or self.entity, project or "uncategorized")
        run_id = run_id or f"run{len(self.runs)}"
        self.add_project(*home)
        new = (*home, run_id) not in self.runs
        if new:
            self.runs[*home, run_id] = Run(*home, run_id, display_name=f"quiet-run-{len(self.runs)}")
        return self.runs[*home, run_id], new

    def add_project(self, entity: str, name: str) -> bool:
        """Make a project; whether it was not there."""
        new = (entity, name) not in self.projects
        self.projects.setdefault((entity, name), now())
        return new

    def graphql(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a GraphQL request."""
        with self._lock:
            try:
                document = read(query)
                root = self._queries.root() if document.kind == "query" else self._mutations.root()
                return {"data": answer(document, variables, root, self.notes.append)}
            except RefusedError as error:
                return {"data": None, "errors": [{"message": str(error)}]}

    def stream(self, home: tuple[str, str, str], body: Mapping[str, Any], client: str) -> None:
        """Take a file_stream request of a writer.

        Raises:
            RefusedError: There is no such run.
        """
        with self._lock:
            run = self.run(home[2], home[1], home[0])
            run.stream(body, client)
            self.files.keep_console(run)

    def put(self, path: str, content: bytes) -> None:
        """Take an upload."""
        with self._lock:
            self.blobs.put(self.blobs.name(path), content)

    def get(self, path: str) -> bytes | None:
        """What is to be downloaded."""
        with self._lock:
            return self.blobs.get(self.blobs.name(path))

    def count(self, operation: str) -> None:
        """Count a request."""
        with self._lock:
            self.requests[operation] += 1
