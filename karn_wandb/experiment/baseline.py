"""The paired host-only run of a grown one: found among earlier runs by its random seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from karn_wandb.errors import SourceError
from karn_wandb.experiment.experiment import Experiment, load_experiment
from karn_wandb.pipeline import standing
from karn_wandb.records import EpochSnapshot, HostBaseline


def paired_baseline(source: str | Path, base_seed: int, host_params: int = 0) -> HostBaseline:
    """How the host alone did with the same random seed.

    Args:
        source: Anything `load_experiment` takes.
        base_seed: Master random seed of the run to be compared.
        host_params: Parameters of its host; 0 when they are not known yet. Where the source holds hosts of several
            sizes, one of this size is the pair.

    Returns:
        Final values and trajectory of the newest finished run that has that seed and never held a seed module; and how
        accurate the host-only runs of each size were, as means over their random seeds.

    Raises:
        SourceError: There is no such run; the message says which seeds there are.
    """
    experiment = load_experiment(source)
    episodes = experiment.episodes
    candidates = episodes[episodes["run_id"].isin(never_grown(experiment)) & (episodes["state"] == "finished")]
    paired = candidates[candidates["base_seed"] == base_seed]
    if paired.empty:
        seeds = ", ".join(map(str, sorted(candidates["base_seed"].dropna().astype(int)))) or "none"
        raise SourceError(
            f"{source} holds no finished host-only run with base_seed {base_seed}",
            got=f"host-only runs with the seeds {seeds}",
            do="Train the host alone with the same base_seed first, or leave baseline= out.",
        )
    same_size = paired[paired["total_params"] == host_params]
    paired = paired if same_size.empty else same_size
    run_id = str(paired.sort_values("started")["run_id"].iloc[-1])
    snapshots = [event.data for event in standing(experiment.events(run_id)) if isinstance(event.data, EpochSnapshot)]
    return replace(baseline_of(run_id, snapshots), host_only_sizes=_sizes(candidates))


def never_grown(experiment: Experiment) -> frozenset[str]:
    """The runs that logged epochs and never held a seed module."""
    runs = [epochs for epochs in experiment.epochs_by_run("total_seed_params") if not epochs.empty]
    return frozenset(str(epochs["run_id"].iloc[0]) for epochs in runs if not epochs["total_seed_params"].fillna(0).any())


def _sizes(host_only: pd.DataFrame) -> dict[int, float]:
    measured = host_only.dropna(subset=["total_params", "final_accuracy"])
    means = measured.groupby("total_params")["final_accuracy"].mean()
    return dict(zip(map(int, means.index.tolist()), means.tolist(), strict=True))


def baseline_of(run_id: str, snapshots: list[EpochSnapshot]) -> HostBaseline:
    """The baseline that a host-only run's epochs make."""
    first, last = snapshots[0].host, snapshots[-1].host
    trajectory = {s.epoch: s.host.val_accuracy for s in snapshots if s.host.val_accuracy is not None}
    return HostBaseline(
        initial_loss=float("nan") if first.val_loss is None else first.val_loss,
        initial_accuracy=first.val_accuracy,
        final_host_only_loss=last.val_loss,
        final_host_only_accuracy=last.val_accuracy,
        host_only_trajectory=trajectory,
        source_run_id=run_id,
        host_params=last.host_params,
    )
