"""Checks of sweeps and of the two kinds of agents."""

from __future__ import annotations

import sys
from functools import partial

import karn_wandb

from .bench import Bench
from .check import check

GRID = {
    "method": "grid",
    "metric": {"name": "host/val_loss", "goal": "minimize"},
    "parameters": {"lr": {"values": [0.1, 0.01]}, "width": {"value": 8}},
}
PROGRAM = """
import karn_wandb
with karn_wandb.init() as run:
    run.log_epoch(val_loss=run.config["lr"] * run.config["width"])
"""


def _train() -> None:
    with karn_wandb.init() as run:
        run.log_epoch(val_loss=run.config["lr"] * run.config["width"])


def _assert_ran(bench: Bench, sweep_id: str) -> None:
    sweep = bench.api.sweep(f"{bench.path}/{sweep_id}")
    found = {run.config["lr"]: run for run in sweep.runs}
    assert found.keys() == {0.1, 0.01}
    assert all(run.state == "finished" and run.summary["host/val_loss"] == lr * 8 for lr, run in found.items())
    assert sweep.best_run().config["lr"] == 0.01


@check("a sweep, run by wandb.agent with a function")
def function_agent(bench: Bench) -> None:
    import wandb
    from wandb.agents.pyagent import Agent

    sweep_id = wandb.sweep(GRID, entity=bench.entity, project=bench.project)
    before, Agent.HEARTBEAT_SLEEP_SECONDS = Agent.HEARTBEAT_SLEEP_SECONDS, 0.2
    try:
        wandb.agent(sweep_id, partial(_train), entity=bench.entity, project=bench.project, count=2)
    finally:
        Agent.HEARTBEAT_SLEEP_SECONDS = before
    _assert_ran(bench, sweep_id)


@check("a sweep, run by the command `wandb agent`", slow=True)
def command_agent(bench: Bench) -> None:
    import wandb

    program = bench.folder / "sweep_program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program)]
    sweep_id = wandb.sweep({**GRID, "program": str(program), "command": command}, entity=bench.entity, project=bench.project)
    agent = bench.command("agent", f"{bench.path}/{sweep_id}")
    output, _ = agent.communicate(timeout=180)
    assert agent.returncode == 0, output
    _assert_ran(bench, sweep_id)


@check("a sweep's state and config")
def state(bench: Bench) -> None:
    import wandb

    sweep_id = wandb.sweep({**GRID, "name": "by hand"}, entity=bench.entity, project=bench.project)
    sweep = bench.api.sweep(f"{bench.path}/{sweep_id}")
    assert (sweep.name, sweep.config["method"], sweep.expected_run_count) == ("by hand", "grid", 2)
    assert sweep_id in {each.id for each in bench.api.project(bench.project, bench.entity).sweeps()}
