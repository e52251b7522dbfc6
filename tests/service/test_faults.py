"""Faults: the stand-in refuses, hangs, dawdles and loses answers, and what the SDK and the package make of it."""

from __future__ import annotations

import pytest
import wandb
from wandb.sdk.lib.service.service_connection import WandbApiFailedError

import karn_wandb
from karn_wandb.errors import KarnWarning

pytestmark = [pytest.mark.online, pytest.mark.usefixtures("newest_wandb")]


def losses(service, run_id):
    return [row["host/val_loss"] for row in service.run(run_id).rows if "host/val_loss" in row]


def test_a_service_that_says_too_many_requests_is_asked_again(wandb_service):
    karn_wandb.init(project="p").finish()
    fault = wandb_service.faults.answer(429, where={"Runs"}, times=1, retry_after=0)
    assert len(wandb.Api().runs(f"{wandb_service.entity}/p")) == 1
    assert fault.met == 1


def test_rows_are_sent_again_when_the_service_fails(wandb_service):
    fault = wandb_service.faults.answer(500, where={"file_stream"}, times=1)
    with karn_wandb.init(project="p") as run:
        run.log_epoch(val_loss=0.5)
    assert losses(wandb_service, run.id) == [0.5]
    assert fault.met == 1


def test_rows_are_kept_once_when_an_answer_is_lost(wandb_service):
    fault = wandb_service.faults.drop(where={"file_stream"}, times=1)
    with karn_wandb.init(project="p") as run:
        run.log_epoch(val_loss=0.5)
    assert losses(wandb_service, run.id) == [0.5]
    assert fault.met == 1


def test_a_slow_answer_is_waited_for(wandb_service):
    fault = wandb_service.faults.trickle(0.002, where={"UpsertBucket"})
    with karn_wandb.init(project="p") as run:
        run.log_epoch(val_loss=0.5)
    assert losses(wandb_service, run.id) == [0.5]
    assert fault.met >= 1


def test_a_run_goes_on_while_the_service_is_away_and_is_whole_when_it_is_back(wandb_service):
    with karn_wandb.init(project="p") as run:
        run.log_epoch(epoch=1, val_loss=0.5)
        with wandb_service.refusing():
            run.log_epoch(epoch=2, val_loss=0.25)
        run.log_epoch(epoch=3, val_loss=0.125)
    assert losses(wandb_service, run.id) == [0.5, 0.25, 0.125]


def test_a_run_begins_offline_when_nobody_listens(wandb_service):
    with wandb_service.refusing(), pytest.warns(KarnWarning, match="W&B cannot be reached"):
        run = karn_wandb.init(project="p", settings=wandb.Settings(init_timeout=1))
    assert run.wandb.offline
    run.finish()
    assert wandb_service.runs == {}


def test_a_service_that_hangs_lets_go_when_the_fault_is_over(wandb_service):
    karn_wandb.init(project="p").finish()
    wandb_service.faults.hang(where={"Runs"})
    with pytest.raises(WandbApiFailedError, match="did not respond in time"):
        len(wandb.Api(timeout=1).runs(f"{wandb_service.entity}/p"))
    wandb_service.faults.clear()
    assert len(wandb.Api().runs(f"{wandb_service.entity}/p")) == 1
