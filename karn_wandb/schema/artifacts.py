"""Names and types of the artifacts a run leaves, and where an offline run keeps their bytes."""

from __future__ import annotations

import base64
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


KEPT = "artifacts"
"""Folder in the folder of an offline run with the bytes of its artifacts, each file named by `kept_name`."""


def kept_name(digest: str) -> str:
    """Name of the file that keeps the bytes with a digest, as a manifest has it: base64.

    Raises:
        ValueError: It is no base64.
    """
    return base64.b64decode(digest, validate=True).hex()
