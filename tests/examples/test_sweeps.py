"""Sweep files: W&B's own agent makes of every point of the grid a command line that the program takes."""

from __future__ import annotations

import importlib
import importlib.util
from itertools import product
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

import examples
from examples.train import parsed
from karn_wandb.experiment.claims import read_claims

REPOSITORY = Path(examples.__file__).parent.parent
SWEEPS = [path for path in sorted(REPOSITORY.glob("sweeps/*.yaml")) if not path.name.endswith(".claims.yaml")]
CLAIMS = sorted(REPOSITORY.glob("sweeps/*.claims.yaml"))
every_sweep = pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)


def loaded(path):
    """As W&B loads it, whose own function leaves the file open."""
    return yaml.safe_load(path.read_bytes())


def points(config):
    """Every point of the grid, as the agent is given it."""
    parameters = config["parameters"]
    choices = [p.get("values", [p.get("value")]) for p in parameters.values()]
    for values in product(*choices):
        yield {name: {"value": value} for name, value in zip(parameters, values, strict=True)}


def module_of(config):
    """The program's module; Python runs the `__main__` of a package."""
    name = config["command"][3]
    return f"{name}.__main__" if Path(config["program"]).name == "__main__.py" else name


@every_sweep
def test_wandb_takes_the_file_as_it_is(path):
    from wandb.apis.public.sweeps import _validate_config_and_fill_distribution  # older SDKs have it elsewhere

    config = loaded(path)
    assert _validate_config_and_fill_distribution(config) == config
    assert set(config) - {"metric"} == {"name", "program", "method", "command", "parameters"}
    assert config["method"] == "grid"
    for parameter in config["parameters"].values():
        assert set(parameter) in ({"value"}, {"values"})


@every_sweep
def test_the_agents_command_runs_a_program_that_is_there(path):
    config = loaded(path)
    assert (REPOSITORY / config["program"]).is_file()
    command = create_sweep_command(list(config["command"]))
    assert command[:3] == ["${env}", "${interpreter}", "-m"]
    assert command[4:] == ["${args}"]
    assert importlib.util.find_spec(module_of(config)).origin == str(REPOSITORY / config["program"])


@every_sweep
def test_every_parameter_is_an_option_of_the_program_and_every_value_is_taken(path):
    config = loaded(path)
    program = importlib.import_module(module_of(config))
    for point in points(config):
        options = vars(program.parsed(create_sweep_command_args({"args": point})["args"]))
        assert {name: options[name] for name in point} == {name: value["value"] for name, value in point.items()}


def test_the_slot_controls_train_every_seed_with_all_slots_and_without_each():
    config = loaded(REPOSITORY / "sweeps/slot_controls.yaml")
    arms = [(p["seed"]["value"], p["disabled_slot"]["value"]) for p in points(config)]
    assert len(arms) == len(set(arms)) == 5 * 4
    assert {slot for _, slot in arms} == {"none", "early", "mid", "late"}


@pytest.mark.parametrize(
    ("variables", "mode"),
    [({}, "offline"), ({"WANDB_SWEEP_ID": "s"}, "online"), ({"WANDB_SWEEP_ID": "s", "WANDB_MODE": "offline"}, "offline")],
)
def test_a_run_of_an_agents_sweep_is_online_unless_wandb_is_told_otherwise(monkeypatch, variables, mode):
    for name in ("WANDB_SWEEP_ID", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert parsed([]).mode == mode


@pytest.mark.parametrize("path", CLAIMS, ids=lambda path: path.stem)
def test_the_claims_name_arms_that_the_sweep_trains(path):
    sweep = loaded(path.with_name(path.name.replace(".claims", "")))
    claims = read_claims(path)
    assert claims.planned_runs == len(sweep["parameters"]["seed"]["values"])
    for claim in claims.claims:
        for arm in (claim.treatment, claim.control):
            for name, value in arm.items():
                assert value in sweep["parameters"][name]["values"]
