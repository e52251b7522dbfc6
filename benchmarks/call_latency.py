"""What a log call costs the training thread, against a plain `run.log` of the same values.

    python -m benchmarks.call_latency

Blocks of calls alternate between the two, offline, in one process; printed are medians over blocks. The work that
sinks do on their own threads is not in it, though it competes for the interpreter: the drain time says how much there was.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable

import wandb

import karn_wandb
from karn_wandb import EpochSnapshot, HostSnapshot, SeedStage, SlotSnapshot
from karn_wandb.schema import encode_row

BLOCKS = 30
CALLS = 100


def snapshot(epoch: int) -> EpochSnapshot:
    """An epoch of a host with three slots."""
    names = ("early", "mid", "late")
    slots = {name: SlotSnapshot(name, SeedStage.BLENDING, 3, f"{name}-1", "conv_light", 100, 0.5) for name in names}
    host = HostSnapshot(epoch, 0.5, 80.0, 0.6, 79.0, 1000, 300, 1300, 0, 0.1, dict.fromkeys(names, 0.2), 0.0)
    return EpochSnapshot(epoch, host, slots)


def seconds_a_call(call: Callable[[int], object], first: int) -> float:
    """Mean of one block of calls."""
    started = time.perf_counter()
    for i in range(first, first + CALLS):
        call(i)
    return (time.perf_counter() - started) / CALLS


def main() -> None:
    """Run and print."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"mode": "offline", "dir": folder, "settings": wandb.Settings(silent=True, console="off")}
        plain = wandb.init(project="latency", reinit="create_new", **options)
        run = karn_wandb.init("latency", **options)
        row = encode_row(run.emit(karn_wandb.TelemetryEvent(event_type="EPOCH_COMPLETED", data=snapshot(1))))
        batch = {"batch/loss": 0.5, "batch/accuracy": 80.0}
        calls: dict[str, Callable[[int], object]] = {
            "run.log, a batch's values": lambda i: plain.log({**batch, "batch_step": i}),
            "log_batch": lambda _: run.log_batch(loss=0.5, accuracy=80.0),
            "run.log, an epoch's values": lambda i: plain.log({**row, "epoch": i}),
            "log_epoch, written and flushed": lambda i: run.log_epoch(snapshot(i + 2)),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for block in range(BLOCKS):
            for name, call in calls.items():
                times[name].append(seconds_a_call(call, block * CALLS))
        started = time.perf_counter()
        run.finish()
        drained = time.perf_counter() - started
        plain.finish()
    for name, measured in times.items():
        print(f"{name:<32} {1e6 * statistics.median(measured):8.0f} us")
    print(f"finish, which delivers the rest  {drained:8.1f} s")


if __name__ == "__main__":
    main()
