"""Programs of several processes, for tests that start them: `python rank_training.py PROGRAM FOLDER [MORE]`.

The run at the top of the file is begun again by whoever imports it, as in many a script: a spawned worker does.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from datetime import UTC, datetime

import karn_wandb
from karn_wandb import BatchMetrics, KarnConfig

EPOCHS = 5


def begin(folder: str, seed: int = 0, **options):
    context = karn_wandb.EpisodeContext("e", datetime.now(UTC), "", seed, seed, seed, "cnn", 9, {}, 9, "classification", {})
    return karn_wandb.init("ranks", episode=context, dir=folder, mode="offline", **options)


def say(**what) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 -- what the test reads


def train(run, value: float, epochs: int = EPOCHS) -> None:
    for _ in range(epochs):
        run.log_batch(BatchMetrics(run.current_epoch, 0, loss=value))
        run.log_epoch(val_accuracy=value, val_loss=value)


def has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def ranked(folder: str, processes: str) -> None:
    """One of several processes of a launcher."""
    rank = int(os.environ["RANK"])
    run = begin(folder, rank, karn=KarnConfig(processes=processes), group="together")
    train(run, float(rank))
    say(children=has_children(), disabled=run.wandb.disabled, outcome=run.finish().to_plain())


def distributed(folder: str) -> None:
    """Two processes of torch.distributed, spawned."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=of_gloo, args=(rank, folder)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    say(codes=[worker.exitcode for worker in workers])


def of_gloo(rank: int, folder: str) -> None:
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    with begin(folder) as run:
        for epoch in range(EPOCHS):
            loss = torch.tensor(float(rank + epoch))
            dist.all_reduce(loss)
            train(run, loss.item(), 1)
    dist.destroy_process_group()


def works_in_a_copy(run) -> bool:
    try:
        train(run, 2.0, 3)
        karn_wandb.emit(karn_wandb.TelemetryEvent(karn_wandb.TelemetryEventType.ANALYTICS_SNAPSHOT, data={"of": "a copy"}))
        run.finish()
    except BaseException:  # noqa: BLE001 -- a child must not go on as the parent
        traceback.print_exc()
        return False
    return run.records_path is None


def forked(folder: str) -> None:
    """Forks while a thread logs; the children use their copy of the run."""
    with begin(folder) as run:
        run.wandb.log({"half": 1}, commit=False)  # rows of ours wait, on another thread, for the row's other half
        training = threading.Thread(target=train, args=(run, 1.0, 200))
        training.start()
        codes = []
        for number in range(10):
            child = os.fork()
            if not child:
                os._exit(number if works_in_a_copy(run) else 99)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        training.join()
        child = os.fork()
        if not child:
            time.sleep(60)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        run.wandb.log({"other_half": 1})
    say(codes=codes)


class Squares:
    """A dataset; where its workers know a collector, they emit to it."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> float:
        if __name__ == "__mp_main__" or multiprocessing.parent_process() is not None:
            karn_wandb.emit(karn_wandb.TelemetryEvent(karn_wandb.TelemetryEventType.ANALYTICS_SNAPSHOT, data={"index": index}))
        return float(index * index)


def loaded(run, method: str, times: str) -> None:
    """A DataLoader's workers, started in the middle of a run."""
    from torch.utils.data import DataLoader

    with run:
        found = []
        for _ in range(int(times)):
            loader = DataLoader(Squares(), num_workers=2 if method == "fork" else 1, multiprocessing_context=method)
            found.append(sum(batch.item() for batch in loader))
            train(run, 1.0)
    say(found=found)


if sys.argv[1] == "loaded":
    open_run = begin(sys.argv[2])  # a spawned worker comes here too
    if __name__ == "__main__":
        loaded(open_run, *sys.argv[3:])
elif __name__ == "__main__":
    {"ranked": ranked, "distributed": distributed, "forked": forked}[sys.argv[1]](*sys.argv[2:])
