"""A training process for tests that kill it: logs epochs and says each that `log_epoch` returned from, and how long it took.

    python killed_training.py FOLDER [RUN_ID] [EPOCHS] [PAUSE] [SECONDS]

Given a run id it resumes that run when there is one. It ends after some epochs, or when there is a file "stop" in its folder. It
pauses after each epoch, for 0 seconds unless told. SECONDS are what `finish` may wait for a sink, and for W&B's upload. W&B is
as the environment says, offline or online.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import karn_wandb

BATCHES = 5


def main(folder: str, run_id: str = "", epochs: str = "1000000", pause: str = "0", seconds: str = "60") -> None:
    context = karn_wandb.EpisodeContext("e", datetime.now(UTC), "", 3, 3, 3, "cnn", 100, {}, 9, "classification", {})
    options = {"id": run_id, "resume": "allow"} if run_id else {}
    karn = karn_wandb.KarnConfig(finish_timeout=float(seconds), upload_timeout=float(seconds))
    stop = Path(folder) / "stop"
    with karn_wandb.init("killed", episode=context, karn=karn, dir=folder, config={"base_seed": 3}, **options) as run:
        print("run", run.id, run.current_epoch, flush=True)  # noqa: T201 -- what the test reads
        while run.current_epoch <= int(epochs) and not stop.exists():
            for index in range(BATCHES):
                batch = karn_wandb.BatchMetrics(run.current_epoch, index, loss=1.0)
                run.log_batch(batch)
            begun = time.monotonic()
            epoch = run.log_epoch(val_loss=1.0, val_accuracy=50.0).epoch
            print("epoch", epoch, time.monotonic() - begun, flush=True)  # noqa: T201 -- the same
            time.sleep(float(pause))
        begun = time.monotonic()
    print("finished", time.monotonic() - begun, flush=True)  # noqa: T201 -- the same


if __name__ == "__main__":
    main(*sys.argv[1:])
