"""The command line as a whole: quick to help, clear about errors, codes as designed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from karn_wandb._version import __version__
from karn_wandb.cli import main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "karn_wandb", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", ["--help", "report --help", "show --help", "sweep --help", "--version"])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys; from karn_wandb.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "heavy = {'torch', 'wandb', 'pandas', 'numpy', 'scipy'} & set(sys.modules); sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout


def test_only_commands_that_exist_are_listed():
    assert sorted(main.commands) == ["import", "relocate", "report", "show", "sweep", "workspace"]


def test_python_m_is_the_same_command():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"karn-wandb, version {__version__}\n")


def test_an_error_of_ours_is_a_message_on_stderr_and_code_1():
    done = run("show", "nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "Error: the source 'nowhere' cannot be read; got No such file or directory. Check the path.\n"


def test_wrong_usage_is_code_2():
    assert CliRunner().invoke(main, ["report"]).exit_code == 2
    assert CliRunner().invoke(main, ["sweep"]).exit_code == 2
    assert CliRunner().invoke(main, ["show"]).exit_code == 2


def test_control_characters_in_an_error_reach_no_terminal():
    done = CliRunner().invoke(main, ["show", "a\x1b[2Jb"], color=True)
    assert done.exit_code == 1
    assert "\x1b" not in done.stderr
