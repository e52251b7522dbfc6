"""What a process of `read_in_processes` does."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

from karn_wandb.errors import SourceError
from karn_wandb.experiment.cache import RunCache
from karn_wandb.experiment.local import Found, read_and_keep
from karn_wandb.experiment.runs import RunPaths


def main() -> None:
    """Read the runs that standard input names, keep them in the folder that the arguments name, and say each that is done."""
    cache = RunCache(Path(sys.argv[1]))
    for files in json.load(sys.stdin):
        paths = RunPaths(*(file and Path(file) for file in files))
        with suppress(SourceError):  # whoever reads it next says what is wrong
            read_and_keep(Found("", paths), cache)
        print(json.dumps(paths.name), flush=True)  # noqa: T201 -- what it is asked for
