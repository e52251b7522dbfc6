"""Checks of the public API: how runs are found, and the ways their data is read."""

from __future__ import annotations

from pathlib import Path

from . import logged
from .bench import Bench
from .check import check


def _found(bench: Bench, **query: object) -> list[str]:
    """Which of the several runs a query gives, by their number, in the order it gives them."""
    ids = bench.several
    return [str(ids.index(run.id)) for run in bench.api.runs(bench.path, **query) if run.id in ids]


@check("runs by a config value, with and without .value")
def by_config(bench: Bench) -> None:
    assert _found(bench, filters={"config.lr": 0.01}) == ["1"]
    assert _found(bench, filters={"config.lr.value": {"$lt": 0.05}}) == ["1", "2"]


@check("runs by a nested config value")
def by_nested_config(bench: Bench) -> None:
    assert _found(bench, filters={"config.opt.name": "adam"}) == ["1", "2"]


@check("runs by tags")
def by_tags(bench: Bench) -> None:
    assert _found(bench, filters={"tags": "a"}) == ["0", "1"]
    assert _found(bench, filters={"tags": {"$in": ["b"]}}) == ["1", "2"]


@check("runs by group and job type")
def by_group(bench: Bench) -> None:
    assert _found(bench, filters={"group": "one"}) == ["0", "1"]
    assert _found(bench, filters={"jobType": "eval"}) == ["2"]


@check("runs by state")
def by_state(bench: Bench) -> None:
    assert _found(bench, filters={"state": "finished"}) == ["0", "1", "2"]
    assert _found(bench, filters={"state": "failed"}) == []


@check("runs by one condition or another, and by both")
def by_either(bench: Bench) -> None:
    assert _found(bench, filters={"$or": [{"config.lr": 0.1}, {"tags": "b"}]}) == ["0", "1", "2"]
    assert _found(bench, filters={"$and": [{"tags": "a"}, {"tags": "b"}]}) == ["1"]


@check("runs by a summary value and by the time they were made")
def by_summary(bench: Bench) -> None:
    assert _found(bench, filters={"summary_metrics.host/val_accuracy": {"$gte": 10.0}}) == ["1", "2"]
    second = bench.read(bench.several[1]).created_at
    assert _found(bench, filters={"created_at": {"$gte": second}})[-2:] == ["1", "2"]


@check("runs in an order")
def order(bench: Bench) -> None:
    assert _found(bench, order="-created_at") == ["2", "1", "0"]
    assert _found(bench, order="+config.lr.value") == ["2", "1", "0"]
    assert _found(bench, order="-summary_metrics.host/val_accuracy") == ["2", "1", "0"]


@check("runs page by page, and their number")
def pages(bench: Bench) -> None:
    runs = bench.api.runs(bench.path, filters={"name": {"$in": list(bench.several)}}, per_page=2)
    assert len(runs) == len(list(runs)) == 3


@check("a run that is not there")
def missing(bench: Bench) -> None:
    from wandb.errors import CommError

    try:
        bench.read("no-such-run")
    except (CommError, ValueError):
        return
    raise AssertionError("it was found")


@check("sampled history, all keys and some")
def history(bench: Bench) -> None:
    run = bench.read(bench.full)
    assert set(run.history()["host/train_loss"].dropna()) == set(logged.LOSSES)
    assert list(run.history(keys=["host/train_loss"])["host/train_loss"]) == list(logged.LOSSES)


@check("scanned history, with the steps in order")
def scan(bench: Bench) -> None:
    steps = [row["_step"] for row in bench.read(bench.full).scan_history()]
    assert steps == list(range(len(steps)))
    assert len(steps) > len(logged.LOSSES) * (1 + logged.BATCHES)
    assert [row["_step"] for row in bench.read(bench.full).beta_scan_history()] == steps  # its older name


@check("scanned history in small pages, and a part of it")
def scan_pages(bench: Bench) -> None:
    run = bench.read(bench.full)
    assert list(run.scan_history(page_size=3)) == list(run.scan_history())
    assert [row["_step"] for row in run.scan_history(min_step=2, max_step=5)] == [2, 3, 4]


@check("history exports")
def exports(bench: Bench) -> None:
    result = bench.read(bench.full).download_history_exports(bench.folder / "exports", require_complete_history=False)
    assert not result.errors
    assert all(Path(path).exists() for path in result.paths)


@check("files of a run, and one that was saved by hand")
def files(bench: Bench) -> None:
    run = bench.read(bench.full)
    assert "own.txt" in {file.name for file in run.files()}
    with run.file("own.txt").download(str(bench.folder / "downloaded"), replace=True) as file:
        assert file.read() == logged.SAVED


@check("a table back as a data frame")
def table_as_frame(bench: Bench) -> None:
    frame = _artifact(bench, "owntable").get("own/table").get_dataframe()
    assert list(frame.columns) == ["slot", "value"]
    assert [tuple(None if value != value else value for value in row) for row in frame.values.tolist()] == list(logged.TABLE)  # noqa: PLR0124


@check("the package's own tables back")
def own_tables(bench: Bench) -> None:
    names = {artifact.name for artifact in bench.read(bench.full).logged_artifacts() if artifact.type == "run_table"}
    assert any("owntable" in name for name in names)


@check("the increments of a table back, all of them")
def increments(bench: Bench) -> None:
    artifact = _artifact(bench, "ownincremental")
    table = artifact.get(next(iter(artifact.manifest.entries)).removesuffix(".table.json"))
    assert table.data == [[step, step / 2] for step in range(logged.INCREMENTS)]


@check("config, tags and summary changed afterwards")
def update(bench: Bench) -> None:
    with bench.init(id=bench.new_id("changed"), config={"lr": 1.0}, tags=["old"]) as run:
        run.log_epoch(val_loss=1.0)
    found = bench.read(run.id)
    found.config["lr"], found.tags = 2.0, ["new"]
    found.summary["verdict"] = "kept"
    found.update()
    again = bench.read(run.id)
    assert (again.config["lr"], again.tags, again.summary["verdict"], again.state) == (2.0, ["new"], "kept", "finished")
    assert again.summary["host/val_loss"] == 1.0


@check("a run deleted")
def delete(bench: Bench) -> None:
    from wandb.errors import CommError

    with bench.init(id=bench.new_id("deleted")) as run:
        run.log_epoch(val_loss=1.0)
    bench.read(run.id).delete()
    try:
        bench.read(run.id)
    except (CommError, ValueError):
        return
    raise AssertionError("it is still there")


@check("who is logged in, and the projects there are")
def account(bench: Bench) -> None:
    assert bench.full
    assert bench.api.viewer.username
    assert bench.api.default_entity
    assert bench.project in {project.name for project in bench.api.projects(bench.entity)}


def _artifact(bench: Bench, part: str):
    """The newest version of the artifact with this in its name."""
    return [each for each in bench.read(bench.full).logged_artifacts() if part in each.name][-1]
