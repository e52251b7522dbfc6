"""How much is captured at the moment: standard, research, or research for a while."""

from __future__ import annotations

from typing import Literal

from karn_wandb.records import KarnConfig

ORDINARY = frozenset({"stage_transition", "gate_failure"})
"""Reasons for a dense trace that are no anomalies: seed modules change stages and fail gates as a matter of course."""


def is_anomaly(reason: str) -> bool:
    """Whether a dense-trace trigger's reason is an anomaly, and not ordinary life."""
    return reason not in ORDINARY


class Mode:
    """The operating mode of one episode (requirement, "Operating Modes").

    Adaptive means standard until an anomaly, then research for the rest of that epoch and the `escalation_epochs`
    epochs after it. A further anomaly moves the end of the window, so it never goes back and forth inside one.

    Args:
        config: Settings of the instrument; `trigger.force_dense` means research whatever the mode.
    """

    def __init__(self, config: KarnConfig) -> None:
        self._always = config.mode == "research" or config.trigger.force_dense
        self._adaptive = config.mode == "adaptive"
        self._window = config.escalation_epochs
        self._in_training = 0
        self._last_escalated = -1

    def observe_epoch(self, epoch: int) -> None:
        """An epoch is completed."""
        self._in_training = epoch + 1

    def escalate(self, epoch: int, reason: str) -> None:
        """A dense-trace trigger fired in an epoch, the one in training or the one just completed."""
        if self._adaptive and is_anomaly(reason):
            self._last_escalated = max(self._last_escalated, epoch + self._window)

    @property
    def research(self) -> bool:
        """Whether everything is captured now."""
        return self._always or self._in_training <= self._last_escalated

    @property
    def name(self) -> Literal["standard", "research"]:
        """The mode in words."""
        return "research" if self.research else "standard"
