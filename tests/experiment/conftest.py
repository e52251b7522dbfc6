"""One real offline run with everything wandb can log that a reader must understand."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from karn_wandb.experiment.wandb_file import read_wandb_file

TABLE_ROWS = 12_000


@pytest.fixture(scope="session")
def plain_run(offline_folder: Path) -> Path:
    """Run file of a finished run that wandb itself wrote, without this package."""
    import wandb

    run = wandb.init(
        project="plain",
        dir=offline_folder / "plain",
        name="a name",
        group="a group",
        job_type="train",
        tags=["b", "a"],
        config={"lr": 0.1, "optimizer": {"name": "sgd", "betas": [0.9, 0.99]}, "dotted.key": 1, "nothing": None},
        reinit="create_new",
    )
    run.config.update({"late": {"x": 1}})
    run.config.update({"optimizer": {"name": "adam"}}, allow_val_change=True)
    run.define_metric("host/*", step_metric="epoch")
    run.define_metric("epoch", hidden=True)
    for epoch in range(3):
        run.log(
            {
                "epoch": epoch,
                "host/train_loss": 1.5 / (epoch + 1),
                "bad": {"nan": math.nan, "inf": math.inf, "minus": -math.inf},
                "deep": {"a": {"b": epoch}},
                "dotted.name": 2,
                "none": None,
                "text": 'höst "1"\n\u2028\U0001f469\u200d\U0001f52c',
                "large": 2**62,
                "tiny": 5e-324,
                "flag": True,
                "list": [1, None, "x", {"y": 2}],
            }
        )
    run.log({"blob": "x" * 100_000})
    run.log({"tables/t": wandb.Table(columns=["a", "b"], data=[[i, f"row {i}"] for i in range(TABLE_ROWS)])})
    run.log({"h": wandb.Histogram([1, 2, 3], num_bins=4)})
    run.summary["result"] = {"best": 1.25}
    extra = offline_folder / "extra.txt"
    extra.write_text("hello")
    artifact = wandb.Artifact("an-artifact", "karn-records", metadata={"k": 1})
    artifact.add_file(str(extra), name="sub/extra.txt")
    run.log_artifact(artifact)
    path = Path(run.dir).parent / f"run-{run.id}.wandb"
    run.finish()
    return wait_for_exit(path)


def wait_for_exit(path: Path) -> Path:
    """`finish` can return some milliseconds before the file is closed."""
    for _ in range(200):
        if read_wandb_file(path, rows=False).exit_code is not None:
            return path
        time.sleep(0.02)
    raise TimeoutError(f"{path} was not closed")
