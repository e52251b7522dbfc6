"""How the instrument itself is set up."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from karn_wandb.errors import RecordError
from karn_wandb.records._kinds import Bounds, Count
from karn_wandb.records._record import Record, record
from karn_wandb.records.counterfactual import CounterfactualConfig
from karn_wandb.records.traces import DenseTraceTrigger


@record
class KarnConfig(Record):
    """Settings of the instrument; logged as config `karn.*`.

    Attributes:
        mode: "standard" (dense traces when triggered), "research" (everything, always) or "adaptive" (standard,
            and research for a window after an anomaly).
        strict: Raise when W&B, the disk or a sink fails, instead of counting and going on.
        trigger: When dense traces are taken.
        counterfactual: How coalitions are chosen.
        max_dense_traces: Dense traces kept in memory; log and W&B keep all.
        escalation_epochs: Epochs an adaptive escalation lasts.
        seed_layer_summaries: Gradient norms of each seed module's top layers, off by default.
        seed_layer_top_k: How many layers of each seed module, at least 1.
        seed_layer_compact_events: One event with the top layers instead of a metric each.
        seed_health_compact: No layer metrics at all.
        max_epochs_in_memory: Epoch snapshots kept in memory; log and W&B keep all.
        counterfactual_every: Epochs between evaluations of the coalitions, at least 1.
        trace_batches: Batches kept for a dense trace before its trigger, and captured after it, at least 1.
        histogram_bins: Most bins of a histogram, 8 to 512.
        alert_cooldown_epochs: Epochs before an alert of the same kind is raised again.
        finish_timeout: Seconds that `finish` waits for a sink that does not get on; one that does is waited for.
        upload_timeout: Seconds that `finish` waits for W&B's upload, where W&B's own `finish_timeout` is not set; 0 leaves
            that as it is.
        processes: What several processes write: "rank0" (rank 0 alone, the others nothing), "group" (a run each, in one
            W&B group) or "shared" (one run, by W&B's shared mode; rank 0 alone logs records to it).
        rank: Rank of this process, from 0; together with `world_size`. None takes that of torch.distributed, when it is
            initialised, or of the launcher.
        world_size: Number of processes.
        chart_presets: W&B entity whose presets draw the charts a run logs when it ends; `karn-wandb workspace` registers them.
            None takes those that were registered from this machine for the run's own entity, "" none: W&B's own presets
            draw what they can.
    """

    mode: Literal["standard", "research", "adaptive"] = "standard"
    strict: bool = False
    trigger: DenseTraceTrigger = field(default_factory=DenseTraceTrigger)
    counterfactual: CounterfactualConfig = field(default_factory=CounterfactualConfig)
    max_dense_traces: Count = 10
    escalation_epochs: Annotated[int, Bounds(1)] = 5
    seed_layer_summaries: bool = False
    seed_layer_top_k: Annotated[int, Bounds(1)] = 3
    seed_layer_compact_events: bool = False
    seed_health_compact: bool = False
    max_epochs_in_memory: Annotated[int, Bounds(1)] = 1000
    counterfactual_every: Annotated[int, Bounds(1)] = 1
    trace_batches: Annotated[int, Bounds(1)] = 64
    histogram_bins: Annotated[int, Bounds(8, 512)] = 64
    alert_cooldown_epochs: Count = 5
    finish_timeout: Annotated[float, Bounds(0)] = 60.0
    upload_timeout: Annotated[float, Bounds(0)] = 600.0
    processes: Literal["rank0", "group", "shared"] = "rank0"
    rank: Count | None = None
    world_size: Annotated[int, Bounds(1)] | None = None
    chart_presets: str | None = None

    def _check(self) -> None:
        if (self.rank is None) != (self.world_size is None) or (self.rank or 0) >= (self.world_size or 1):
            raise RecordError(
                "KarnConfig.rank and world_size go together, the rank below the number of processes",
                got=f"rank {self.rank} of {self.world_size}",
                do="Pass both, or neither and let them be found out.",
            )
