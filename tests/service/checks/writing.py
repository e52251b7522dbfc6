"""Checks of what a run takes, as the public API gives it back."""

from __future__ import annotations

import json

from . import logged
from .bench import Bench
from .check import check


@check("config given to init, and updated later")
def config(bench: Bench) -> None:
    found = bench.read(bench.full).config
    assert {key: found[key] for key in ("lr", "opt", "found_later")} == {**logged.OPTIONS["config"], **logged.LATE}
    assert found["karn"]["mode"] == "standard"
    assert found["episode"]["hyperparameters"]["lr"] == 0.1


@check("name, tags, notes, group and job type")
def labels(bench: Bench) -> None:
    run = bench.read(bench.full)
    assert (run.name, sorted(run.tags), run.notes) == ("everything at once", ["first", "grown"], "all that W&B takes")
    assert (run.group, run.job_type) == ("night", "train")


@check("scalars on the epoch's clock")
def epochs(bench: Bench) -> None:
    rows = list(bench.read(bench.full).scan_history(keys=["epoch", "host/train_loss"]))
    assert [(row["epoch"], row["host/train_loss"]) for row in rows] == list(enumerate(logged.LOSSES, start=1))


@check("scalars on the batches' clock, beside those of epochs")
def batches(bench: Bench) -> None:
    rows = list(bench.read(bench.full).scan_history(keys=["batch_step", "batch/loss"]))
    expected = [loss + batch / 10 for loss in logged.LOSSES for batch in range(logged.BATCHES)]
    assert [row["batch_step"] for row in rows] == list(range(len(expected)))
    assert [row["batch/loss"] for row in rows] == expected


@check("a user's metric on a clock of the user's, in rows logged in two halves")
def own_clock(bench: Bench) -> None:
    rows = list(bench.read(bench.full).scan_history(keys=["own/clock", "own/value"]))
    assert [(row["own/clock"], row["own/value"]) for row in rows] == list(logged.OWN)


@check("the clocks of metrics are told to W&B")
def clocks(bench: Bench) -> None:
    told = json.dumps(bench.read(bench.full).rawconfig["_wandb"]["m"])
    assert all(name in told for name in ("own/*", "own/clock", "host/*", "batch_step"))


@check("summary: last values, values set by hand, and the outcome")
def summary(bench: Bench) -> None:
    found = bench.read(bench.full).summary
    assert (found["host/val_accuracy"], found["own/value"], found["own/best"]) == (64.0, 4.5, 4.5)
    assert (found["outcome"]["state"], found["outcome"]["epochs"]) == ("finished", 4)
    assert found["own/nested"]["twice"] == 9.0


@check("histograms, from values and from bins")
def histograms(bench: Bench) -> None:
    row = next(iter(bench.read(bench.full).scan_history(keys=["own/histogram", "own/bins"])))
    assert sum(row["own/histogram"]["values"]) == sum(row["own/bins"]["values"]) == 200
    assert (len(row["own/histogram"]["values"]), len(row["own/bins"]["bins"])) == (64, 9)


@check("pictures, line plots and custom charts")
def media(bench: Bench) -> None:
    run = bench.read(bench.full)
    drawn = run.rawconfig["_wandb"]["visualize"]
    assert {"own/line", "own/chart"} <= drawn.keys()
    assert drawn["own/chart"]["panel_config"]["panelDefId"] == "wandb/line/v0"
    picture = next(iter(run.scan_history(keys=["own/picture"])))["own/picture"]
    assert (picture["width"], picture["height"], picture["caption"]) == (8, 8, "black")
    assert any(file.name == picture["path"] for file in run.files())


@check("a table logged once")
def table(bench: Bench) -> None:
    row = next(iter(bench.read(bench.full).scan_history(keys=["own/table"])))["own/table"]
    assert (row["_type"], row["nrows"], row["ncols"]) == ("table-file", len(logged.TABLE), 2)


@check("a table logged again whole, MUTABLE")
def mutable_table(bench: Bench) -> None:
    rows = [row["own/mutable"] for row in bench.read(bench.full).scan_history(keys=["own/mutable"])]
    assert [row["nrows"] for row in rows] == [1, 2, 3]


@check("a table logged piece by piece, INCREMENTAL")
def incremental_table(bench: Bench) -> None:
    rows = [row["own/incremental"] for row in bench.read(bench.full).scan_history(keys=["own/incremental"])]
    assert len(rows) == logged.INCREMENTS
    assert rows[-1]["_type"] == "incremental-table-file"


@check("the run is marked as finished")
def finished(bench: Bench) -> None:
    assert bench.read(bench.full).state == "finished"


@check("a run whose block raised is marked as failed, with its reason")
def failed(bench: Bench) -> None:
    run_id = bench.new_id("failed")
    try:
        with bench.init(id=run_id) as run:
            run.log_epoch(val_loss=1.0)
            raise ArithmeticError("the loss is gone")  # noqa: TRY301 -- that is what is checked
    except ArithmeticError:
        pass
    found = bench.read(run_id)
    assert found.state == "failed"
    assert found.summary["outcome"]["reason"] == "ArithmeticError: the loss is gone"


@check("two runs of one process, logging in turns, are kept apart")
def two_runs(bench: Bench) -> None:
    ids = [bench.new_id("twin") for _ in range(2)]
    runs = [bench.init(id=run_id, config={"twin": number}) for number, run_id in enumerate(ids)]
    for epoch in range(1, 6):
        for number, run in enumerate(runs):
            run.log_epoch(epoch=epoch, val_loss=float(number))
    for run in runs:
        run.finish()
    for number, run_id in enumerate(ids):
        found = bench.read(run_id)
        assert found.config["twin"] == number
        assert [row["host/val_loss"] for row in found.scan_history(keys=["epoch", "host/val_loss"])] == [float(number)] * 5
