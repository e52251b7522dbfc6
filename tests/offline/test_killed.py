"""Real processes that are killed at random moments: no epoch that was logged is lost, and an import restores W&B's run."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from finished import read_finished
from killed_training import BATCHES
from trainings import PATH, end, epochs_of, epochs_said, small_disk, training

import karn_wandb
from karn_wandb.cli import main
from karn_wandb.errors import KarnWarning
from karn_wandb.experiment.runs import events_of_rows, in_order
from karn_wandb.experiment.wandb_file import read_wandb_file
from karn_wandb.pipeline import LOG_NAME, read_log
from karn_wandb.records import BatchMetrics, EpisodeOutcome, RunInfo

pytestmark = pytest.mark.offline


def run_until(process: subprocess.Popen, rng: random.Random, most: int) -> tuple[str, list[int]]:
    """Read what a process says until it logged some epochs, then wait a moment; its run id and the epochs."""
    _, run_id, _ = process.stdout.readline().split()
    lines = [process.stdout.readline() for _ in range(rng.randrange(most))]
    time.sleep(rng.random() * 0.02)
    return run_id, epochs_said(lines)


def folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("wandb/offline-run-*/run-*.wandb"))


def kill_and_import(folder: Path, rng: random.Random, most: int) -> tuple[int, int]:
    """Kill a training process, import its record log; how many events there are, and how many W&B's own file lacked."""
    with training(folder) as process:
        run_id, said = run_until(process, rng, most)
        said += epochs_said(end(process, signal.SIGKILL, group=rng.random() < 0.5))
    (killed,) = folders(folder)
    log = read_log(killed / LOG_NAME)
    assert epochs_of(log.events)[: len(said)] == said, "an epoch that log_epoch had returned from is lost"
    assert len(log.damage) <= 1  # a torn last line
    delivered, _ = events_of_rows(read_wandb_file(killed / f"run-{run_id}.wandb").rows)
    everything = in_order(log.events, delivered)
    done = CliRunner().invoke(main, ["import", str(killed / LOG_NAME), "--into", str(killed)])
    assert done.exit_code == 0, done.output
    (imported,) = (path for path in folders(folder) if path != killed)
    file = read_finished(imported / f"run-{run_id}.wandb")
    rows, damage = events_of_rows(file.rows)
    assert damage == file.damage == ()
    assert rows == everything
    assert len([row for row in file.rows if "karn/rest" in row]) == len(rows)  # each once
    assert read_log(imported / LOG_NAME).events == everything
    lacked = int(done.output.split(" of them it lacked")[0].split()[-1])
    assert lacked == len(everything) - len(delivered)
    return len(everything), lacked


def test_what_sigkill_took_from_w_and_b_is_restored(offline_folder):
    rng = random.Random(1)
    for number in range(2):
        events, lacked = kill_and_import(offline_folder / f"killed-{number}", rng, 40)
        assert 0 <= lacked <= events


@pytest.mark.slow
def test_a_hundred_times(offline_folder, capsys):
    rng = random.Random(2)
    found = [kill_and_import(offline_folder / f"one-of-100-{number}", rng, 300) for number in range(100)]
    lacked = sorted(lack for _, lack in found)
    said = f"100 kills: {sum(n for n, _ in found)} events in the logs; W&B's files lacked {sum(lacked)}, at most {lacked[-1]}"
    with capsys.disabled():
        sys.stdout.write(f"\n{said}\n")


def test_a_killed_run_goes_on_and_reads_back_as_one(offline_folder):
    """Killed twice, then finished: one run, each epoch once, clocks without a gap."""
    folder, rng = offline_folder / "goes-on", random.Random(3)
    said: list[int] = []
    for _ in range(2):
        with training(folder, "on-and-on") as process:
            said += run_until(process, rng, 20)[1]
            said += epochs_said(end(process, signal.SIGKILL))
    last = said[-1] + 3 if said else 3
    with training(folder, "on-and-on", str(last)) as process:
        process.stdout.readlines()
        assert process.wait(120) == 0, process.stderr.read()
    experiment = karn_wandb.load_experiment(folder)
    (run,) = experiment.runs
    assert (run.run_id, run.state) == ("on-and-on", "finished")
    assert epochs_of(run.events()) == list(range(1, last + 1)) == experiment.epochs["epoch"].tolist()
    assert len([event for event in run.events() if isinstance(event.data, RunInfo)]) == 3
    ticks = [event.tick for event in run.events() if isinstance(event.data, BatchMetrics)]
    assert ticks == list(range(len(ticks)))
    assert len(ticks) >= BATCHES * last
    read_finished(folders(folder)[-1] / "run-on-and-on.wandb")
    with warnings.catch_warnings(action="ignore", category=KarnWarning):  # the files of killed processes end inside a record
        assert experiment.events("on-and-on", via="wandb") == experiment.events("on-and-on", via="log")
    assert all("the file " in line for line in experiment.warnings)


def test_sigterm_ends_the_process_with_everything_saved_and_its_reason(offline_folder):
    folder = offline_folder / "terminated"
    with training(folder, "asked-to-end") as process:
        _, said = run_until(process, random.Random(4), 20)
        said += epochs_said(end(process, signal.SIGTERM, group=False))
        assert process.returncode == -signal.SIGTERM
    log = read_log(folders(folder)[0] / LOG_NAME)
    assert epochs_of(log.events)[: len(said)] == said
    assert log.damage == ()
    outcome = log.events[-1].data
    assert isinstance(outcome, EpisodeOutcome)
    assert (outcome.state, outcome.reason) == ("failed", "terminated by SIGTERM")
    file = read_wandb_file(folders(folder)[0] / "run-asked-to-end.wandb")
    assert (events_of_rows(file.rows)[0], file.exit_code) == (log.events, 128 + signal.SIGTERM)
    with training(folder, "asked-to-end", str(outcome.epochs + 1)) as process:
        first = process.stdout.readline()
        process.stdout.readlines()
        assert process.wait(120) == 0, process.stderr.read()
    assert first == f"run asked-to-end {outcome.epochs + 1}\n"
    (run,) = karn_wandb.load_experiment(folder).runs
    assert run.state == "finished"


IN_A_CALL = """
import os, signal, sys
import karn_wandb
from logged import CONTEXT
run = karn_wandb.init("killed", dir=sys.argv[1], mode="offline", episode=CONTEXT)
run.log_epoch(val_accuracy=50.0)
with run.still():  # as inside of log_epoch, and of a user's run.wandb.log
    os.kill(os.getpid(), signal.SIGTERM)
while True:
    run.log_epoch(val_accuracy=50.0)
"""


def test_sigterm_inside_a_call_of_the_run_waits_for_its_end(offline_folder):
    folder = offline_folder / "in-a-call"
    folder.mkdir()
    command = [sys.executable, "-c", IN_A_CALL, folder]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=os.environ | {"PYTHONPATH": PATH})
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert read_log(folders(folder)[0] / LOG_NAME).events[-1].data.reason == "terminated by SIGTERM"


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


def test_training_goes_on_when_the_disk_of_the_record_log_is_full(disk):
    """The whole epochs up to then are there, and all of them once there is room again."""
    from karn_wandb.episode import EpisodeLog
    from karn_wandb.pipeline import KarnCollector, RecordLog

    log = RecordLog(disk / LOG_NAME)
    episode = EpisodeLog(KarnCollector(log=log))
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    with pytest.warns(KarnWarning, match="the record log failed: OSError"):
        _ = [episode.log_epoch(val_accuracy=50.0, val_loss=1.0) for _ in range(300)]
    assert log.last_error.errno == errno.ENOSPC
    kept = epochs_of(read_log(log.path).events)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) < 300
    ballast.unlink()
    episode.log_epoch(val_accuracy=50.0)
    assert episode.collector.close()
    assert epochs_of(read_log(log.path).events) == list(range(1, 302))
    assert episode.collector.dropped_records == 0
