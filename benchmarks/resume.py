"""What it costs to resume a run: reading its record log, writing it into the new folder, replaying it.

python -m benchmarks.resume
"""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from pathlib import Path

from karn_wandb.episode import EpisodeLog
from karn_wandb.pipeline import KarnCollector, RecordLog, read_log, write_log
from karn_wandb.records import BatchMetrics, SeedStage, SlotSnapshot

SIZES = ((50, 100), (500, 100), (500, 400))
SLOTS = ("early", "mid", "late")


def train(path: Path, epochs: int, batches: int) -> None:
    """Log a run of so many epochs of so many batches."""
    log = EpisodeLog(KarnCollector(log=RecordLog(path)))
    slots = {name: SlotSnapshot(name, SeedStage.BLENDING, alpha=0.5) for name in SLOTS}
    for epoch in range(1, epochs + 1):
        for index in range(batches):
            norms = dict.fromkeys(SLOTS, 1.0)
            log.log_batch(BatchMetrics(epoch, index, loss=1.0, accuracy=50.0, host_grad_norm=1.0, seed_grad_norms=norms))
        log.log_epoch(val_accuracy=50.0, val_loss=1.0, slots=slots)
    log.conclude()
    log.collector.close()


def main() -> None:
    """Print the table."""
    print("| epochs x batches | events | log, MB | read, s | write, s | open and replay, s | go back half way, s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for epochs, batches in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            first, second = Path(folder, "first"), Path(folder, "second")
            train(first, epochs, batches)
            moments = [time.perf_counter()]
            events = read_log(first).events
            moments.append(time.perf_counter())
            write_log(second, events)
            moments.append(time.perf_counter())
            log = EpisodeLog(KarnCollector(log=RecordLog(second)))
            moments.append(time.perf_counter())
            log.rewind(epochs // 2)
            moments.append(time.perf_counter())
            log.collector.close()
            spent = " | ".join(f"{after - before:.2f}" for before, after in pairwise(moments))
            size = second.stat().st_size / 1e6
            print(f"| {epochs} x {batches} | {len(events):,} | {size:.1f} | {spent} |")


if __name__ == "__main__":
    main()
