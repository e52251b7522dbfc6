"""Several processes and several runs in one: who writes, and that nothing is mixed. Real processes, offline."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from finished import read_finished

import karn_wandb
from karn_wandb import KarnConfig, TelemetryEvent, TelemetryEventType
from karn_wandb.errors import UsageError
from karn_wandb.records import BatchMetrics, EpisodeOutcome, EpochSnapshot

pytestmark = pytest.mark.offline

TESTS = Path(__file__).parent.parent
SECONDS = 120
"""Long enough for any of the programs on a busy machine; one that hangs is ended by it."""


def start(program: str, folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # a wandb-core of its own
    return subprocess.Popen(
        [sys.executable, str(TESTS / "rank_training.py"), program, str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**kept, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]), **environment},
    )


def said_by(process: subprocess.Popen[str]) -> dict:
    """What a program said last."""
    try:
        output, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def whole(experiment: karn_wandb.Experiment):
    """The runs, each of which reads back from W&B's file as from its record log, with every event once."""
    for run in experiment.runs:
        read_finished(run.wandb_path)
        events = run.events(via="log")
        assert run.events(via="wandb") == events
        assert [event.sequence for event in events] == list(range(len(events)))
        assert run.state == "finished"
    return experiment.runs


def accuracies(run) -> list[float]:
    return [event.data.host.val_accuracy for event in run.events() if isinstance(event.data, EpochSnapshot)]


def losses(run) -> list[float]:
    return [event.data.loss for event in run.events() if isinstance(event.data, BatchMetrics)]


class TestRanks:
    @pytest.mark.parametrize("size", [3, pytest.param(8, marks=pytest.mark.slow)])
    def test_processes_into_one_group_are_as_many_runs_and_nothing_is_mixed(self, offline_folder, tmp_path, size):
        ranks = [start("ranked", tmp_path, "group", RANK=str(rank), WORLD_SIZE=str(size)) for rank in range(size)]
        assert [said_by(process)["disabled"] for process in ranks] == [False] * size
        experiment = karn_wandb.load_experiment(tmp_path)
        assert dict(zip(*(experiment.episodes[name] for name in ("name", "rank")), strict=True)) == {
            f"together-rank{rank}": rank for rank in range(size)
        }
        runs = {run.name: run for run in whole(experiment)}
        for rank in range(size):
            run = runs[f"together-rank{rank}"]
            assert (run.group, run.job_type) == ("together", "worker" if rank else "primary")
            assert {(event.rank, event.world_size) for event in run.events()} == {(rank, size)}
            assert accuracies(run) == losses(run) == [float(rank)] * 5
            assert (run.config["karn"]["rank"], run.config["karn"]["world_size"]) == (rank, size)

    def test_a_rank_that_does_not_write_makes_no_file_and_no_process(self, offline_folder, tmp_path):
        """Nor does anything but its return values say that it does not."""
        folder = tmp_path / "of-nobody"
        elsewhere = {"WANDB_DIR": str(tmp_path), "WANDB_DATA_DIR": str(tmp_path), "WANDB_CACHE_DIR": str(tmp_path)}
        said = said_by(start("ranked", folder, "rank0", RANK="1", WORLD_SIZE="2", **elsewhere))
        assert (said["children"], said["disabled"]) == (False, True)
        assert EpisodeOutcome.from_plain(said["outcome"]) == EpisodeOutcome(
            epochs=5, final_accuracy=1.0, final_loss=1.0, best_accuracy=1.0
        )
        assert list(tmp_path.rglob("*")) == []

    def test_every_call_returns_on_rank_1_what_it_returns_on_rank_0(self, offline_folder, tmp_path):
        def calls(rank):
            run = karn_wandb.init("t", dir=tmp_path, config={"lr": 1.0}, karn=KarnConfig(rank=rank, world_size=2))
            with pytest.raises(karn_wandb.KarnError, match="must be between 0 and 100"):
                run.log_epoch(val_accuracy=101.0)
            found = [
                run.log_epoch(val_accuracy=50.0, host_params=3),
                run.log_stage("a", "DORMANT", "GERMINATED"),
                run.log_baseline(initial_loss=1.0, initial_accuracy=9.0),
                run.episode(1).log_epoch(val_accuracy=60.0),
                run.analytics.latest,
                run.current_epoch,
                run.config["lr"],
                run.finish(),
            ]
            assert run.finish() is found[-1]
            return found

        assert calls(1) == calls(0)

    def test_what_a_rank_emits_says_so_unless_it_speaks_for_another(self, offline_folder, tmp_path):
        with karn_wandb.init("t", dir=tmp_path, karn=KarnConfig(rank=0, world_size=4)) as run:
            run.emit(TelemetryEvent(TelemetryEventType.ANALYTICS_SNAPSHOT, data={"of": "all"}, is_reduced=True))
            run.emit(TelemetryEvent(TelemetryEventType.ANALYTICS_SNAPSHOT, data={"of": "another"}, rank=3, world_size=4))
        (read,) = whole(karn_wandb.load_experiment(tmp_path))
        found = [(event.rank, event.is_reduced) for event in read.events() if isinstance(event.data, dict)]
        assert found == [(0, True), (3, False)]
        assert {event.world_size for event in read.events()} == {4}

    def test_the_rank_is_that_of_torch_distributed(self, offline_folder, tmp_path):
        """Two processes, spawned, over gloo; the values they log are reduced over both."""
        wrong = {"RANK": "7", "WORLD_SIZE": "9"}
        assert said_by(start("distributed", tmp_path, **wrong)) == {"codes": [0, 0]}
        (run,) = whole(karn_wandb.load_experiment(tmp_path))
        assert accuracies(run) == [1.0, 3.0, 5.0, 7.0, 9.0]
        assert {(event.rank, event.world_size) for event in run.events()} == {(0, 2)}


class TestForks:
    def test_copies_of_an_open_run_do_nothing_and_do_not_hang(self, offline_folder, tmp_path):
        said = said_by(start("forked", tmp_path))
        assert said == {"codes": [*range(10), -15]}
        (run,) = whole(karn_wandb.load_experiment(tmp_path))
        assert accuracies(run) == losses(run) == [1.0] * 200

    @pytest.mark.parametrize(("method", "times"), [("fork", 2), ("spawn", 1)])
    def test_workers_of_a_data_loader_write_nothing_and_do_not_hang(self, offline_folder, tmp_path, method, times):
        """Not even where importing the program begins a run."""
        squares = float(sum(index * index for index in range(8)))
        assert said_by(start("loaded", tmp_path, method, str(times))) == {"found": [squares] * times}
        (run,) = whole(karn_wandb.load_experiment(tmp_path))
        assert accuracies(run) == [1.0] * 5 * times
        assert not [event for event in run.events() if isinstance(event.data, dict)]

    def test_a_run_cannot_be_sent_to_another_process(self, offline_folder, tmp_path):
        with karn_wandb.init("t", dir=tmp_path) as run:
            for part in (run, run.episode(1), run.collector):
                with pytest.raises(UsageError) as raised:
                    pickle.dumps(part)
                assert str(raised.value) == (
                    "a run cannot be sent to another process, or be copied. "
                    "Log in the process that began it; what a worker found, let it return."
                )


def test_twenty_runs_at_once_in_one_process_are_kept_apart(offline_folder, tmp_path):
    together = threading.Barrier(20)

    def train(number: int) -> None:
        together.wait()
        with karn_wandb.init("t", dir=tmp_path, name=f"run {number}", config={"number": number}, group="twenty") as run:
            together.wait()
            for epoch in range(1, 21):
                run.log_batch(BatchMetrics(epoch, 0, loss=10.0 + number))
                run.log_epoch(val_accuracy=10.0 + number)
                run.wandb.log({"mine": number})

    threads = [threading.Thread(target=train, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = {run.name: run for run in whole(karn_wandb.load_experiment(tmp_path))}
    assert sorted(runs) == sorted(f"run {number}" for number in range(20))
    for number in range(20):
        run = runs[f"run {number}"]
        assert run.config["number"] == number
        assert accuracies(run) == losses(run) == [10.0 + number] * 20
        rows = read_finished(run.wandb_path).rows
        assert [row["mine"] for row in rows if "mine" in row] == [number] * 20
