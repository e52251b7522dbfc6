"""What the service can be told: the root fields of mutations, each a function of its input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .artifacts import WHOLE, manifest_name
from .blobs import now
from .graphql import Node, RefusedError

if TYPE_CHECKING:
    from .queries import Queries
    from .service import Service

DONE: Node = {"success": True, "clientMutationId": None}


class Mutations:
    """Root fields of mutations over a service's state.

    Args:
        service: The state.
        queries: Makes the nodes that are given back.
    """

    def __init__(self, service: Service, queries: Queries) -> None:
        self._service = service
        self._queries = queries

    def root(self) -> Node:
        """The fields."""
        return {
            "upsertBucket": self._upsert_run,
            "deleteRun": self._delete_run,
            "stopRun": self._stop_run,
            "updateRunState": self._update_run_state,
            "createRunFiles": self._create_run_files,
            "markRunFilesUploaded": lambda **_: DONE,
            "deleteFiles": self._delete_files,
            "notifyScriptableRunAlert": self._alert,
            "createArtifact": self._create_artifact,
            "createArtifactManifest": self._create_manifest,
            "updateArtifactManifest": self._update_manifest,
            "createArtifactFiles": self._create_artifact_files,
            "commitArtifact": self._commit_artifact,
            "updateArtifact": self._update_artifact,
            "addAliases": self._add_aliases,
            "deleteAliases": self._delete_aliases,
            "deleteArtifact": self._delete_artifact,
            "useArtifact": self._use_artifact,
            "upsertSweep": self._upsert_sweep,
            "createAgent": self._create_agent,
            "agentHeartbeat": self._heartbeat,
            "upsertView": self._upsert_view,
            "deleteView": self._delete_view,
            "createCustomChart": self._create_chart,
            "upsertModel": self._upsert_project,
            "deleteModel": self._delete_project,
        }

    def _upsert_run(self, id=None, name=None, entity_name=None, model_name=None, **given: Any) -> Node:
        service = self._service
        if id is None:
            run, new = service.find_or_make_run(entity_name, model_name, name)
            given["state"] = given.get("state") or "running"
        else:
            run, new = service.run_by_storage_id(id), False
        run.update(given)
        return {"bucket": self._queries.run(run), "inserted": new}

    def _delete_run(self, id: str, delete_artifacts: bool = False) -> Node:
        service = self._service
        run = service.run_by_storage_id(id)
        if delete_artifacts:
            for artifact in service.artifacts.of_run(run):
                service.artifacts.delete(artifact)
        service.files.remove(run)
        del service.runs[run.entity, run.project, run.run_id]
        return DONE

    def _stop_run(self, id: str) -> Node:
        self._service.run_by_storage_id(id).stopping = True
        return DONE

    def _update_run_state(self, id: str, state: str) -> Node:
        self._service.run_by_storage_id(id).state = state
        return DONE

    def _create_run_files(self, entity_name: str, project_name: str, run_name: str, files: list[str]) -> Node:
        run = self._service.run(run_name, project_name, entity_name)
        uploads = [self._service.files.upload(run, name) for name in files]
        return {"runID": run.storage_id, "uploadHeaders": [], "files": uploads}

    def _delete_files(self, files: list[str], project_id: int | None = None) -> Node:
        self._service.blobs.remove(files)
        return DONE

    def _alert(self, entity_name: str, project_name: str, run_name: str, **alert: Any) -> Node:
        self._service.run(run_name, project_name, entity_name).alerts.append(alert)
        return DONE

    def _create_artifact(
        self,
        entity_name: str,
        project_name: str,
        artifact_type_name: str,
        run_name: str | None = None,
        artifact_collection_names: list[str] | None = None,
        artifact_collection_name: str | None = None,
        aliases: list[Node] | None = None,
        tags: list[Node] | None = None,
        **given: Any,
    ) -> Node:
        run = self._service.run(run_name, project_name, entity_name) if run_name else None
        name = artifact_collection_name or (artifact_collection_names or [])[0]
        kept = {key: given.get(key) for key in ("digest", "client_id", "description", "metadata", "history_step")}
        artifact = self._service.artifacts.create(
            run,
            (entity_name or self._service.entity, project_name, name),
            artifact_type_name,
            aliases=[each["alias"] for each in aliases or []],
            tags=[each["tag_name"] for each in tags or []],
            **kept,
        )
        return {"artifact": self._queries.artifacts.artifact(artifact)}

    def _create_manifest(
        self,
        artifact_id: str,
        type: str = WHOLE,
        base_artifact_id: str | None = None,
        **_: Any,
    ) -> Node:
        artifact = self._service.artifacts.get(artifact_id)
        artifact.manifest_type, artifact.base_id = type, base_artifact_id
        return self._manifest(artifact_id)

    def _update_manifest(self, artifact_manifest_id: str, base_artifact_id: str | None = None, **_: Any) -> Node:
        artifact = self._service.artifacts.get(artifact_manifest_id)
        artifact.base_id = base_artifact_id or artifact.base_id
        return self._manifest(artifact_manifest_id)

    def _manifest(self, artifact_id: str) -> Node:
        address = self._service.blobs.address(manifest_name(self._service.artifacts.get(artifact_id)))
        return {"artifactManifest": {"id": artifact_id, "file": {"id": artifact_id, "uploadUrl": address, "uploadHeaders": []}}}

    def _create_artifact_files(self, artifact_files: list[dict[str, Any]], **_: Any) -> Node:
        artifacts = self._service.artifacts
        nodes = [artifacts.upload(artifacts.get(each["artifact_id"]), each["name"], each["md5"]) for each in artifact_files]
        return {"files": {"edges": [{"node": node} for node in nodes]}}

    def _commit_artifact(self, artifact_id: str) -> Node:
        artifact = self._service.artifacts.get(artifact_id)
        self._service.artifacts.commit(artifact)
        return {"artifact": self._queries.artifacts.artifact(artifact)}

    def _update_artifact(
        self,
        artifact_id: str,
        aliases: list[Node] | None = None,
        tags_to_add: list[Node] | None = None,
        tags_to_delete: list[Node] | None = None,
        **given: Any,
    ) -> Node:
        artifact = self._service.artifacts.get(artifact_id)
        for name in ("description", "metadata"):
            if given.get(name) is not None:
                setattr(artifact, name, given[name])
        if aliases is not None:
            artifact.aliases.clear()
            self._service.artifacts.move_aliases(artifact, [each["alias"] for each in aliases])
        gone = {each["tag_name"] for each in tags_to_delete or []}
        artifact.tags = [*(tag for tag in artifact.tags if tag not in gone), *(each["tag_name"] for each in tags_to_add or [])]
        return {"artifact": self._queries.artifacts.artifact(artifact)}

    def _add_aliases(self, artifact_id: str, aliases: list[Node]) -> Node:
        artifacts = self._service.artifacts
        artifacts.move_aliases(artifacts.get(artifact_id), [each["alias"] for each in aliases])
        return DONE

    def _delete_aliases(self, artifact_id: str, aliases: list[Node]) -> Node:
        gone = {each["alias"] for each in aliases}
        artifact = self._service.artifacts.get(artifact_id)
        artifact.aliases = [name for name in artifact.aliases if name not in gone]
        return DONE

    def _delete_artifact(self, artifact_id: str, **_: Any) -> Node:
        artifact = self._service.artifacts.get(artifact_id)
        self._service.artifacts.delete(artifact)
        return {"artifact": {"id": artifact_id}}

    def _use_artifact(self, artifact_id: str, entity_name: str, project_name: str, run_name: str, **_: Any) -> Node:
        artifact = self._service.artifacts.get(artifact_id)
        artifact.used_by.append(self._service.run(run_name, project_name, entity_name))
        return {"artifact": self._queries.artifacts.artifact(artifact)}

    def _upsert_sweep(self, entity_name: str | None = None, project_name: str | None = None, **given: Any) -> Node:
        entity, project = entity_name or self._service.entity, project_name or "uncategorized"
        self._service.add_project(entity, project)
        sweep = self._service.sweeps.upsert(entity, project, **given)
        return {"sweep": self._queries.sweep(sweep), "configValidationWarnings": []}

    def _create_agent(self, host: str, sweep: str, **_: Any) -> Node:
        return {"agent": {"id": self._service.sweeps.register(sweep, host)}}

    def _heartbeat(self, id: str, run_state: str | None = None, **_: Any) -> Node:
        return {"agent": {"id": id}, "commands": self._service.sweeps.heartbeat(id, run_state)}

    def _upsert_view(self, id=None, entity_name=None, project_name=None, **fields: Any) -> Node:
        if entity_name and project_name:
            self._service.add_project(entity_name, project_name)
        view, new = self._service.views.upsert(entity_name, project_name, id, fields)
        return {"view": self._queries.view(view), "inserted": new}

    def _delete_view(self, id: str, **_: Any) -> Node:
        self._service.views.get(id)
        del self._service.views.all[id]
        return {"success": True, "pendingDrafts": []}

    def _create_chart(self, entity: str, name: str, spec: str, **given: Any) -> Node:
        chart_id = f"{entity}/{name}"
        if chart_id in self._service.charts:
            raise RefusedError(f"custom chart {chart_id} already exists")
        self._service.charts[chart_id] = {**given, "spec": json.loads(spec), "created_at": now()}
        return {"chart": {"id": chart_id}}

    def _upsert_project(self, entity_name: str, name: str, **_: Any) -> Node:
        new = self._service.add_project(entity_name, name)
        project = self._queries.project(entity_name, name)
        return {"project": project, "model": project, "inserted": new}

    def _delete_project(self, id: str) -> Node:
        entity, _, name = id.partition("/")
        if (entity, name) not in self._service.projects:
            raise RefusedError(f"project {id} not found")
        for run in self._service.runs_of(entity, name):
            self._delete_run(run.storage_id, delete_artifacts=True)
        del self._service.projects[entity, name]
        return DONE
