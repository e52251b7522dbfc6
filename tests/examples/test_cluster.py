"""Files for clusters: shell that bash takes, options that W&B's agent has, and a job with the fields of its kind."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import examples
from karn_wandb.cli import main

FOLDER = Path(examples.__file__).parent.parent / "sweeps" / "cluster"
SCRIPTS = sorted([*FOLDER.glob("*.sh"), *FOLDER.glob("*.sbatch")])
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_shell(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("name", "missing"), [("agents.sh", "usage: "), ("slurm_array.sbatch", "SWEEP"), ("slurm_local.sbatch", "FILE")]
)
def test_a_script_without_its_sweep_says_what_it_needs(name, missing):
    done = subprocess.run(["bash", FOLDER / name], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1
    assert missing in done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_option_given_to_the_agent_or_to_us_is_there(path):
    from wandb.cli import cli

    known = {option for command in (cli.agent, main.commands["sweep"]) for each in command.params for option in each.opts}
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    calls = [line for line in lines if re.search(r"wandb agent|karn-wandb sweep|\[\"wandb\", \"agent\"", line)]
    used = {option for line in calls for option in re.findall(r"(--[a-z-]+)", line)}
    assert calls
    assert used <= known


def test_the_job_is_one_and_its_agents_take_a_run_each():
    job = yaml.safe_load((FOLDER / "kubernetes_job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["command"][:2] == ["wandb", "agent"]
    assert container["command"][-3:-1] == ["--count", "1"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    key = next(each for each in container["env"] if each["name"] == "WANDB_API_KEY")
    assert "value" not in key
