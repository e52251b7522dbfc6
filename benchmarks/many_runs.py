"""Many runs, written as training writes them, for the benchmarks that read them back.

Each run's record log comes out of the package's own pipeline (`EpisodeLog`, collector, live analysis, record log on disk), so it
has what a real one has: context, epochs with three slots, stage changes, coalitions, readings, outcome. Only W&B's SDK is
left out: starting it takes a second a run, and it adds nothing to what is read, since a run with a record log is read from that.
Accuracies are random: no numbers that pack better than real ones.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from math import exp
from multiprocessing import get_context
from pathlib import Path

from karn_wandb.attribution import CounterfactualEngine
from karn_wandb.episode import EpisodeLog
from karn_wandb.errors import KarnWarning
from karn_wandb.pipeline import LOG_NAME, KarnCollector, RecordLog
from karn_wandb.records import (
    CounterfactualConfig,
    EpisodeContext,
    RunInfo,
    SeedStage,
    SlotSnapshot,
    TelemetryEvent,
    TelemetryEventType,
)

SLOTS = ("early", "mid", "late")
HOST_PARAMS, SEED_PARAMS = 100_000, 5_000
MATRIX_EVERY = 100
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
PATH = (SeedStage.GERMINATED, SeedStage.TRAINING, SeedStage.BLENDING, SeedStage.HOLDING, SeedStage.FOSSILIZED)
ARMS = ("heuristic", "none")


def write_runs(folder: Path, runs: int, epochs: int, processes: int = 2) -> None:
    """Write so many runs of so many epochs below a folder, in pairs of a grown and a host-only run with one random seed."""
    with get_context("spawn").Pool(processes) as pool:
        for _ in pool.imap_unordered(partial(write_run, folder, epochs), range(runs)):
            pass


def write_run(folder: Path, epochs: int, number: int) -> Path:
    """Write the record log of one run; gives its folder."""
    arm, base_seed = ARMS[number % len(ARMS)], number // len(ARMS)
    run_id = f"{arm}-{base_seed:06}"
    path = folder / f"offline-run-20260101_000000-{run_id}" / LOG_NAME
    rng = random.Random(number)  # noqa: S311 -- numbers to be written down
    log = EpisodeLog(KarnCollector(log=RecordLog(path)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KarnWarning)
        log.emit(TelemetryEvent(TelemetryEventType.TRAINING_STARTED, data=_info(run_id, arm, base_seed)))
        log.log_context(_context(run_id, base_seed, epochs))
        train(log, epochs, rng, grown=arm != "none")
        log.conclude()
        log.collector.close()
    return path.parent


def train(log: EpisodeLog, epochs: int, rng: random.Random, *, grown: bool) -> None:
    """Log so many epochs; of a grown network with three slots, whose coalitions are evaluated every so often and at the end."""
    reached = 60 + rng.gauss(0, 2) + 2 * grown
    engine = CounterfactualEngine(CounterfactualConfig(), seed=0)
    for epoch in range(1, epochs + 1):
        accuracy = reached - 50 * exp(-5 * epoch / epochs) + rng.gauss(0, 0.3)
        seeds = SEED_PARAMS * len(SLOTS) if grown else 0
        log.log_epoch(
            train_loss=2 - accuracy / 100 + rng.random() / 10,
            train_accuracy=accuracy + rng.random(),
            val_loss=2 - accuracy / 100,
            val_accuracy=accuracy,
            host_params=HOST_PARAMS,
            total_seed_params=seeds,
            total_params=HOST_PARAMS + seeds,
            host_grad_norm=rng.random(),
            seed_grad_norms={name: rng.random() for name in SLOTS} if grown else {},
            slots={name: _slot(name, epoch, epochs, rng) for name in SLOTS} if grown else {},
        )
        if grown and (epoch % MATRIX_EVERY == 0 or epoch == epochs):
            worth = {name: rng.gauss(1, 0.3) for name in SLOTS}
            log.log_counterfactual(engine.evaluate(SLOTS, partial(_value, worth, accuracy), epoch=epoch))


def _value(worth: dict[str, float], accuracy: float, config: Iterable[bool]) -> float:
    return accuracy - sum(value for value, on in zip(worth.values(), config, strict=True) if not on)


def _slot(name: str, epoch: int, epochs: int, rng: random.Random) -> SlotSnapshot:
    stage = PATH[min(epoch * len(PATH) // (epochs + 1), len(PATH) - 1)]
    return SlotSnapshot(
        name,
        stage,
        blueprint_id="conv_light",
        alpha=min(1.0, epoch / epochs),
        epochs_in_stage=epoch % max(epochs // len(PATH), 1),
        seed_params=SEED_PARAMS,
        counterfactual_contribution=rng.random(),
        total_improvement=rng.random(),
    )


def _info(run_id: str, arm: str, base_seed: int) -> RunInfo:
    config = {"controller": arm, "base_seed": base_seed, "lr": 0.1, "optimizer": {"name": "sgd", "momentum": 0.9}}
    return RunInfo(run_id, project="growing-cnn", name=f"{arm} {base_seed}", group=arm, config=config)


def _context(run_id: str, base_seed: int, epochs: int) -> EpisodeContext:
    return EpisodeContext(
        episode_id=run_id,
        timestamp=BEGUN + timedelta(minutes=base_seed),
        git_commit="c" * 40,
        base_seed=base_seed,
        torch_seed=base_seed,
        numpy_seed=base_seed,
        host_architecture="cnn_3block",
        host_params=HOST_PARAMS,
        slot_config={"early": 64, "mid": 128, "late": 256},
        max_epochs=epochs,
        task_type="classification",
        hyperparameters={"lr": 0.1, "optimizer": {"name": "sgd", "momentum": 0.9}},
    )
