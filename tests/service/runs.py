"""Runs: their settings, what is streamed into them, and the node that is read."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .blobs import now
from .graphql import Node
from .history import History, Lines, Row, page, sampled

PROJECT_ID = 7
"""The number of every project; clients only ask for it to give it back."""


@dataclass
class Run:
    """A run. What a test looks at is `config`, `summary`, `rows`, `state`, `alerts` and the plain fields."""

    entity: str
    project: str
    run_id: str
    display_name: str | None = None
    description: str | None = None
    notes: str | None = None
    group_name: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    sweep: str | None = None
    host: str | None = None
    commit: str | None = None
    job_program: str | None = None
    wire_config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    exit_code: int | None = None
    created_at: str = field(default_factory=now)
    heartbeat_at: str = field(default_factory=now)
    history: History = field(default_factory=History)
    events: Lines = field(default_factory=Lines)
    console: Lines = field(default_factory=Lines)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    stopping: bool = False

    @property
    def storage_id(self) -> str:
        """What mutations call the run."""
        return base64.b64encode(f"Run:v1:{self.run_id}:{self.project}:{self.entity}".encode()).decode()

    @property
    def config(self) -> dict[str, Any]:
        """The config as its user wrote it."""
        return {key: value["value"] for key, value in self.wire_config.items() if key != "_wandb"}

    @property
    def rows(self) -> list[Row]:
        """The history."""
        return self.history.rows

    def update(self, changes: Mapping[str, Any]) -> None:
        """Take what an upsert says; what it leaves out or has as null stays."""
        for name in _PLAIN:
            if changes.get(name) is not None:
                setattr(self, name, changes[name])
        if changes.get("config") is not None:
            self.wire_config = json.loads(changes["config"])
        if changes.get("summary_metrics") is not None:
            self.summary = json.loads(changes["summary_metrics"])

    def stream(self, body: Mapping[str, Any], client: str) -> None:
        """Take a file_stream request: lines, a sign of life, or the end.

        Args:
            body: The request.
            client: Who of several writers sent it; empty when there is one only.
        """
        for name, chunk in (body.get("files") or {}).items():
            content = chunk.get("content") or []
            if name == "wandb-summary.json":
                self.summary = (self.summary if client else {}) | json.loads(content[-1])
            elif name in _STREAMS:
                getattr(self, _STREAMS[name]).put(client, chunk.get("offset", 0), content)
        self.heartbeat_at = now()
        if self.state != "crashed":
            self.state = "preempting" if body.get("preempting") else "running"
        if body.get("complete"):
            self.exit_code = body.get("exitcode", 0)
            self.state = "failed" if self.exit_code else "finished"

    def seen(self) -> dict[str, Any]:
        """The run as filters and orders see it."""
        return {
            "name": self.run_id,
            "display_name": self.display_name,
            "state": self.state,
            "tags": self.tags,
            "group": self.group_name,
            "job_type": self.job_type,
            "notes": self.notes,
            "sweep_name": self.sweep,
            "username": self.entity,
            "host": self.host,
            "created_at": self.created_at,
            "heartbeat_at": self.heartbeat_at,
            "history_line_count": len(self.history.lines),
            "config": self.wire_config,
            "summary_metrics": self.summary,
        }


_PLAIN = (
    *("display_name", "description", "notes", "group_name", "job_type", "tags"),
    *("sweep", "host", "commit", "job_program", "state"),
)

_STREAMS = {"wandb-history.jsonl": "history", "wandb-events.jsonl": "events", "output.log": "console"}


def run_node(run: Run, project: Node) -> Node:
    """The run as GraphQL reads it, without its files, exports and artifacts."""
    return {
        "__typename": "Run",
        "id": run.storage_id,
        "projectId": str(PROJECT_ID),
        "project": project,
        "name": run.run_id,
        "displayName": run.display_name,
        "description": run.description,
        "notes": run.notes,
        "tags": run.tags,
        "group": run.group_name,
        "jobType": run.job_type,
        "sweepName": run.sweep,
        "state": run.state,
        "exitcode": run.exit_code,
        "failed": run.state == "failed",
        "running": run.state == "running",
        "stopped": run.stopping,
        "shouldStop": run.stopping,
        "commit": run.commit,
        "host": run.host,
        "readOnly": False,
        "createdAt": run.created_at,
        "heartbeatAt": run.heartbeat_at,
        "user": {"name": run.entity, "username": run.entity},
        "config": json.dumps(run.wire_config),
        "wandbConfig": lambda keys: json.dumps(_chosen(run.wire_config.get("_wandb", {}).get("value", {}), keys)),
        "summaryMetrics": json.dumps(run.summary),
        "systemMetrics": json.dumps({key: value for line in run.events.lines[-1:] for key, value in json.loads(line).items()}),
        "historyKeys": lambda: run.history.keys,
        "historyLineCount": len(run.history.lines),
        "eventsLineCount": len(run.events.lines),
        "logLineCount": len(run.console.lines),
        "historyTail": json.dumps(run.history.lines[-1:]),
        "eventsTail": json.dumps(run.events.lines[-1:]),
        "history": lambda min_step=0, max_step=None, samples=None: page(run.rows, min_step, max_step, samples),
        "events": lambda samples=None: run.events.lines[:samples],
        "sampledHistory": lambda specs: [sampled(run.rows, json.loads(spec)) for spec in specs],
    }


def _chosen(values: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}
