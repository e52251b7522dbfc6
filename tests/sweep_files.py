"""Sweep files for tests, and small programs for them to run."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from karn_wandb.sweeps import SweepFile, read_sweep

PLAIN = """
import json, os, sys, time
from pathlib import Path

values = json.loads(Path(sys.argv[1]).read_text())
with open(values["log"], "a") as log:
    log.write(f"{values['n']} {os.getpid()}\\n")
time.sleep(values.get("seconds", 0.0))
print("the value was", values["n"])
sys.exit(int(os.environ.get("PLAIN_CODE", values.get("code", 0))))
"""
"""Takes its values from the JSON file, notes that it was begun, and uses neither W&B nor this package."""


def sweep_file(folder: Path, **config: object) -> SweepFile:
    """Write a sweep file and read it; a grid unless the config says otherwise."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"method": "grid", "program": "train.py", **config}, sort_keys=False))
    return read_sweep(path)


def plain_sweep(folder: Path, runs: int, **parameters: object) -> SweepFile:
    """A grid of runs of the plain program, which notes in `folder/begun` what was begun."""
    (folder / "plain.py").write_text(PLAIN)
    log = {"log": {"value": str(folder / "begun")}}
    values = {name: {"value": value} if not isinstance(value, list) else {"values": value} for name, value in parameters.items()}
    command = [sys.executable, "-S", str(folder / "plain.py"), "${args_json_file}"]
    return sweep_file(folder, command=command, parameters={"n": {"values": list(range(runs))}, **log, **values})


def begun(folder: Path) -> list[tuple[int, int]]:
    """What the plain program was begun with: n and its process, in order."""
    path = folder / "begun"
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
