"""A local sweep: every run once, whatever happens to the sweep; nothing of it is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_files import alive, begun, plain_sweep, sweep_file

from karn_wandb.errors import SweepError
from karn_wandb.pipeline import write_log
from karn_wandb.records import EpochSnapshot, HostSnapshot, TelemetryEvent, TelemetryEventType
from karn_wandb.sweeps import LocalSweep
from karn_wandb.sweeps.journal import JOURNAL

RUNNER = """
import os, sys
from pathlib import Path
from karn_wandb.sweeps import LocalSweep, read_sweep

result = LocalSweep(read_sweep(sys.argv[1]), Path(sys.argv[2]), jobs=2, environ=os.environ, grace=5).run()
print([run.state for run in result.runs])
"""


def swept(file, folder, **options):
    return LocalSweep(file, folder, **{"jobs": 2, "environ": os.environ, "grace": 5.0, **options}).run()


def in_a_process(file, folder, **options):
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(file.path), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def wait_for(condition, seconds=60):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def events(folder, kind):
    entries = map(json.loads, (folder / JOURNAL).read_text().splitlines())
    return [entry for entry in entries if entry["event"] == kind]


def test_every_run_is_run_once_with_its_values(tmp_path):
    result = swept(plain_sweep(tmp_path, 5), tmp_path / "out")
    assert [run.state for run in result.runs] == ["finished"] * 5
    assert result.worked
    assert sorted(n for n, _ in begun(tmp_path)) == [0, 1, 2, 3, 4]
    assert [run.parameters["n"] for run in result.runs] == [0, 1, 2, 3, 4]


def test_called_again_nothing_is_run_again(tmp_path):
    file = plain_sweep(tmp_path, 3)
    first = swept(file, tmp_path / "out")
    assert swept(file, tmp_path / "out") == first
    assert len(begun(tmp_path)) == 3


def test_a_run_that_fails_is_recorded_with_its_code_and_its_last_lines_and_the_others_go_on(tmp_path):
    told = []
    file = plain_sweep(tmp_path, 2, code=[0, 3])
    result = swept(file, tmp_path / "out", told=lambda sweep, line: told.append(line))
    assert [(run.state, run.exit_code) for run in result.runs] == [("finished", 0), ("failed", 3)] * 2
    assert result.runs[1].why == "the value was 0"
    assert not result.worked
    assert f"run 2 failed with exit code 3 ({result.runs[1].run_id}):\nthe value was 0" in told
    assert swept(file, tmp_path / "out").runs == result.runs


def test_failed_runs_are_run_again_when_that_is_asked_for_and_no_others(tmp_path):
    file = plain_sweep(tmp_path, 2, code=[0, 3])
    swept(file, tmp_path / "out")
    mended = {**os.environ, "PLAIN_CODE": "0"}
    result = LocalSweep(file, tmp_path / "out", jobs=2, environ=mended).run(retry_failed=True)
    assert [(run.state, run.attempts) for run in result.runs] == [("finished", 1), ("finished", 2)] * 2
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 4
    assert len(list((tmp_path / "out" / "superseded").iterdir())) == 2


def test_a_command_that_cannot_be_started_is_a_failed_run(tmp_path):
    file = sweep_file(tmp_path, command=["no-such-program"], parameters={"a": {"value": 1}})
    (run,) = swept(file, tmp_path / "out").runs
    assert (run.state, run.exit_code, run.why) == ("failed", 127, "no-such-program: No such file or directory")


def test_an_unknown_macro_is_said_before_anything_starts(tmp_path):
    with pytest.raises(SweepError, match="unknown macro"):
        swept(sweep_file(tmp_path, command=["${argh}"], parameters={"a": {"value": 1}}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_file_in_the_same_folder_is_refused(tmp_path):
    swept(plain_sweep(tmp_path, 1), tmp_path / "out")
    with pytest.raises(SweepError, match="holds another sweep: its sha256 differs"):
        swept(plain_sweep(tmp_path, 2), tmp_path / "out")


def test_killed_in_the_middle_it_goes_on_with_every_run_finished_once_and_no_process_left(tmp_path):
    file, out = plain_sweep(tmp_path, 4, seconds=0.5), tmp_path / "out"
    first = in_a_process(file, out)
    wait_for(lambda: len(begun(tmp_path)) > 2)
    first.kill()
    first.communicate()
    second = in_a_process(file, out)
    output, _ = second.communicate()
    assert output == f"{['finished'] * 4}\n"
    ends = [entry["index"] for entry in events(out, "ended") if entry["state"] == "finished"]
    assert sorted(ends) == [0, 1, 2, 3]
    interrupted = [entry["index"] for entry in events(out, "ended") if entry["state"] == "waiting"]
    assert interrupted
    assert 4 < len(begun(tmp_path)) <= 4 + len(interrupted)
    assert len(list((out / "runs").iterdir())) == 4
    assert len(list((out / "superseded").iterdir())) == len(interrupted)
    assert not [pid for _, pid in begun(tmp_path) if alive(pid)]


def test_a_run_that_finished_after_the_sweep_was_killed_counts(tmp_path):
    """Its guard has written how it ended; the journal has not."""
    file, out = plain_sweep(tmp_path, 1), tmp_path / "out"
    swept(file, out)
    path = out / JOURNAL
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b'"ended"' not in line))
    assert [run.state for run in swept(file, out).runs] == ["finished"]
    assert len(begun(tmp_path)) == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_an_interrupt_ends_the_runs_and_they_are_begun_again(tmp_path, signum):
    file, out = plain_sweep(tmp_path, 2, seconds=[60.0]), tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "karn_wandb", "sweep", str(file.path), "--local", "--jobs", "2", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(begun(tmp_path)) == 2)
    process.send_signal(signum)
    process.communicate()
    assert process.returncode == 128 + signum
    assert not [pid for _, pid in begun(tmp_path) if alive(pid)]
    assert [entry["state"] for entry in events(out, "ended")] == ["waiting", "waiting"]
    assert not list((out / "runs").iterdir())


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
other = subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
with open(sys.argv[1], "a") as log:
    log.write(f"0 {os.getpid()}\\n0 {other.pid}\\n")
time.sleep(600)
"""


def test_a_run_that_will_not_end_is_killed_with_what_it_started_in_sessions_of_their_own(tmp_path, monkeypatch):
    from karn_wandb.sweeps import guard

    short = tmp_path / "guard.py"
    short.write_text(Path(guard.__file__).read_text().replace("LINGER = 15.0", "LINGER = 0.2"))
    monkeypatch.setattr(guard, "__file__", str(short))
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    command = [sys.executable, "-S", str(tmp_path / "stubborn.py"), str(tmp_path / "begun")]
    file = sweep_file(tmp_path, command=command, parameters={"a": {"value": 1}})

    def interrupt(sweep, line):
        if sweep.count("running"):
            wait_for(lambda: len(begun(tmp_path)) == 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(file, tmp_path / "out", told=interrupt, grace=0.2)
    assert not [pid for _, pid in begun(tmp_path) if alive(pid)]
    assert [entry["state"] for entry in events(tmp_path / "out", "ended")] == ["waiting"]


def test_a_guard_that_is_killed_is_a_failed_run_and_its_process_is_ended(tmp_path):
    file = plain_sweep(tmp_path, 1, seconds=600.0)

    def kill(sweep, line):
        if sweep.count("running"):
            wait_for(lambda: begun(tmp_path))
            guarded = begun(tmp_path)[0][1]
            os.kill(int(Path(f"/proc/{guarded}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)

    (run,) = swept(file, tmp_path / "out", told=kill, jobs=1).runs
    assert (run.state, run.exit_code, run.why.strip()) == ("failed", -signal.SIGKILL, "its guard ended")
    wait_for(lambda: not alive(begun(tmp_path)[0][1]))


LOGGING = """
import json, os, shutil, sys, time
from pathlib import Path

values = json.loads(Path(sys.argv[1]).read_text())
shutil.copy(Path(__file__).with_name(f"{values['accuracy']}.jsonl"), Path(os.environ["WANDB_DIR"]) / "records.jsonl")
time.sleep(600 if values["accuracy"] < 50 else 0)
"""
"""Has the record log of a training of three epochs at once; then trains on for ever when it is a bad one."""


def logging_sweep(folder, *accuracies, **config):
    for accuracy in accuracies:
        epochs = [EpochSnapshot(epoch=n, host=HostSnapshot(epoch=n, val_accuracy=float(accuracy))) for n in range(1, 4)]
        events = [TelemetryEvent(TelemetryEventType.EPOCH_COMPLETED, data=each, sequence=n) for n, each in enumerate(epochs)]
        write_log(folder / f"{accuracy}.jsonl", events)
    (folder / "logging_.py").write_text(LOGGING)
    return sweep_file(
        folder,
        command=[sys.executable, "-S", str(folder / "logging_.py"), "${args_json_file}"],
        parameters={"accuracy": {"values": list(accuracies)}},
        metric={"name": "host/val_accuracy", "goal": "maximize", **config.pop("metric", {})},
        **config,
    )


def test_hyperband_stops_the_runs_that_fall_behind_and_their_end_says_why(tmp_path):
    stop = {"type": "hyperband", "min_iter": 2, "eta": 3}
    file = logging_sweep(tmp_path, 80, 10, early_terminate=stop)
    result = swept(file, tmp_path / "out", jobs=1)
    assert [(run.state, run.value) for run in result.runs] == [("finished", 80.0), ("stopped", 10.0)]
    assert result.worked
    assert result.runs[1].why == (
        "was stopped early: host/val_accuracy 10 after 2 values, where the best 1/3 of the runs had 80 or better"
    )


def test_a_target_that_is_reached_ends_the_search(tmp_path):
    file = logging_sweep(tmp_path, 60, 90, 70, 80, metric={"target": 85})
    assert [run.value for run in swept(file, tmp_path / "out", jobs=1).runs] == [60.0, 90.0]


def test_a_bayesian_search_without_its_metric_is_an_error(tmp_path):
    file = plain_sweep(tmp_path, 1)
    config = {**file.config, "method": "bayes", "run_cap": 2, "metric": {"name": "loss"}}
    config["parameters"] = {**config["parameters"], "x": {"min": 0.0, "max": 1.0}}
    result = swept(sweep_file(tmp_path, **config), tmp_path / "out")
    (problem,) = result.problems
    assert problem.endswith("finished and logged no 'loss', which the search needs. Name a key that every run logs under metric.")
    assert not result.worked
