"""How an episode ended, in one record."""

from __future__ import annotations

from typing import Literal

from karn_wandb.analysis.analytics import MorphogeneticAnalytics
from karn_wandb.analysis.lifecycle import Lifecycle
from karn_wandb.records import EpisodeOutcome, SeedStage


def episode_outcome(
    analytics: MorphogeneticAnalytics,
    lifecycle: Lifecycle,
    *,
    state: Literal["finished", "failed"],
    reason: str = "",
    dropped_records: int = 0,
) -> EpisodeOutcome:
    """The outcome of an episode from what was logged of it; what was not logged stays None."""
    latest = analytics.latest
    host = latest.host if latest is not None else None
    return EpisodeOutcome(
        epochs=analytics.epochs,
        final_accuracy=host.val_accuracy if host else None,
        final_loss=host.val_loss if host else None,
        best_accuracy=analytics.best_accuracy,
        total_params=host.total_params if host else None,
        param_ratio=host.total_params / host.host_params if host and host.total_params and host.host_params else None,
        accuracy_delta=analytics.accuracy_delta(),
        fossilized=lifecycle.counts[SeedStage.FOSSILIZED],
        pruned=lifecycle.counts[SeedStage.PRUNED],
        germinated=lifecycle.counts[SeedStage.GERMINATED],
        reward_total=analytics.reward_total,
        state=state,
        reason=reason,
        dropped_records=dropped_records,
    )
