"""`python -m tests.smoke_real_wandb`, here on the stand-in: what it prints, what it refuses, what it leaves behind."""

from __future__ import annotations

import pytest
import wandb

import karn_wandb
from tests.smoke_real_wandb import main

pytestmark = [pytest.mark.online, pytest.mark.usefixtures("newest_wandb")]


def test_it_says_what_holds_and_deletes_what_it_made(wandb_service, capsys):
    assert main([f"{wandb_service.entity}/smoke", "--only", "runs in an order"]) == 0
    printed = capsys.readouterr().out
    assert "holds     runs in an order" in printed
    assert "1 of 1 checks hold" in printed
    assert wandb_service.runs_of(wandb_service.entity, "smoke") == []


def test_it_says_what_does_not_hold(wandb_service, capsys):
    wandb_service.faults.answer(404, where={"DeleteRun"}, times=1)
    assert main([f"{wandb_service.entity}/smoke", "--only", "a run deleted"]) == 1
    assert "FAILED    a run deleted" in capsys.readouterr().out


def test_it_refuses_a_project_with_runs(wandb_service, capsys):
    karn_wandb.init(project="mine").finish()
    assert main([f"{wandb_service.entity}/mine"]) == 2
    assert "has 1 runs, and the checks delete all runs at their end" in capsys.readouterr().err
    assert len(wandb_service.runs) == 1


def test_it_refuses_when_nobody_is_logged_in(wandb_service, monkeypatch, capsys):
    wandb.teardown()
    monkeypatch.delenv("WANDB_API_KEY")
    assert main([f"{wandb_service.entity}/smoke"]) == 2
    assert "You are not logged in to W&B" in capsys.readouterr().err


def test_it_refuses_a_name_without_an_entity(capsys):
    assert main(["smoke"]) == 2
    assert "write ENTITY/PROJECT" in capsys.readouterr().err
