"""What a long run leaves in W&B: how much is sent, how many files and metric names, and whether all of it reads back.

    python -m benchmarks.at_length

First the same table, a few rows an epoch, in each way that W&B offers. Then a whole run through the package, in this one
process, which is ended, moved to another folder and read back there.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb

import karn_wandb
from benchmarks.memory import MEBIBYTE, peak_bytes, resident_bytes
from benchmarks.offline import drain, offline_options, setting, table
from karn_wandb import CounterfactualEngine
from karn_wandb.experiment.relocate import relocate
from karn_wandb.experiment.tables import artifact_bytes, logged_table
from karn_wandb.experiment.wandb_file import WandbFile, read_wandb_file
from karn_wandb.records import FactoredAction

SLOTS = ("early", "mid", "late", "last")
CONFIGS = 2 ** len(SLOTS)
LAYERS = 20
BINS = 64
PART_EPOCHS = 25
COLUMNS = ("epoch", "config", "val_accuracy", "val_loss", "strategy")
SECONDS = 60

LogTable = Callable[[wandb.Run, int, int], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """What logging a table took and made."""

    seconds: float
    artifacts: int
    artifact_bytes: int
    media_files: int
    media_bytes: int
    run_file_bytes: int


def _rows(epoch: int, rows: int) -> Iterator[list[Any]]:
    rng = random.Random(epoch)  # noqa: S311 -- numbers to be written down
    return ([epoch, f"{row:04b}", 100 * rng.random(), rng.random(), "full_factorial"] for row in range(rows))


def _at_the_end(run: wandb.Run, epochs: int, rows: int) -> None:
    run.log({"t": wandb.Table(columns=[*COLUMNS], data=[row for epoch in range(epochs) for row in _rows(epoch, rows)])})


def _growing(mode: str) -> LogTable:
    def log(run: wandb.Run, epochs: int, rows: int) -> None:
        growing = wandb.Table(columns=[*COLUMNS], log_mode=mode)  # type: ignore[arg-type]
        for epoch in range(epochs):
            for row in _rows(epoch, rows):
                growing.add_data(*row)
            run.log({"t": growing})

    return log


def _parts(run: wandb.Run, epochs: int, rows: int) -> None:
    for first in range(0, epochs, PART_EPOCHS):
        part = [row for epoch in range(first, min(first + PART_EPOCHS, epochs)) for row in _rows(epoch, rows)]
        run.log({f"t_{first}": wandb.Table(columns=[*COLUMNS], data=part)})


WAYS: dict[str, LogTable] = {
    "IMMUTABLE, once at the end": _at_the_end,
    f"IMMUTABLE, a new one every {PART_EPOCHS} epochs": _parts,
    "INCREMENTAL, every epoch": _growing("INCREMENTAL"),
    "MUTABLE, every epoch": _growing("MUTABLE"),
}
"""Ways to log a table that grows by some rows every epoch."""


def sent_by(way: str, epochs: int, rows: int, options: dict[str, Any]) -> Sent:
    """Log a table of so many epochs in one of the ways."""
    run = wandb.init(project="at-length", **options)
    began = time.perf_counter()
    WAYS[way](run, epochs, rows)
    seconds = time.perf_counter() - began
    folder = Path(run.dir).parent
    run.finish()
    file = finished_file(folder)
    sizes = [entry.size for artifact in file.artifacts for entry in artifact.entries]
    media = [path.stat().st_size for path in (folder / "files" / "media").rglob("*") if path.is_file()]
    return Sent(seconds, len(file.artifacts), sum(sizes), len(media), sum(media), file.path.stat().st_size)


def finished_file(folder: Path, *, rows: bool = False) -> WandbFile:
    """The run file in a folder, once W&B has closed it."""
    (path,) = folder.glob("run-*.wandb")
    deadline = time.monotonic() + SECONDS
    while (file := read_wandb_file(path, rows=rows)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return file


@dataclass(frozen=True, slots=True)
class Length:
    """How long a run is."""

    epochs: int
    decisions: int
    traces: int


def log_long_run(length: Length, run: karn_wandb.Run) -> None:
    """Log matrices of all coalitions, decisions and dense traces, spread over the epochs."""
    rng = random.Random(0)  # noqa: S311 -- numbers to be written down
    engine = CounterfactualEngine()
    for epoch in range(1, length.epochs + 1):
        values = {on: 50 + 10 * rng.random() for on in range(CONFIGS + 1)}
        run.log_counterfactual(engine.evaluate(SLOTS, lambda on, v=values: v[int("".join("01"[o] for o in on), 2)], epoch=epoch))
        for _ in range(_share(length.decisions, epoch, length.epochs)):
            _log_decision(run, rng)
        for _ in range(_share(length.traces, epoch, length.epochs)):
            _log_trace(run, epoch, rng)
        run.log_epoch(val_loss=rng.random(), val_accuracy=50 + rng.random())


def _share(total: int, epoch: int, epochs: int) -> int:
    return total * epoch // epochs - total * (epoch - 1) // epochs


def _log_decision(run: karn_wandb.Run, rng: random.Random) -> None:
    run.log_decision(
        observation_vector=tuple(rng.random() for _ in range(8)),
        action=FactoredAction("GERMINATE", slot=rng.choice(SLOTS), blueprint="conv_light", blend="linear"),
        action_log_probs={"op": -rng.random(), "slot": -rng.random()},
        value_estimate=rng.random(),
        reward_total=rng.random(),
        entropy=1 + rng.random(),
    )


def _log_trace(run: karn_wandb.Run, epoch: int, rng: random.Random) -> None:
    layers = [f"blocks.{layer}.weight" for layer in range(LAYERS)]
    edges = tuple(float(edge) for edge in range(BINS + 1))
    run.log_trace(
        trigger_reason="loss_spike",
        window_start_epoch=epoch,
        window_end_epoch=epoch,
        gradient_histograms={layer: tuple(float(rng.randrange(1000)) for _ in range(BINS)) for layer in layers},
        histogram_edges=dict.fromkeys(layers, edges),
        gradient_flow={layer: rng.random() for layer in layers},
    )


def rows_read_back(file: WandbFile) -> dict[str, tuple[int, int]]:
    """Of every table of a run, by its name: rows that are read, and rows that were logged but are not."""
    found = {}
    for row in file.rows:
        for key in [key.removesuffix(".artifact_path") for key in row if key.endswith(".artifact_path")]:
            read = logged_table(file, row, key)
            found[key] = (len(read.data), read.missing_rows)
    return found


def names_of(file: WandbFile) -> set[str]:
    """Metric names of a run: keys of its history that are not W&B's own, a media object under its one name."""
    names = {key for row in file.rows for key in row if not key.startswith("_")}
    media = {key.removesuffix("._type") for key in names if key.endswith("._type")}
    return {name for name in names if name.rpartition(".")[0] not in media} | media


def long_run(length: Length, options: dict[str, Any]) -> list[tuple[str, str]]:
    """Log a run, end it, move it, read it back; gives what was seen, in words and figures."""
    with karn_wandb.init("at-length", **options) as run:
        folder, run_id = Path(run.wandb.dir).parent, run.id
        began = time.perf_counter()
        log_long_run(length, run)
        logged = time.perf_counter()
        drain(run)
        drained, before = time.perf_counter(), resident_bytes()
    ended, most = time.perf_counter(), peak_bytes()
    file = finished_file(folder)
    entries = [entry for artifact in file.artifacts for entry in artifact.entries]
    seen = [
        ("events", f"{run.collector.log.next_sequence:,}"),
        ("log calls, s", f"{logged - began:.1f}"),
        ("waiting for W&B to have all rows after that, s", f"{drained - logged:.1f}"),
        ("finish: tables, artifacts, charts, s", f"{ended - drained:.1f}"),
        ("resident before finish, MiB", f"{before / MEBIBYTE:.0f}"),
        ("the most ever, MiB", f"{most / MEBIBYTE:.0f}"),
        ("record log, MB", f"{(folder / 'records.jsonl').stat().st_size / 1e6:.1f}"),
        ("W&B's run file, MB", f"{file.path.stat().st_size / 1e6:.1f}"),
        ("artifacts, tables among them", str(len(file.artifacts))),
        ("... bytes, MB", f"{sum(entry.size for entry in entries) / 1e6:.1f}"),
        ("files of the run beside them (W&B: below 1,000)", str(sum(p.is_file() for p in (folder / "files").rglob("*")))),
    ]
    moved = _moved(folder, entries)
    began = time.perf_counter()
    relocated = relocate(moved)
    seen.append(("relocate after the move, s", f"{time.perf_counter() - began:.1f}"))
    file = finished_file(moved, rows=True)
    entries = [entry for artifact in file.artifacts for entry in artifact.entries]
    whole = sum(artifact_bytes(entry) is not None for entry in entries)
    seen.append(("artifact files found where the run was moved to", f"{whole} of {len(entries)}; gone: {len(relocated.missing)}"))
    seen.append(("metric names (W&B: below 10,000 a project)", str(len(names_of(file)))))
    seen += [(f"rows of {name}, missing", f"{rows:,}, {gone}") for name, (rows, gone) in sorted(rows_read_back(file).items())]
    experiment = karn_wandb.load_experiment(moved)
    same = experiment.events(run_id, via="wandb") == experiment.events(run_id, via="log")
    seen.append(("events of W&B's rows equal those of the record log", "yes" if same else "NO"))
    return seen


def _moved(folder: Path, entries: Sequence[Any]) -> Path:
    """The run's folder under another name, and what W&B put elsewhere gone, as on another machine."""
    moved = Path(tempfile.mkdtemp(dir=folder.parents[1])) / folder.name
    shutil.move(folder, moved)
    for entry in entries:
        Path(entry.local_path).unlink(missing_ok=True)
    return moved


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--decisions", type=int, default=200_000)
    parser.add_argument("--traces", type=int, default=100)
    parser.add_argument("--only", choices=("table", "run"), help="one of the two parts")
    asked = parser.parse_args(arguments)
    print(f"{setting()}.\n", flush=True)
    if asked.only != "run":
        lines = []
        for way in WAYS:
            with offline_options() as options:
                sent = sent_by(way, asked.epochs, CONFIGS, options)
            sizes = (sent.artifact_bytes, sent.media_bytes, sent.run_file_bytes)
            artifacts, media, run_file = (f"{size / 1e6:.1f}" for size in sizes)
            lines.append((way, f"{sent.seconds:.1f}", str(sent.artifacts), artifacts, str(sent.media_files), media, run_file))
        header = (f"{asked.epochs} epochs x {CONFIGS} rows", "s", "artifacts", "MB", "media files", "MB", "run file, MB")
        print(table(header, lines), flush=True)
        print()
    if asked.only != "table":
        with offline_options() as options:
            seen = long_run(Length(asked.epochs, asked.decisions, asked.traces), options)
        print(table((f"{asked.epochs} epochs, {asked.decisions:,} decisions, {asked.traces} traces", ""), seen))


if __name__ == "__main__":
    main()
