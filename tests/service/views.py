"""Views: saved workspaces and reports, which the service keeps as text it does not look into."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from .blobs import now
from .graphql import Node, RefusedError


@dataclass
class View:
    """A workspace or report; `spec` is its JSON, as it was sent."""

    entity: str
    project: str
    view_id: str
    fields: dict[str, Any] = field(default_factory=dict)
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)


class Views:
    """All views."""

    def __init__(self) -> None:
        self.all: dict[str, View] = {}

    def upsert(self, entity: str | None, project: str | None, view_id: str | None, fields: dict[str, Any]) -> tuple[View, bool]:
        """A new view, or one with other fields; whether it is new."""
        new = view_id is None
        if new:
            view_id = base64.b64encode(f"View:{len(self.all)}".encode()).decode()  # in addresses without its padding
            self.all[view_id] = View(entity or "", project or "", view_id)
        view = self.get(view_id)
        view.fields |= {name: value for name, value in fields.items() if value is not None}
        view.updated_at = now()
        return view, new

    def get(self, view_id: str) -> View:
        """A view by its id.

        Raises:
            RefusedError: There is none.
        """
        if view_id not in self.all:
            raise RefusedError(f"view {view_id} not found")
        return self.all[view_id]

    def of(self, entity: str, project: str, view_type: str | None, name: str | None) -> list[View]:
        """The views of a project, of one type and with one name when these are given."""
        return [
            view
            for view in self.all.values()
            if (view.entity, view.project) == (entity, project)
            and (not view_type or view.fields.get("type") == view_type)
            and (not name or view.fields.get("name") == name)
        ]


def view_node(view: View, project: Node) -> Node:
    """The view as GraphQL reads it."""
    given = view.fields
    return {
        "__typename": "View",
        "id": view.view_id,
        "type": given.get("type"),
        "name": given.get("name"),
        "displayName": given.get("display_name"),
        "description": given.get("description"),
        "spec": given.get("spec"),
        "createdAt": view.created_at,
        "updatedAt": view.updated_at,
        "entityName": view.entity,
        "project": project,
        "user": {"id": view.entity, "name": view.entity, "username": view.entity, "photoUrl": None, "email": None},
        "coverUrl": given.get("cover_url"),
        "previewUrl": given.get("preview_url"),
        "locked": given.get("locked"),
        "viewCount": 0,
    }
