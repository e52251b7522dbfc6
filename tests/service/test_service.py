"""The stand-in itself: what it keeps, what it says it does not know, and the fixture that other tests use."""

from __future__ import annotations

import os

import pytest
import wandb
from wandb.sdk.lib.service.service_connection import WandbApiFailedError

import karn_wandb

pytestmark = [pytest.mark.online, pytest.mark.usefixtures("newest_wandb")]


def test_a_test_sees_what_a_run_left(wandb_service):
    with karn_wandb.init(project="p", config={"lr": 0.1}, name="first") as run:
        run.log_epoch(val_loss=0.5)
    kept = wandb_service.run(run.id)
    assert (kept.state, kept.exit_code, kept.display_name, kept.config["lr"]) == ("finished", 0, "first", 0.1)
    assert [row["host/val_loss"] for row in kept.rows if "host/val_loss" in row] == [0.5]
    assert kept.summary["outcome"]["state"] == "finished"


def test_each_test_has_a_service_and_files_of_its_own(wandb_service, tmp_path):
    assert wandb_service.runs == {}
    assert os.environ["WANDB_BASE_URL"] == wandb_service.url
    with karn_wandb.init(project="p") as run:
        assert str(tmp_path) in run.wandb.dir


def test_requests_are_counted_by_operation(wandb_service):
    for _ in range(3):
        karn_wandb.init(project="p").finish()
    wandb_service.requests.clear()
    runs = wandb.Api().runs(f"{wandb_service.entity}/p", lazy=False, per_page=2)
    assert [run.state for run in runs] == ["finished"] * 3
    assert wandb_service.requests["Runs"] == 2


def test_a_run_is_called_crashed_when_a_test_says_so(wandb_service):
    with karn_wandb.init(project="p") as run:
        wandb_service.crash(run.id)
        run.log_epoch(val_loss=0.5)
        assert wandb.Api().run(f"{wandb_service.entity}/p/{run.id}").state == "crashed"
    assert wandb_service.run(run.id).state == "finished"


def test_a_project_that_is_not_there(wandb_service):
    with pytest.raises(ValueError, match="Could not find project"):
        list(wandb.Api().runs(f"{wandb_service.entity}/nowhere"))


def test_unknown_fields_are_null_and_noted_and_unknown_root_fields_refused(wandb_service):
    answer = wandb_service.graphql("query New { viewer { username newField } }", {})
    assert answer == {"data": {"viewer": {"username": wandb_service.entity, "newField": None}}}
    refused = wandb_service.graphql("mutation Newer { launchRocket(input: {}) { success } }", {})
    assert refused["errors"] == [{"message": 'Cannot query field "launchRocket" on type "Mutation".'}]
    assert wandb_service.notes == ["New: no field newField", "mutation Newer: launchRocket"]


def test_a_filter_operator_nobody_documented_is_refused(wandb_service):
    karn_wandb.init(project="p").finish()
    with pytest.raises(WandbApiFailedError, match=r"unknown operator \$near"):
        list(wandb.Api().runs(f"{wandb_service.entity}/p", filters={"config.lr": {"$near": 1}}))


def test_another_key_is_refused(wandb_service, monkeypatch):
    wandb.teardown()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    with pytest.raises(wandb.errors.CommError):
        wandb.init(project="p")
    assert wandb_service.runs == {}


def test_an_offline_run_beside_it_asks_the_service_for_nothing(wandb_service):
    run = karn_wandb.init(project="p", mode="offline")
    run.log_epoch(val_loss=0.5)
    run.finish()
    assert wandb_service.requests.total() == 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"config.lr": {"$in": [0.1, 0.2]}}, "ab"),
        ({"config.lr": {"$ne": 0.1}}, "b"),
        ({"config.lr": {"$nin": [0.1]}}, "b"),
        ({"config.lr": {"$not": {"$gt": 0.1}}}, "a"),
        ({"$nor": [{"config.lr": 0.1}]}, "b"),
        ({"config.missing": {"$exists": False}}, "ab"),
        ({"config.lr": {"$gt": "text"}}, ""),
        ({"displayName": {"$regex": "^run-"}}, "ab"),
        ({"tags": {"$nin": ["odd"]}}, "a"),
    ],
)
def test_filters(service_with_two_runs, query, found):
    runs = wandb.Api().runs(f"{service_with_two_runs.entity}/p", filters=query)
    assert "".join(run.id for run in runs) == found


@pytest.fixture(scope="module")
def service_with_two_runs(newest_wandb, tmp_path_factory):
    from service import Service, online

    with Service() as service, online(service, tmp_path_factory.mktemp("two")):
        karn_wandb.init(project="p", id="a", name="run-a", config={"lr": 0.1}).finish()
        karn_wandb.init(project="p", id="b", name="run-b", config={"lr": 0.2}, tags=["odd"]).finish()
        yield service


def test_an_exported_history_is_read_from_parquet_until_the_run_goes_on(wandb_service, tmp_path):
    with karn_wandb.init(project="p", id="r") as run:
        for epoch in (1, 2):
            run.log_epoch(epoch=epoch, val_loss=float(epoch))
    wandb_service.export("r")
    read = wandb.Api().run(f"{wandb_service.entity}/p/r")
    losses = [row["host/val_loss"] for row in read.scan_history(keys=["host/val_loss"])]
    assert [loss for loss in losses if loss is not None] == [1.0, 2.0]  # of Parquet, rows without the key come too
    assert [row["_step"] for row in read.scan_history()] == [row["_step"] for row in wandb_service.run("r").rows]
    assert wandb_service.requests["HistoryPage"] == wandb_service.requests["SampledHistoryPage"] == 0
    result = read.download_history_exports(tmp_path / "exports")
    assert [path.suffix for path in result.paths] == [".parquet"]
    with karn_wandb.init(project="p", id="r", resume="must") as run:
        run.log_epoch(epoch=3, val_loss=3.0)
    read = wandb.Api().run(f"{wandb_service.entity}/p/r")
    assert [row["host/val_loss"] for row in read.scan_history(keys=["host/val_loss"])] == [1.0, 2.0, 3.0]
