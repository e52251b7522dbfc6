"""The command of a sweep file, against what W&B's own agent makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from karn_wandb.errors import SweepError
from karn_wandb.sweeps.command import command_line

VALUES = {"lr": 1e-5, "name": "a b", "flag": True, "off": False, "none": None, "optimizer": {"beta": [0.9, 1]}}
REFERENCE = create_sweep_command_args({"args": {name: {"value": value} for name, value in VALUES.items()}})


def line(*command, environ=None):
    return command_line(
        command, VALUES, program="t.py", interpreter="/python", json_file=Path("/a.json"), environ=environ or {"HOST": "h"}
    )


@pytest.mark.parametrize("macro", sorted(set(REFERENCE) - {"args_dict"}))
def test_arguments_are_spelled_as_wandbs_agent_spells_them(macro):
    assert line(f"${{{macro}}}") == REFERENCE[macro]


def test_the_other_macros():
    assert line("${env}", "${interpreter}", "-m", "${program}", "${args_json_file}") == [
        *("/usr/bin/env", "/python", "-m", "t.py", "/a.json")
    ]


def test_variables_of_the_environment_are_filled_in_as_wandb_does(monkeypatch):
    monkeypatch.setenv("HOST", "h")
    monkeypatch.delenv("NOT_SET", raising=False)
    given = ["--x=${envvar:HOST}/${envvar:NOT_SET}", "${envvar:HOST}"]
    assert line(*given) == create_sweep_command(list(given)) == ["--x=h/NOT_SET", "h"]


def test_a_macro_that_is_none_is_refused():
    with pytest.raises(SweepError, match=r"the command has an unknown macro '\$\{arg\}'\. There is \$\{env\}, "):
        line("${arg}")
