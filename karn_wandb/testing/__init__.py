"""For your own tests: runs that are recorded in memory, without W&B's files, network or threads.

    with karn_wandb.testing.recorded() as run:
        train(run)
    assert run.metrics("host/val_accuracy")[-1].value > 60

It is the real pipeline: the same checks, clocks, live analysis, triggers and schema. Only its ends are missing: W&B is its
own SDK's disabled run, and the record log stays in memory. Code that calls `karn_wandb.init` itself is recorded with
`recorded_inits`, or with the pytest fixture `karn_wandb.testing.fixtures.karn_runs`.
"""

from karn_wandb.testing.recording import recorded, recorded_inits
from karn_wandb.testing.run import Point, RecordedRun

__all__ = ["Point", "RecordedRun", "recorded", "recorded_inits"]
