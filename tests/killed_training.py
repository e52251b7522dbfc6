"""A training process for tests that kill it: logs epochs as fast as it can and says each that `log_epoch` returned from.

    python killed_training.py FOLDER [RUN_ID] [EPOCHS]

Given a run id it resumes that run when there is one.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import karn_wandb

BATCHES = 5


def main(folder: str, run_id: str = "", epochs: str = "1000000") -> None:
    context = karn_wandb.EpisodeContext("e", datetime.now(UTC), "", 3, 3, 3, "cnn", 100, {}, 9, "classification", {})
    options = {"id": run_id, "resume": "allow"} if run_id else {}
    with karn_wandb.init("killed", episode=context, dir=folder, mode="offline", config={"base_seed": 3}, **options) as run:
        print("run", run.id, run.current_epoch, flush=True)  # noqa: T201 -- what the test reads
        while run.current_epoch <= int(epochs):
            for index in range(BATCHES):
                batch = karn_wandb.BatchMetrics(run.current_epoch, index, loss=1.0)
                run.log_batch(batch)
            epoch = run.log_epoch(val_loss=1.0, val_accuracy=50.0).epoch
            print("epoch", epoch, flush=True)  # noqa: T201 -- the same


if __name__ == "__main__":
    main(*sys.argv[1:])
