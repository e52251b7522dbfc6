"""How an episode is doing: what holds now, and what is to be told at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType
from typing import Literal

from karn_wandb.analysis.modes import is_anomaly
from karn_wandb.analysis.ppo import Level, PPODiagnosis
from karn_wandb.analysis.sanity import Sanity
from karn_wandb.records import Alert, BatchMetrics, EpochSnapshot, HealthReport, HostSnapshot, KarnConfig, PPOUpdate, Record

ADVICE = MappingProxyType(
    {
        "loss_spike": "See the dense trace; if it comes back, clip gradients or lower the learning rate.",
        "accuracy_drop": "See which slots changed in the dense trace's epochs.",
        "gradient_explosion": "Clip gradients or lower the learning rate.",
        "non_finite": "Look for an overflow, a division by zero or a logarithm of zero, and go back to the last good checkpoint.",
        "dead_layer": "See its activations in the dense trace; check its initialization and the learning rate.",
        "value_collapse": "Check the critic's learning rate and the scale of the returns.",
        "entropy_collapse": "Raise the entropy bonus or lower the policy's learning rate.",
    }
)
"""What to do about an anomaly."""

LOSSES = MappingProxyType(
    {
        BatchMetrics: ("loss",),
        HostSnapshot: ("train_loss", "val_loss"),
        PPOUpdate: ("policy_loss", "value_loss"),
    }
)
"""The losses of a record."""

LOST = "records were dropped: what they held is lost"


class HealthMonitor:
    """Health indicators of one episode, brought up to date by every record.

    What is noticed (an anomaly, a diagnosis of the policy's training, trouble) has a kind. It *holds* in the epoch it
    was noticed in and for `alert_cooldown_epochs` epochs after, counted from the last time. It is *told*, as an `Alert`,
    when it is noticed and its kind has not been told in this epoch or the `alert_cooldown_epochs` before. Epochs pass
    as epoch snapshots are logged: where there are none, what was noticed holds on and is told once.

    Triggers and diagnoses are noticed when they begin, so one that goes on for longer than that no longer holds here;
    losses that are not finite are looked at in every report.

    Memory grows with the number of kinds only.

    Args:
        config: Settings of the instrument.
    """

    def __init__(self, config: KarnConfig) -> None:
        self._cooldown = config.alert_cooldown_epochs
        self._sanity = Sanity()
        self._ppo = PPODiagnosis()
        self._in_training = 1
        self._triggers: Counter[str] = Counter()
        self._noticed: dict[str, Alert] = {}
        self._untold: dict[str, Alert] = {}
        self._told: dict[str, int] = {}
        self._broken: dict[type[Record], tuple[str, ...]] = {}

    @property
    def non_finite_values(self) -> int:
        """NaN and infinite observations so far."""
        return self._sanity.non_finite_values

    @property
    def doubt(self) -> str:
        """What is doubtful about the accuracies, in words; "" when nothing is."""
        return self._sanity.doubt

    def observe(self, record: Record) -> None:
        """Take a record into account."""
        self._sanity.observe(record)
        if isinstance(record, EpochSnapshot):
            self._in_training = record.epoch + 1
            self._look_at_losses(record.host)
        elif isinstance(record, (BatchMetrics, PPOUpdate)):
            self._look_at_losses(record)
        if isinstance(record, PPOUpdate):
            for finding in self._ppo.observe(record):
                self._notice(finding.kind, finding.text, self._in_training, finding.level)

    def _look_at_losses(self, record: Record) -> None:
        losses = ((name, getattr(record, name)) for name in LOSSES[type(record)])
        self._broken[type(record)] = tuple(name for name, loss in losses if loss is not None and not math.isfinite(loss))

    def observe_firing(self, reason: str, message: str, epoch: int) -> None:
        """A dense-trace trigger fired: it is counted, and told of when it is an anomaly."""
        self._triggers[reason] += 1
        if is_anomaly(reason):
            what = message.rstrip(".") or reason.replace("_", " ")
            text = f"{what}. {ADVICE[reason]}" if reason in ADVICE else what
            self._notice(reason, text, epoch, "error" if reason == "non_finite" else "warning")

    def observe_trouble(self, kind: str, text: str) -> None:
        """Something below us failed."""
        self._notice(kind, text, self._in_training, "error")

    def _notice(self, kind: str, text: str, epoch: int, level: Level) -> None:
        self._noticed[kind] = self._untold[kind] = Alert(kind, text, epoch, level)

    def alerts(self, epoch: int) -> tuple[Alert, ...]:
        """What was noticed since the last call and is to be told in this epoch, the one in training."""
        due = [alert for alert in self._untold.values() if not self._cooling(alert.kind, epoch)]
        self._untold.clear()
        self._told |= {alert.kind: epoch for alert in due}
        return tuple(Alert(alert.kind, alert.text, epoch, alert.level) for alert in due)

    def _cooling(self, kind: str, epoch: int) -> bool:
        return kind in self._told and epoch - self._told[kind] <= self._cooldown

    def report(
        self,
        epoch: int,
        *,
        dropped_records: int,
        sink_lag: int,
        mode: Literal["standard", "research"],
        failures: Iterable[str] = (),
    ) -> HealthReport:
        """State of the instrument and of the episode's numbers after an epoch.

        The status is "critical" when records were dropped, a sink failed, or a loss in the newest batch, epoch or PPO
        update is not finite; else "warning" when something holds; else "healthy".

        Args:
            epoch: The newest epoch completed.
            dropped_records: Records that could not be kept so far.
            sink_lag: Records the slowest sink is behind.
            mode: How much is captured now.
            failures: What failed below us, in words.
        """
        critical = (*failures, *([LOST] if dropped_records else ()), *self._broken_losses())
        holding = [a for a in self._noticed.values() if epoch - a.epoch <= self._cooldown]
        return HealthReport(
            epoch,
            dropped_records=dropped_records,
            non_finite_values=self.non_finite_values,
            sink_lag=sink_lag,
            alerts=tuple(dict.fromkeys((*critical, *(alert.text for alert in holding)))),
            status="critical" if critical else "warning" if holding else "healthy",
            mode=mode,
            triggers=dict(sorted(self._triggers.items())),
        )

    def _broken_losses(self) -> tuple[str, ...]:
        names = [name for broken in self._broken.values() for name in broken]
        return (f"not finite: {', '.join(names)}",) if names else ()
