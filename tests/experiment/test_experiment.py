"""An experiment: many runs, their frames and records, chosen by filters."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from logged import CONTEXT, MATRIX, context, epoch, event, outcome, stamped
from run_files import exit_record, record_log, run_record, write_run

from karn_wandb.errors import SourceError
from karn_wandb.experiment import Experiment, load_experiment
from karn_wandb.experiment.runs import RunData
from karn_wandb.records import RunInfo, TelemetryEvent

PAIRED = replace(MATRIX, interaction_effects={("early", "mid"): 2.0})


def write(folder, run_id, *events, **config):
    info = event("TRAINING_STARTED", RunInfo(run_id))
    logged = stamped(info, *events)
    write_run(folder, run_id, [run_record(run_id, config=config), exit_record()], record_log(logged))
    return logged


@pytest.fixture
def folder(tmp_path):
    """A grown run, a host-only run, and a run of two episodes that differ in their task."""
    matrix = event("COUNTERFACTUAL_MATRIX_COMPUTED", PAIRED)
    write(tmp_path, "grown", context(), epoch(1, val_accuracy=10.0), matrix, outcome(), controller="heuristic", lr=0.1)
    write(tmp_path, "host", context(), epoch(1, val_accuracy=8.0), outcome(), controller="none", lr=0.1)
    write(
        tmp_path,
        "many",
        context((1, 0), scoped=True),
        context((2, 0), scoped=True, task_type="lm"),
        epoch(1, (1, 0), scoped=True),
        epoch(1, (2, 0), scoped=True),
        controller="policy",
    )
    return tmp_path


def test_frames_hold_all_runs(folder):
    experiment = load_experiment(folder)
    assert [run.run_id for run in experiment.runs] == ["grown", "host", "many"]
    assert experiment.episodes["run_id"].tolist() == ["grown", "host", "many", "many"]
    assert experiment.epochs["run_id"].tolist() == ["grown", "host", "many", "many"]
    assert experiment.counterfactuals["run_id"].tolist() == ["grown", "grown"]
    assert experiment.shapley["slot"].tolist() == ["early", "mid", "late"]
    assert experiment.interactions["slots"].tolist() == ["early,mid"]
    assert experiment.warnings == ()


def test_frames_are_made_once(folder):
    experiment = load_experiment(folder)
    assert experiment.episodes is experiment.episodes
    assert experiment.epochs is experiment.epochs


def test_an_experiment_cannot_be_changed(folder):
    with pytest.raises(FrozenInstanceError):
        load_experiment(folder).runs = ()


def test_several_sources_make_one_experiment(folder):
    one, other = (folder / f"offline-run-20261122_120000-{name}" for name in ("host", "grown"))
    assert [run.run_id for run in load_experiment(one, other / "run-grown.wandb").runs] == ["host", "grown"]


def test_records_are_what_was_logged(folder, tmp_path):
    experiment = load_experiment(folder)
    assert experiment.records("grown")[0] == RunInfo("grown")
    assert experiment.records("grown")[1] == CONTEXT
    assert experiment.records("grown")[3] == PAIRED


def test_an_event_without_a_record_is_a_record_itself(tmp_path):
    logged = write(tmp_path, "r", TelemetryEvent("MEMORY_WARNING", data={"used": 0.9}))
    assert load_experiment(tmp_path).records("r") == (RunInfo("r"), logged[1])
    assert load_experiment(tmp_path).events("r") == logged


def test_filters_choose_runs(folder):
    experiment = load_experiment(folder, filters={"controller": "heuristic"})
    assert [run.run_id for run in experiment.runs] == ["grown"]
    for frame in (experiment.episodes, experiment.epochs, experiment.counterfactuals, experiment.shapley):
        assert set(frame["run_id"]) == {"grown"}


def test_filters_choose_among_the_episodes_of_a_run(folder):
    experiment = load_experiment(folder, filters={"controller": "policy", "episode.task_type": "lm"})
    assert experiment.episodes[["run_id", "env_id"]].to_numpy().tolist() == [["many", 2]]
    assert experiment.epochs[["run_id", "env_id"]].to_numpy().tolist() == [["many", 2]]
    assert experiment.counterfactuals.empty


def test_filters_that_no_run_matches_are_a_clear_error(folder):
    with pytest.raises(SourceError) as raised:
        load_experiment(folder, filters={"controller": "none", "lr": 3})
    assert str(raised.value) == (
        "no run matches the filters; got controller = none, lr = 3. "
        "3 runs were read: look at the columns of load_experiment(...).episodes without filters."
    )


def test_an_unknown_run_is_a_clear_error(folder):
    with pytest.raises(SourceError) as raised:
        load_experiment(folder).records("mny")
    assert str(raised.value) == "the experiment has no run 'mny'. Its runs are many, grown, host."


def test_an_error_lists_few_of_many_runs():
    experiment = Experiment(tuple(RunData(f"run{i}", "here") for i in range(30)))
    with pytest.raises(SourceError) as raised:
        experiment.events("zzz")
    first = ", ".join(f"run{i}" for i in range(10))
    assert str(raised.value) == f"the experiment has no run 'zzz'. Its runs are {first} and 20 more."


def test_warnings_come_with_the_experiment(folder):
    log = folder / "offline-run-20261122_120000-host" / "records.jsonl"
    log.write_bytes(log.read_bytes()[:-3])
    (warning,) = load_experiment(folder).warnings
    assert warning.startswith("run host: the last line of the record log is torn (")
