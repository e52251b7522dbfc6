"""What the service can be asked: the root fields of queries, and the nodes behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .artifact_nodes import ArtifactNodes
from .filters import matches, ordered, parsed
from .graphql import Node, connection
from .runs import PROJECT_ID, Run, run_node
from .sweeps import Sweep
from .views import View, view_node

if TYPE_CHECKING:
    from .service import Service

FEATURES = (
    *("LARGE_FILENAMES", "ARTIFACT_TAGS", "CLIENT_IDS", "ARTIFACT_COLLECTION_MEMBERSHIP_FILES"),
    *("ARTIFACT_COLLECTION_MEMBERSHIP_FILE_DOWNLOAD_HANDLER", "USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION"),
    *("PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP", "TOTAL_COUNT_IN_FILE_CONNECTION", "SWEEPS_QUERY_FILTERING"),
    "MARK_RUN_FILES_UPLOADED",
)
"""What the service says it can do, which decides what clients ask for."""


class Queries:
    """Root fields of queries over a service's state."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.artifacts = ArtifactNodes(service.artifacts, service.blobs)

    def root(self) -> Node:
        """The fields."""
        service, artifacts = self._service, self.artifacts
        return {
            "viewer": self._viewer(),
            "serverInfo": {"features": [{"name": name, "isEnabled": True} for name in FEATURES]},
            "entity": self.entity,
            "organization": lambda name: {"name": name, "featureFlags": []},
            "project": lambda name=None, entity_name=None: self.project(entity_name, name),
            "model": lambda name=None, entity_name=None: self.project(entity_name, name),
            "models": self._projects,
            "artifact": lambda id: artifacts.artifact(service.artifacts.all.get(id)),  # noqa: A006 -- as the field has it
            "artifactCollection": lambda id: artifacts.collection(tuple(id.split("/"))),  # noqa: A006
            "clientIDMapping": self._server_id,
            "view": lambda id: self.view(service.views.get(id)),  # noqa: A006
        }

    def entity(self, name: str) -> Node:
        """A user or a team."""
        organization = {"name": name, "coreWeaveOrganizationId": None, "orgEntity": {"name": name}}
        return {"id": name, "name": name, "isTeam": False, "organization": organization, "xxhashDigestsEnabled": False}

    def project(self, entity: str | None, name: str | None) -> Node | None:
        """A project; None when there is no such."""
        home = (entity or self._service.entity, name or "")
        if home not in self._service.projects:
            return None
        return {**self._name_of(*home), **self._runs(home), **self._artifacts(home), **self._sweeps(home), **self._views(home)}

    def run(self, run: Run | None) -> Node | None:
        """A run with its files and artifacts."""
        if run is None:
            return None
        service, artifact = self._service, self.artifacts.artifact
        artifacts, files = service.artifacts, service.files
        return {
            **run_node(run, self._name_of(run.entity, run.project)),
            "parquetHistory": lambda live_keys=(): service.exports.node(run),
            "fileCount": lambda: len(files.names(run)),
            "files": lambda names=None, pattern=None, after=None, first=None: connection(
                files.chosen(run, names, pattern), lambda name: files.node(run, name), first, after
            ),
            "outputArtifacts": lambda after=None, first=None: connection(artifacts.of_run(run), artifact, first, after),
            "inputArtifacts": lambda after=None, first=None: connection(artifacts.used_by(run), artifact, first, after),
        }

    def sweep(self, sweep: Sweep | None) -> Node | None:
        """A sweep with its runs."""
        if sweep is None:
            return None
        runs = [run for run in self._service.runs_of(sweep.entity, sweep.project) if run.sweep == sweep.name]
        return {
            "__typename": "Sweep",
            "id": sweep.name,
            "name": sweep.name,
            "displayName": sweep.display_name,
            "description": sweep.description,
            "method": sweep.config["method"],
            "state": sweep.state,
            "config": sweep.text,
            "createdAt": sweep.created_at,
            "updatedAt": sweep.created_at,
            "heartbeatAt": sweep.created_at,
            "bestLoss": None,
            "controller": None,
            "scheduler": None,
            "earlyStopJobRunning": False,
            "runCount": len(runs),
            "runCountExpected": sweep.expected,
            "project": self._name_of(sweep.entity, sweep.project),
            "runs": lambda after=None, first=None: connection(runs, self.run, first, after),
            "agents": connection(list(sweep.agents), lambda name: {"id": name, "name": name, "host": sweep.agents[name]}),
        }

    def view(self, view: View) -> Node:
        """A workspace or report."""
        return view_node(view, self._name_of(view.entity, view.project))

    def _viewer(self) -> Node:
        name = self._service.entity
        return {
            "__typename": "User",
            "id": name,
            "entity": name,
            "name": name,
            "username": name,
            "email": f"{name}@example.com",
            "admin": False,
            "flags": "{}",
            "deletedAt": None,
            "teams": connection([name], self.entity),
            "apiKeys": connection([], dict),
        }

    def _projects(self, entity_name: str | None = None, after: str | None = None, first: int | None = None) -> Node:
        entity = entity_name or self._service.entity
        own = [home for home in self._service.projects if home[0] == entity]
        return connection(own, lambda home: self._name_of(*home), first, after)

    def _server_id(self, client_id: str) -> Node | None:
        artifact = self._service.artifacts.by_client_id(client_id)
        return {"serverID": artifact.artifact_id} if artifact else None

    def _name_of(self, entity: str, name: str) -> Node:
        return {
            "__typename": "Project",
            "id": f"{entity}/{name}",
            "internalId": str(PROJECT_ID),
            "name": name,
            "entityName": entity,
            "entity": {"id": entity, "name": entity},
            "createdAt": self._service.projects[entity, name],
            "isBenchmark": False,
            "readOnly": False,
            "description": None,
            "access": "PRIVATE",
            "views": None,
            "user": self._viewer(),
        }

    def _runs(self, home: tuple[str, str]) -> Node:
        runs = self._service.runs_of(*home)
        named = {run.run_id: run for run in runs}

        def chosen(filters: str | None) -> list[Run]:
            query = parsed(filters)
            return [run for run in runs if matches(run.seen(), query)]

        return {
            "runCount": lambda filters=None: len(chosen(filters)),
            "runs": lambda filters=None, order=None, after=None, first=None: connection(
                ordered(chosen(filters), order, Run.seen), self.run, first, after
            ),
            "run": lambda name: self.run(named.get(name)),
            "bucket": lambda name, missing_ok=False: self.run(named.get(name)),
        }

    def _artifacts(self, home: tuple[str, str]) -> Node:
        nodes = self.artifacts
        return {
            "artifact": lambda name: nodes.artifact(nodes.by_name(*home, name)),
            "artifactCollectionMembership": lambda name: nodes.membership(nodes.by_name(*home, name)),
            "artifactCollection": lambda name: nodes.collection((*home, name)),
            "artifactType": lambda name: nodes.type(*home, name),
            "artifactTypes": lambda after=None, first=None: connection(
                nodes.types(*home), lambda name: nodes.type(*home, name), first, after
            ),
        }

    def _sweeps(self, home: tuple[str, str]) -> Node:
        sweeps = [sweep for sweep in self._service.sweeps.all.values() if (sweep.entity, sweep.project) == home]
        return {
            "totalSweeps": len(sweeps),
            "sweeps": lambda after=None, first=None, filters=None: connection(
                [sweep for sweep in sweeps if matches(sweep.seen(), parsed(filters))], self.sweep, first, after
            ),
            "sweep": lambda sweep_name: self.sweep(next((each for each in sweeps if each.name == sweep_name), None)),
        }

    def _views(self, home: tuple[str, str]) -> Node:
        def views(view_type=None, view_name=None, first=None, after=None) -> Node:
            return connection(self._service.views.of(*home, view_type, view_name), self.view, first, after)

        return {"allViews": views}
