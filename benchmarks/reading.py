"""How long it takes to read an offline run: our reader against W&B's own inspector, turn by turn.

    python -m benchmarks.reading

`wandb leet inspect --json` is what the SDK has: a program that prints every record of a run file as a line of JSON. Whoever
wants the values has to parse those, so both are given. Ours gives rows, summary, config, metrics and artifacts; of a run of
this package also its events, decoded and checked: from W&B's rows, or from the record log, which is what a report reads.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import wandb

import karn_wandb
from benchmarks.many_runs import train
from benchmarks.offline import drain, offline_options, setting, table
from karn_wandb.errors import KarnWarning
from karn_wandb.experiment.runs import rows_of_file
from karn_wandb.experiment.wandb_file import read_wandb_file
from karn_wandb.pipeline.log import LOG_NAME, read_log

DEADLINE = 120


def plain_run(options: dict[str, Any], rows: int, metrics: int) -> Path:
    """A run that wandb logged by itself; gives its file."""
    rng = random.Random(0)  # noqa: S311 -- numbers to be written down
    run = wandb.init(project="reading", **options)
    for _ in range(rows):
        run.log({f"family/metric_{number:02}": rng.random() for number in range(metrics)})
    path = Path(run.dir).parent / f"run-{run.id}.wandb"
    run.finish()
    return _closed(path)


def karn_run(options: dict[str, Any], epochs: int) -> Path:
    """A run of this package with three slots; gives its file."""
    with warnings.catch_warnings(), karn_wandb.init(project="reading", **options) as run:
        warnings.simplefilter("ignore", KarnWarning)
        train(run, epochs, random.Random(0), grown=True)  # noqa: S311 -- the same
        drain(run)
        path = Path(run.wandb.dir).parent / f"run-{run.id}.wandb"
    return _closed(path)


def _closed(path: Path) -> Path:
    """`finish` may return some milliseconds before the file is closed."""
    deadline = time.monotonic() + DEADLINE
    while read_wandb_file(path, rows=False).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return path


def inspected(path: Path) -> list[Any]:
    """The records of a run file as the SDK's inspector has them."""
    return [json.loads(line) for line in printed(path).splitlines()]


def printed(path: Path) -> bytes:
    """What the inspector prints."""
    options = ["leet", "inspect", "--no-observability", "--json", "--run-file", path, path.parent]
    command = [wandb.util.get_core_path(), *options]
    return subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 -- the SDK's own program


def timed(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round to warm up; they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(rounds + 1):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            if round_number:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def lines(path: Path, ways: dict[str, Callable[[], object]], rounds: int) -> Iterator[tuple[str, ...]]:
    """A line of the table for each way, compared with the inspector's in the same round."""
    seconds = timed(
        {"leet inspect --json, printed": lambda: printed(path), "the same, parsed": lambda: inspected(path), **ways}, rounds
    )
    whole = seconds["the same, parsed"]
    bare = seconds["leet inspect --json, printed"]
    for name, spent in seconds.items():
        against = [statistics.median(b / a for a, b in zip(spent, other, strict=True)) for other in (bare, whole)]
        yield name, f"{statistics.median(spent):.2f}", *(f"{ratio:.1f}" for ratio in against)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--metrics", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    header = ("", "s", "times faster than printed", "than parsed")
    with offline_options() as where:
        path = plain_run(where, options.rows, options.metrics)
        ours = {"ours": lambda: read_wandb_file(path), "ours without rows": lambda: read_wandb_file(path, rows=False)}
        size = path.stat().st_size / 1e6
        print(f"{options.rows:,} rows of {options.metrics} metrics, {size:.1f} MB; medians of {options.rounds} rounds\n")
        print(table(header, lines(path, ours, options.rounds)))
        karn = karn_run(where, options.epochs)
        log = karn.parent / LOG_NAME
        ways = {
            "ours: rows, summary, config": lambda: read_wandb_file(karn),
            "ours: events of the rows": lambda: rows_of_file(karn),
            "ours: events of the record log": lambda: read_log(log),
        }
        events, size = len(read_log(log).events), karn.stat().st_size / 1e6
        print(f"\nA run of this package: {options.epochs:,} epochs of three slots, {events:,} events, {size:.1f} MB\n")
        print(table(header, lines(karn, ways, options.rounds)))
    print(f"\n{setting()}")


if __name__ == "__main__":
    main()
