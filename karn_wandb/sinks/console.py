"""One plain line an epoch, for terminals, log files and people who watch them."""

from __future__ import annotations

import sys
from typing import TextIO

from karn_wandb.analysis.lifecycle import occupied
from karn_wandb.records import ClaimReading, CounterfactualMatrix, EpochSnapshot, StageTransition, TelemetryEvent


class ConsoleOutput:
    """A sink that prints a line for each epoch, and one for each change of stage.

    Args:
        stream: Where to print; standard output when None.
    """

    name = "console"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def write(self, event: TelemetryEvent) -> None:
        """Print what the event says, if it is of a kind that is printed."""
        text = describe(event)
        if text:
            print(text, file=self._stream or sys.stdout, flush=True)

    def close(self) -> None:
        """Nothing to let go of: the stream is the caller's."""


def describe(event: TelemetryEvent) -> str:
    """The line for an event, "" when it has none."""
    where = f"[env {event.env_id} episode {event.episode_idx}] " if event.scoped else ""
    match event.data:
        case EpochSnapshot() as snapshot:
            return where + _epoch(snapshot)
        case StageTransition() as change:
            kind = f" ({change.blueprint_id})" if change.blueprint_id else ""
            return f"{where}{change.slot_id}{kind}: {change.from_stage.name} -> {change.to_stage.name}"
        case CounterfactualMatrix(shapley_values=values) if values:
            parts = [f"{slot} {e.mean:+.2f}" + ("" if e.std is None else f" ± {e.std:.2f}") for slot, e in values.items()]
            return f"{where}Shapley: {', '.join(parts)}"
        case ClaimReading(accuracy_delta=delta) if delta is not None:
            return f"{where}accuracy delta against the host alone: {delta:+.2f} points"
        case _:
            return ""


def _epoch(snapshot: EpochSnapshot) -> str:
    host = snapshot.host
    measured = (
        ("train loss", host.train_loss, ".4f"),
        ("train acc", host.train_accuracy, ".2f"),
        ("val loss", host.val_loss, ".4f"),
        ("val acc", host.val_accuracy, ".2f"),
        ("params", host.total_params, ","),
    )
    parts = [f"{name} {value:{form}}" for name, value, form in measured if value is not None]
    present = [snapshot.slots[slot_id] for slot_id in occupied(snapshot.slots)]
    slots = [f"{slot.slot_id} {slot.stage.name.lower()} {slot.alpha:.2f}" for slot in present]
    return "  ".join([f"epoch {snapshot.epoch}", *parts, *slots])
