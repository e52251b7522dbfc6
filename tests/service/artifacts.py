"""Artifacts: versions of collections, made of a manifest and files that are kept by their digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .blobs import Blobs, hexadecimal, now
from .graphql import RefusedError
from .runs import Run

WHOLE = "FULL"
"""The type of a manifest that does not add to an earlier one."""


@dataclass
class Artifact:
    """A version of a collection; `version` is None until it is committed."""

    artifact_id: str
    entity: str
    project: str
    collection: str
    type_name: str
    run: Run | None = None
    version: int | None = None
    digest: str = ""
    client_id: str | None = None
    description: str | None = None
    metadata: str | None = None
    history_step: int | None = None
    aliases: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    wanted_aliases: list[str] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    manifest_type: str = WHOLE
    base_id: str | None = None
    used_by: list[Run] = field(default_factory=list)
    created_at: str = field(default_factory=now)
    deleted: bool = False

    @property
    def state(self) -> str:
        """Where it is in its life."""
        return "DELETED" if self.deleted else "PENDING" if self.version is None else "COMMITTED"

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """Its files: digest, size, reference and so on, by path."""
        return self.manifest.get("contents", {})

    @property
    def home(self) -> tuple[str, str, str]:
        """The collection, named in full."""
        return (self.entity, self.project, self.collection)


class Artifacts:
    """All artifacts, and what mutations do to them.

    Args:
        blobs: Where uploaded bytes are.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.all: dict[str, Artifact] = {}

    def create(self, run: Run | None, home: tuple[str, str, str], type_name: str, **given: Any) -> Artifact:
        """A new version, or the one that has this digest already: the same bytes make no second version."""
        digest, aliases = given.get("digest") or "", given.pop("aliases")
        same = [each for each in self.versions(home) if digest and each.digest == digest]
        if same:
            self.move_aliases(same[-1], aliases)
            return same[-1]
        artifact = Artifact(f"artifact-{len(self.all)}", *home, type_name, run, wanted_aliases=aliases, **given)
        self.all[artifact.artifact_id] = artifact
        return artifact

    def get(self, artifact_id: str) -> Artifact:
        """An artifact by its id.

        Raises:
            RefusedError: There is none.
        """
        if artifact_id not in self.all:
            raise RefusedError(f"artifact {artifact_id} not found")
        return self.all[artifact_id]

    def versions(self, home: tuple[str, str, str]) -> list[Artifact]:
        """The versions of a collection that can be had, from oldest to newest."""
        found = [each for each in self.all.values() if each.home == home and each.state == "COMMITTED"]
        return sorted(found, key=lambda each: each.version or 0)

    def find(self, home: tuple[str, str, str], alias: str) -> Artifact | None:
        """The version with this alias or number, such as `latest` or `v3`."""
        return next((each for each in self.versions(home) if alias in (*each.aliases, f"v{each.version}")), None)

    def by_client_id(self, client_id: str) -> Artifact | None:
        """The artifact to which its maker gave this id before the service had named it."""
        return next((each for each in self.all.values() if each.client_id == client_id), None)

    def of_run(self, run: Run) -> list[Artifact]:
        """What a run logged."""
        return [each for each in self.all.values() if each.run is run and each.state == "COMMITTED"]

    def used_by(self, run: Run) -> list[Artifact]:
        """What a run used."""
        return [each for each in self.all.values() if run in each.used_by]

    def commit(self, artifact: Artifact) -> None:
        """Make a version of what was uploaded, and move the aliases to it."""
        contents = json.loads(self._blobs.get(manifest_name(artifact)) or b"{}")
        if artifact.manifest_type != WHOLE:
            contents["contents"] = {**self._base_of(artifact), **contents.get("contents", {})}
            self._blobs.put(manifest_name(artifact), json.dumps(contents).encode())
        artifact.manifest = contents
        if artifact.version is None:
            artifact.version = len(
                [each for each in self.all.values() if each.home == artifact.home and each.version is not None]
            )
        self.move_aliases(artifact, ["latest", *artifact.wanted_aliases])

    def _base_of(self, artifact: Artifact) -> Mapping[str, Any]:
        """The files of the version an incremental artifact adds to: the one it names, or the newest."""
        if artifact.base_id:
            return self.get(artifact.base_id).entries
        earlier = self.versions(artifact.home)
        return earlier[-1].entries if earlier else {}

    def move_aliases(self, artifact: Artifact, aliases: list[str]) -> None:
        """Give aliases to a version, which takes them from the others: each is on one version of a collection."""
        for alias in aliases:
            for other in self.versions(artifact.home):
                if alias in other.aliases:
                    other.aliases.remove(alias)
            artifact.aliases.append(alias)

    def upload(self, artifact: Artifact, name: str, digest: str) -> dict[str, Any]:
        """Where a file of an artifact is to be put: beside all files with the same bytes."""
        return {
            "storagePath": f"{artifact.artifact_id}/{name}",
            "uploadUrl": self._blobs.address(content_name(digest)),
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": artifact.artifact_id},
        }

    def content(self, artifact: Artifact, path: str) -> bytes | None:
        """The bytes of one of its files; None for a reference."""
        return self._blobs.get(content_name(artifact.entries[path]["digest"]))

    def delete(self, artifact: Artifact) -> None:
        """Delete a version; its number is not given again."""
        artifact.deleted = True
        artifact.aliases.clear()


def manifest_name(artifact: Artifact) -> str:
    """The name of a manifest's bytes."""
    return f"manifests/{artifact.artifact_id}"


def content_name(digest: str) -> str:
    """The name of a file's bytes."""
    return f"md5/{hexadecimal(digest)}"
