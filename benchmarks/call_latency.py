"""What one log call costs the training thread, against a plain `run.log` of the same values.

    python -m benchmarks.call_latency

The calls are spaced as in training: before each there are steps of it. What the sinks' threads have to do for a call is
done before the next one, so that it slows neither; `benchmarks.overhead` is where it counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
import wandb
from torch import nn

import karn_wandb
from benchmarks.models import Training
from benchmarks.offline import drain, offline_options, setting, table
from karn_wandb import (
    AdvantageStats,
    BatchMetrics,
    EpochSnapshot,
    FactoredAction,
    GateEvaluationTrace,
    HostSnapshot,
    PolicySnapshot,
    PPOUpdate,
    RatioStats,
    SeedStage,
    SlotSnapshot,
)
from karn_wandb.records import Record, StageTransition

INTERVAL = 32
"""`log_batch` brings its batches to the host every so many calls, so means are taken over whole intervals."""

STAGES = (SeedStage.BLENDING, SeedStage.HOLDING)
SLOTS = ("early", "mid", "late")
HEADS = ("op", "slot", "blueprint", "blend")

GATE = GateEvaluationTrace(
    "early",
    "G2",
    passed=True,
    target_stage=SeedStage.BLENDING,
    epoch=3,
    seed_id="early-1",
    checks_passed=("improvement", "gradient_ratio"),
    measurements={"improvement": 1.5, "gradient_ratio": 0.4},
    thresholds={"improvement": 0.5, "gradient_ratio": 0.05},
)
DECISION = PolicySnapshot(
    observation_vector=tuple(i / 16 for i in range(16)),
    action=FactoredAction("GERMINATE", "early", "conv_light", "linear"),
    action_log_probs=dict.fromkeys(HEADS, -0.7),
    value_estimate=1.2,
    reward_total=0.3,
    entropy=1.1,
)
UPDATE = PPOUpdate(
    policy_loss=-0.01,
    value_loss=0.4,
    entropy=1.1,
    kl_divergence=0.01,
    explained_variance=0.6,
    grad_norm=0.5,
    learning_rate=3e-4,
    per_head_kl=dict.fromkeys(HEADS, 0.01),
    per_head_entropy=dict.fromkeys(HEADS, 1.1),
    advantages=AdvantageStats(0.0, 1.0, -3.0, 3.0, 0.1),
    ratios=RatioStats(1.0, 0.1, 0.1),
)


def snapshot(epoch: int) -> EpochSnapshot:
    """An epoch of a host with three slots."""
    slots = {name: SlotSnapshot(name, SeedStage.BLENDING, 3, f"{name}-1", "conv_light", 100, 0.5) for name in SLOTS}
    host = HostSnapshot(epoch, 0.5, 80.0, 0.6, 79.0, 1000, 300, 1300, 0, 0.1, dict.fromkeys(SLOTS, 0.2), 0.0)
    return EpochSnapshot(epoch, host, slots)


def stage(call: int) -> StageTransition:
    """A change of stage that is legal after the one before."""
    before, after = STAGES[call % 2], STAGES[1 - call % 2]
    return StageTransition("early", before, after, 3, "early-1", "conv_light", 100, 0.5, 1.5, 0.8, "heuristic", "alpha is full")


def fields_of(record: Any) -> dict[str, Any]:
    """The keywords that make the record."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values as the keys and values of one `run.log`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        elif value is not None:
            yield prefix + name, value


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of call, timed once a round.

    Attributes:
        name: In the table.
        make: Takes the number of the round, and makes the call whose time is taken.
        against: The call it is compared with, None for those that others are compared with.
    """

    name: str
    make: Callable[[int], Callable[[], object]]
    against: str | None = None


@contextmanager
def prepared(options: dict[str, Any]) -> Iterator[tuple[list[Call], list[karn_wandb.Run]]]:
    """The calls, and those of the runs they log to that have sinks; all runs are finished at the end.

    Batches, epochs and events have a run each: on one run an event would bring the batches before it to the host, and
    pay for them.
    """
    plain = wandb.init(project="latency", **options)
    runs = [karn_wandb.init("latency", **options) for _ in range(5)]
    floats, tensors, snapshots, keywords, events = runs
    loss, accuracy = 0.5 * torch.ones((), requires_grad=True), torch.tensor(80.0)  # the loss has its graph, as in training

    def plainly(name: str, record: Record) -> Call:
        return Call(name, lambda _: partial(plain.log, dict(flat(record.to_plain(), f"{type(record).__name__}/"))))

    def epoch(number: int) -> Callable[[], object]:
        made = snapshot(number + 1)
        return partial(keywords.log_epoch, **{**fields_of(made.host), "slots": made.slots})

    def event(what: str, record: Callable[[int], Record], log: Callable[..., object]) -> list[Call]:
        against = f"run.log of a {what}"
        return [plainly(against, record(0)), Call(f"log_{what}", lambda i: partial(log, **fields_of(record(i))), against)]

    batch, of_tensors, whole = "run.log of a batch", "run.log of a batch's tensors", "run.log of an epoch"
    compared = [
        plainly(batch, BatchMetrics(3, 7, 0.5, 80.0)),
        Call("log_batch, floats", lambda _: partial(floats.log_batch, loss=0.5, accuracy=80.0), batch),
        Call(of_tensors, lambda _: partial(plain.log, {"epoch": 3, "batch_idx": 7, "loss": loss, "accuracy": accuracy})),
        Call("log_batch, tensors", lambda _: partial(tensors.log_batch, loss=loss, accuracy=accuracy), of_tensors),
        plainly(whole, snapshot(1)),
        Call("log_epoch, a snapshot", lambda i: partial(snapshots.log_epoch, snapshot(i + 1)), whole),
        Call("log_epoch, keywords", epoch, whole),
        *event("stage", stage, events.log_stage),
        *event("gate", lambda _: GATE, events.log_gate),
        *event("decision", lambda _: DECISION, events.log_decision),
        *event("ppo_update", lambda _: UPDATE, events.log_ppo_update),
    ]
    yield compared, runs
    plain.finish()
    for run in runs:
        run.finish()


def a_small_training() -> Training:
    """A network of two layers on random numbers; a step takes a fraction of a millisecond."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return Training(model, torch.randn(32, 64), torch.randint(10, (32,)))


def train(training: Training, seconds: float) -> None:
    """Make steps for a while."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        training.step()


def measure(
    compared: list[Call], runs: list[karn_wandb.Run], intervals: int, pause: float = 0.002, seed: int = 0
) -> dict[str, np.ndarray]:
    """Microseconds of each call, by name; an interval of rounds to warm up is left out.

    Args:
        compared: The calls.
        runs: Runs whose sinks are waited for after each call.
        intervals: Number of intervals of 32 rounds; every round makes each call once, in an order shuffled anew.
        pause: Seconds of training before each call.
        seed: Random seed of the order.
    """
    generator, training = np.random.default_rng(seed), a_small_training()
    times = np.zeros((len(compared), (intervals + 1) * INTERVAL))
    for number in range(times.shape[1]):
        for place in generator.permutation(len(compared)):
            call = compared[place].make(number)
            train(training, pause)
            started = time.perf_counter_ns()
            call()
            times[place, number] = (time.perf_counter_ns() - started) / 1e3
            for run in runs:
                drain(run)
    return {call.name: row[INTERVAL:] for call, row in zip(compared, times, strict=True)}


def report(compared: list[Call], times: Mapping[str, np.ndarray]) -> str:
    """The Markdown table, with each call's median and mean over those of the `run.log` of the same values."""
    rows = []
    for call in compared:
        own = times[call.name]
        row = [call.name, *(f"{value:.0f}" for value in (np.median(own), np.quantile(own, 0.9), own.mean()))]
        if call.against is None:
            rows.append([*row, "", ""])
        else:
            of = times[call.against]
            rows.append([*row, f"{np.median(own) / np.median(of):.2f}", f"{own.mean() / of.mean():.2f}"])
    return table(["call", "median, µs", "90 % below, µs", "mean, µs", "medians' ratio", "means' ratio"], rows)


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--intervals", type=int, default=30, help=f"intervals of {INTERVAL} rounds, each call once a round")
    intervals = parser.parse_args(arguments).intervals
    with offline_options() as options, prepared(options) as (compared, runs):
        times = measure(compared, runs, intervals)
    print(f"{intervals * INTERVAL} calls of each. {setting()}.\n\n{report(compared, times)}")


if __name__ == "__main__":
    main()
