"""How an episode ended, in one record."""

from __future__ import annotations

from typing import Literal

from karn_wandb.analysis.analytics import MorphogeneticAnalytics
from karn_wandb.analysis.lifecycle import Lifecycle
from karn_wandb.records import EpisodeOutcome


def episode_outcome(
    analytics: MorphogeneticAnalytics,
    lifecycle: Lifecycle,
    *,
    state: Literal["finished", "failed"],
    reason: str = "",
    dropped_records: int = 0,
) -> EpisodeOutcome:
    """The outcome of an episode from what was logged of it; what was not logged stays None."""
    host = analytics.latest.host if analytics.latest is not None else None
    claim = analytics.claim_reading()
    return EpisodeOutcome(
        epochs=analytics.epochs,
        final_accuracy=host.val_accuracy if host else None,
        final_loss=host.val_loss if host else None,
        best_accuracy=analytics.best_accuracy,
        total_params=host.total_params if host else None,
        param_ratio=host.total_params / host.host_params if host and host.total_params and host.host_params else None,
        accuracy_delta=claim.accuracy_delta if claim else None,
        fossilized=lifecycle.fossilized,
        pruned=lifecycle.pruned,
        germinated=lifecycle.germinated,
        reward_total=analytics.reward_total,
        state=state,
        reason=reason,
        dropped_records=dropped_records,
    )
