"""What a long run keeps in memory: its growth over many batches, and of many dense traces only the newest.

    python -m benchmarks.memory

Printed are the process's resident bytes, with torch, W&B and all else that is loaded in them: their growth is what counts.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import karn_wandb
from benchmarks.offline import drain, offline_options, setting, table
from karn_wandb import DenseTrace

EPOCH_BATCHES = 1000
TRACES = 30
STATM = Path("/proc/self/statm")
MEBIBYTE = 2**20


def resident_bytes() -> int:
    """Memory of this process in RAM; the most it ever was, where the system does not say."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if STATM.exists() else peak_bytes()


def peak_bytes() -> int:
    """The most memory that this process ever had in RAM."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def long_run(batches: int, options: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Log batches and epochs of a small attached model; gives (batches so far, resident bytes) at each tenth of them.

    Whatever is still on its way to W&B is waited for first, so that it does not count as kept.
    """
    model = nn.Linear(8, 2)
    cross_entropy(model(torch.randn(4, 8)), torch.zeros(4, dtype=torch.long)).backward()
    with karn_wandb.init("memory", **options) as run:
        run.attach(model)
        for batch in range(1, batches + 1):
            run.log_batch(loss=1 / batch, accuracy=50.0)
            if batch % EPOCH_BATCHES == 0:
                run.log_epoch(val_loss=1 / batch, val_accuracy=50.0)
            if batch % max(1, batches // 10) == 0:
                drain(run)
                yield batch, resident_bytes()


def count_traces(traces: int, options: dict[str, Any]) -> dict[str, int]:
    """Fail a gate every other epoch; how many dense traces are in memory, in the record log, and in W&B after the run."""
    model = nn.Linear(8, 2)
    cross_entropy(model(torch.randn(4, 8)), torch.zeros(4, dtype=torch.long)).backward()
    with karn_wandb.init("traces", **options) as run:
        run.attach(model)
        for failure in range(traces):
            run.log_gate(slot_id="early", gate="G2", passed=False, seed_id=f"early-{failure}", checks_failed=["improvement"])
            for _ in range(2):
                for _ in range(EPOCH_BATCHES // 10):
                    run.log_batch(loss=2.0, accuracy=50.0)
                run.log_epoch(val_loss=2.0, val_accuracy=50.0)
        kept = len(run.collector.episode().store.dense_traces)
        run_id, folder = run.id, options["dir"]
    experiment = karn_wandb.load_experiment(folder)
    stored = {via: experiment.records(run_id, via=via) for via in ("log", "wandb")}
    found = {via: sum(isinstance(record, DenseTrace) for record in records) for via, records in stored.items()}
    return {"memory": kept, "record log": found["log"], "W&B": found["wandb"]}


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batches", type=int, default=100_000, help="batches of the long run")
    batches = parser.parse_args(arguments).batches
    print(f"{setting()}.\n", flush=True)
    with offline_options() as options:
        used = list(long_run(batches, options))
    peak = peak_bytes()
    since = [0, *(after - before for (_, before), (_, after) in pairwise(used))]
    rows = [(f"{n:,}", f"{m / MEBIBYTE:.1f}", f"{d / MEBIBYTE:+z.1f}") for (n, m), d in zip(used, since, strict=True)]
    print(table(["batches logged", "resident, MiB", "since the line above"], rows))
    (first, least), (last, most) = used[0], used[-1]
    print(f"\nGrowth from batch {first:,} to {last:,}: {(most - least) / MEBIBYTE:.1f} MiB.")
    print(f"The most ever, with the tables that are made when the run ends: {peak / MEBIBYTE:.1f} MiB.", flush=True)
    with offline_options() as options:
        found = count_traces(TRACES, options)
    print(f"\n{table(['gates failed', *found], [[str(TRACES), *map(str, found.values())]])}")


if __name__ == "__main__":
    main()
