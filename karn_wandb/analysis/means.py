"""What an epoch's batches say of the epoch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from karn_wandb.records import BatchMetrics

FIELDS = {
    "train_loss": "loss",
    "train_accuracy": "accuracy",
    "host_grad_norm": "host_grad_norm",
    "grad_isolation_leakage": "isolation_leakage",
}
"""Fields of `HostSnapshot`, and those of `BatchMetrics` whose means they are."""


class BatchMeans:
    """Means over the batches of the epoch in training, each over the batches that measured it."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)
        self._seed_grad_norms: dict[str, list[float]] = defaultdict(list)

    def observe(self, batch: BatchMetrics) -> None:
        """Take a batch into account."""
        for field, measured in FIELDS.items():
            value = getattr(batch, measured)
            if value is not None:
                self._values[field].append(value)
        for slot_id, norm in batch.seed_grad_norms.items():
            self._seed_grad_norms[slot_id].append(norm)

    def restart(self) -> None:
        """Forget the batches: the epoch ended."""
        self._values.clear()
        self._seed_grad_norms.clear()

    def fields(self) -> dict[str, Any]:
        """The fields of a `HostSnapshot` that follow; what no batch measured is left out."""
        means: dict[str, Any] = {}
        for field, values in self._values.items():
            means[field] = _mean(values)
        norms = {}
        for slot_id, values in self._seed_grad_norms.items():
            norms[slot_id] = _mean(values)
        if norms:
            means["seed_grad_norms"] = norms
        return means


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
