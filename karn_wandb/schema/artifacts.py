"""Names and types of the artifacts a run leaves."""

from __future__ import annotations

import re

RECORDS, EPISODE, COUNTERFACTUAL, DENSE_TRACE, MODEL = (
    "karn-records",
    "karn-episode",
    "karn-counterfactual",
    "karn-dense-trace",
    "model",
)
"""Artifact types: the record log; all that replay needs; matrices; dense traces; host checkpoint."""


def artifact_name(artifact_type: str, run_id: str) -> str:
    """Name of a run's artifact; W&B allows letters, digits, dashes, underscores and dots."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{artifact_type}-{run_id}")
