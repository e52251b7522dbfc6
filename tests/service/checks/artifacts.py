"""Checks of artifacts: what was logged is there, by name and alias, and comes back as it was."""

from __future__ import annotations

from pathlib import Path

from . import logged
from .bench import Bench
from .check import check


def _data(bench: Bench, alias: str):
    return bench.api.artifact(f"{bench.path}/data-{bench.full}:{alias}")


@check("artifacts logged without waiting: the package's own")
def own(bench: Bench) -> None:
    types = {artifact.type for artifact in bench.read(bench.full).logged_artifacts()}
    assert {"karn-records", "karn-episode", "run_table", "dataset", "model"} <= types


@check("the record log comes back from its artifact")
def record_log(bench: Bench) -> None:
    from karn_wandb.pipeline import parse_log

    artifact = bench.api.artifact(f"{bench.path}/karn-records-{bench.full}:latest")
    (path,) = Path(artifact.download(str(bench.folder / "records"))).iterdir()
    found = parse_log(path.read_bytes())
    assert not found.damage
    assert [event.data.host.train_loss for event in found.events if event.event_type.name == "EPOCH_COMPLETED"] == list(
        logged.LOSSES
    )


@check("versions, and aliases that move")
def versions(bench: Bench) -> None:
    assert (_data(bench, "best").version, _data(bench, "latest").version) == ("v0", "v1")
    assert set(_data(bench, "v1").aliases) == {"latest", "newer", "same"}


@check("the same bytes again make no version")
def unchanged(bench: Bench) -> None:
    collection = bench.api.artifacts("dataset", f"{bench.path}/data-{bench.full}")
    assert sorted(artifact.version for artifact in collection) == ["v0", "v1"]


@check("metadata, description and tags of an artifact")
def described(bench: Bench) -> None:
    artifact = _data(bench, "best")
    assert artifact.metadata == dict(logged.METADATA)
    assert (artifact.description, list(artifact.tags)) == ("made for checks", ["checked"])


@check("an artifact of several files, downloaded whole")
def download(bench: Bench) -> None:
    folder = Path(_data(bench, "v1").download(str(bench.folder / "data")))
    for name, content in logged.FILES.items():
        assert (folder / name).read_bytes() == content
    assert (folder / "version.txt").read_text() == "version 1\n"


@check("one file of an artifact")
def one_file(bench: Bench) -> None:
    path = _data(bench, "best").get_entry("version.txt").download(str(bench.folder / "one"))
    assert Path(path).read_text() == "version 0\n"


@check("a reference in an artifact")
def reference(bench: Bench) -> None:
    artifact = bench.api.artifact(f"{bench.path}/links-{bench.full}:latest")
    assert artifact.get_entry("cifar10.tar.gz").ref_target() == logged.REFERENCE


@check("a model")
def model(bench: Bench) -> None:
    artifact = bench.api.artifact(f"{bench.path}/weights-{bench.full}:last")
    assert artifact.type == "model"
    assert list(artifact.manifest.entries) == ["weights.bin"]


@check("who logged an artifact and who used it")
def lineage(bench: Bench) -> None:
    assert [artifact.name for artifact in bench.read(bench.consumer).used_artifacts()] == [f"data-{bench.full}:v0"]
    artifact = _data(bench, "best")
    assert artifact.logged_by().id == bench.full
    assert bench.consumer in [run.id for run in artifact.used_by()]


@check("an artifact used and downloaded in another run")
def use(bench: Bench) -> None:
    folder = bench.folder / f"used-by-{bench.consumer}"
    assert (folder / "weights.bin").read_bytes() == logged.FILES["weights.bin"]
    assert (folder / "version.txt").read_text() == "version 0\n"


@check("aliases and metadata of an artifact changed afterwards")
def change(bench: Bench) -> None:
    artifact = bench.api.artifact(f"{bench.path}/weights-{bench.full}:last")
    artifact.aliases.append("kept")
    artifact.metadata["score"] = 1.0
    artifact.save()
    again = bench.api.artifact(f"{bench.path}/weights-{bench.full}:kept")
    assert (again.version, again.metadata["score"]) == ("v0", 1.0)
