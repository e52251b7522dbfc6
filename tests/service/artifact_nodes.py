"""Artifacts as GraphQL reads them."""

from __future__ import annotations

from typing import Any

from .artifacts import Artifact, Artifacts, content_name, manifest_name
from .blobs import Blobs
from .graphql import Node, connection

Home = tuple[str, str, str]


class ArtifactNodes:
    """Makes nodes of artifacts and of the collections and types they are in.

    Args:
        artifacts: The artifacts.
        blobs: Where their bytes are.
    """

    def __init__(self, artifacts: Artifacts, blobs: Blobs) -> None:
        self._artifacts = artifacts
        self._blobs = blobs

    def artifact(self, artifact: Artifact | None) -> Node | None:
        """One version."""
        if artifact is None:
            return None
        collection = self._name(artifact.home)
        return {
            "__typename": "Artifact",
            "id": artifact.artifact_id,
            "state": artifact.state,
            "versionIndex": artifact.version,
            "digest": artifact.digest,
            "description": artifact.description,
            "metadata": artifact.metadata,
            "historyStep": artifact.history_step,
            "commitHash": artifact.digest,
            "createdAt": artifact.created_at,
            "updatedAt": artifact.created_at,
            "size": sum(entry.get("size", 0) for entry in artifact.entries.values()),
            "fileCount": len(artifact.entries),
            "ttlDurationSeconds": -2,  # as the project says
            "ttlIsInherited": True,
            "artifactType": {"name": artifact.type_name},
            "artifactSequence": lambda: self.collection(artifact.home, artifact.type_name),
            "aliases": [_alias(name, collection) for name in artifact.aliases],
            "tags": [{"id": name, "name": name, "__typename": "Tag"} for name in artifact.tags],
            "createdBy": lambda: _run(artifact.run) if artifact.run else None,
            "usedBy": lambda: connection(artifact.used_by, _run),
            "currentManifest": {
                "id": artifact.artifact_id,
                "file": {"directUrl": self._blobs.address(manifest_name(artifact))},
            },
            "files": lambda names=None, after=None, first=None: self._files(artifact, names, after, first),
            "filesByManifestEntries": lambda entries, **_: self._files(artifact, None, None, None),
        }

    def membership(self, artifact: Artifact | None) -> Node | None:
        """One version as a member of its collection."""
        if artifact is None:
            return None
        collection = self._name(artifact.home)
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": f"membership-{artifact.artifact_id}",
            "versionIndex": artifact.version,
            "createdAt": artifact.created_at,
            "aliases": [_alias(name, collection) for name in artifact.aliases],
            "artifactCollection": collection,
            "artifact": self.artifact(artifact),
            "files": lambda names=None, after=None, first=None: self._files(artifact, names, after, first),
        }

    def collection(self, home: Home, type_name: str | None = None) -> Node | None:
        """A collection with its versions; None when nothing is in it, or things of another type."""
        versions = self._artifacts.versions(home)
        if type_name and any(each.type_name != type_name for each in versions):
            return None
        return {
            **self._name(home),
            "description": None,
            "createdAt": versions[0].created_at if versions else None,
            "updatedAt": versions[-1].created_at if versions else None,
            "tags": connection([], dict),
            "latestArtifact": self.artifact(versions[-1]) if versions else None,
            "defaultArtifactType": {"name": versions[-1].type_name} if versions else None,
            "artifactMembership": lambda alias_name: self.membership(self._artifacts.find(home, alias_name)),
            "aliases": lambda after=None, first=None: connection(
                [(name, home) for each in versions for name in each.aliases],
                lambda pair: _alias(pair[0], self._name(pair[1])),
                first,
                after,
            ),
            "artifacts": lambda after=None, first=None, order=None, filters=None: self._versions(versions, after, first),
        }

    def type(self, entity: str, project: str, name: str) -> Node:
        """A type with its collections."""
        homes = sorted({each.home for each in self._in(entity, project) if each.type_name == name})
        return {
            "__typename": "ArtifactType",
            "id": f"type-{name}",
            "name": name,
            "artifactCollection": lambda name: self.collection((entity, project, name)),
            "artifactCollections": lambda after=None, first=None: connection(homes, self.collection, first, after),
        }

    def types(self, entity: str, project: str) -> list[str]:
        """The types there are in a project."""
        return sorted({each.type_name for each in self._in(entity, project)})

    def by_name(self, entity: str, project: str, name: str) -> Artifact | None:
        """The version a name such as `model:best` means; without an alias, the latest."""
        collection, _, alias = name.partition(":")
        return self._artifacts.find((entity, project, collection), alias or "latest")

    def _in(self, entity: str, project: str) -> list[Artifact]:
        return [each for each in self._artifacts.all.values() if each.home[:2] == (entity, project)]

    def _name(self, home: Home) -> Node:
        entity, project, name = home
        owner = {"id": project, "internalId": project, "name": project, "entity": {"name": entity}}
        return {"__typename": "ArtifactSequence", "id": "/".join(home), "name": name, "project": owner}

    def _versions(self, versions: list[Artifact], after: str | None, first: int | None) -> Node:
        found = connection(versions[::-1], self.artifact, first, after)
        return found | {"edges": [edge | {"version": f"v{edge['node']['versionIndex']}"} for edge in found["edges"]]}

    def _files(self, artifact: Artifact, names: list[str] | None, after: str | None, first: int | None) -> Node:
        paths = [path for path in artifact.entries if not names or path in names]
        return connection(paths, lambda path: self._file(path, artifact.entries[path]), first, after)

    def _file(self, path: str, entry: dict[str, Any]) -> Node:
        address = entry.get("ref") or self._blobs.address(content_name(entry["digest"]))
        return {
            "__typename": "File",
            "id": path,
            "name": path,
            "displayName": path,
            "url": address,
            "directUrl": address,
            "sizeBytes": entry.get("size", 0),
            "digest": entry["digest"],
            "md5": entry["digest"],
        }


def _alias(name: str, collection: Node) -> Node:
    return {"__typename": "ArtifactAlias", "id": name, "alias": name, "artifactCollection": collection}


def _run(run: Any) -> Node:
    owner = {"id": run.project, "internalId": run.project, "name": run.project, "entity": {"name": run.entity}}
    return {"__typename": "Run", "id": run.storage_id, "name": run.run_id, "project": owner}
