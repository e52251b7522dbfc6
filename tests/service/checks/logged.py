"""What is logged, in one place beside what the checks expect of it."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np

import karn_wandb

OPTIONS = MappingProxyType(
    {
        "name": "everything at once",
        "group": "night",
        "job_type": "train",
        "tags": ["grown", "first"],
        "notes": "all that W&B takes",
        "config": {"lr": 0.1, "opt": {"name": "sgd", "nesterov": True}},
    }
)
LATE = MappingProxyType({"found_later": 3})
LOSSES = (1.0, 0.5, 0.25, 0.125)
BATCHES = 3
OWN = ((10, 1.5), (20, 2.5), (40, 4.5))
"""A user's own clock and the value at it."""
TABLE = (("early", 0.5), ("mid", None), ("late", -1.5))
INCREMENTS = 3
FILES = MappingProxyType({"weights.bin": bytes(range(256)), "nested/notes.txt": b"a file in a folder\n"})
REFERENCE = "https://example.com/data/cifar10.tar.gz"
METADATA = MappingProxyType({"accuracy": 61.5, "classes": ["cat", "dog"]})
SAVED = "saved by hand\n"

SEVERAL = (
    {"config": {"lr": 0.1, "opt": {"name": "sgd"}}, "group": "one", "tags": ["a"]},
    {"config": {"lr": 0.01, "opt": {"name": "adam"}}, "group": "one", "tags": ["a", "b"]},
    {"config": {"lr": 0.001, "opt": {"name": "adam"}}, "group": "two", "tags": ["b"], "job_type": "eval"},
)
"""Options of the runs that are filtered and ordered."""


def everything(run: karn_wandb.Run, folder: Path) -> None:
    """Log through the package, and beside it, in the same run, what W&B's own calls log."""
    run.config.update(dict(LATE))
    for epoch, loss in enumerate(LOSSES, start=1):
        for batch in range(BATCHES):
            run.log_batch(loss=loss + batch / 10, accuracy=50.0)
        run.log_epoch(train_loss=loss, val_loss=loss / 2, val_accuracy=60.0 + epoch)
    own_clock(run)
    media(run)
    tables(run)
    save(run, folder)
    artifacts(run, folder)


def own_clock(run: karn_wandb.Run) -> None:
    """A metric of the user's with a clock of the user's, logged in two halves, and a summary value."""
    run.wandb.define_metric("own/clock", hidden=True)
    run.wandb.define_metric("own/*", step_metric="own/clock")
    for clock, value in OWN:
        run.wandb.log({"own/clock": clock}, commit=False)
        run.wandb.log({"own/value": value, "own/nested": {"twice": 2 * value}})
    run.wandb.summary["own/best"] = max(value for _, value in OWN)


def media(run: karn_wandb.Run) -> None:
    """Histograms from values and from bins, a picture, a line plot and a custom chart, and an alert."""
    import wandb

    values = np.linspace(-1.0, 1.0, 200)
    run.wandb.log({"own/histogram": wandb.Histogram(values), "own/bins": wandb.Histogram(np_histogram=np.histogram(values, 8))})
    run.wandb.log({"own/picture": wandb.Image(np.zeros((8, 8, 3), dtype=np.uint8), caption="black")})
    frame = wandb.Table(columns=["x", "y"], data=[[x, x * x] for x in range(5)])
    run.wandb.log({"own/line": wandb.plot.line(frame, "x", "y", title="squares")})
    chart = wandb.plot_table("wandb/line/v0", wandb.Table(columns=["x", "y"], data=[[0, 1]]), {"x": "x", "y": "y"})
    run.wandb.log({"own/chart": chart})
    run.wandb.alert(title="Look", text="at this", level="WARN", wait_duration=0.001)


def tables(run: karn_wandb.Run) -> None:
    """A table in each of the three modes."""
    import wandb

    columns = ["slot", "value"]
    run.wandb.log({"own/table": wandb.Table(columns=columns, data=[list(row) for row in TABLE])})
    for mode in ("MUTABLE", "INCREMENTAL"):
        table = wandb.Table(columns=["step", "value"], log_mode=mode)
        for step in range(INCREMENTS):
            table.add_data(step, step / 2)
            run.wandb.log({f"own/{mode.lower()}": table})


def save(run: karn_wandb.Run, folder: Path) -> None:
    """A file saved with the run."""
    path = folder / "own.txt"
    path.write_text(SAVED)
    run.wandb.save(str(path), base_path=str(folder), policy="now")


def artifacts(run: karn_wandb.Run, folder: Path) -> None:
    """Two versions of an artifact of several files, the second logged again unchanged, a reference and a model."""
    import wandb

    for name, content in FILES.items():
        path = folder / "made" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for version, aliases in ((0, ["best"]), (1, ["newer"]), (1, ["same"])):
        artifact = wandb.Artifact(f"data-{run.id}", type="dataset", metadata=dict(METADATA), description="made for checks")
        artifact.add_dir(str(folder / "made"))
        with artifact.new_file("version.txt") as file:
            file.write(f"version {version}\n")
        run.log_artifact(artifact, aliases=aliases, tags=["checked"]).wait()
    links = wandb.Artifact(f"links-{run.id}", type="dataset")
    links.add_reference(REFERENCE, name="cifar10.tar.gz", checksum=False)
    run.log_artifact(links).wait()
    run.wandb.log_model(str(folder / "made" / "weights.bin"), name=f"weights-{run.id}", aliases=["last"])


def use(run: karn_wandb.Run, made_by: str, folder: Path) -> None:
    """Use an artifact another run made, and download it."""
    artifact = run.wandb.use_artifact(f"data-{made_by}:best")
    artifact.download(str(folder / f"used-by-{run.id}"))
