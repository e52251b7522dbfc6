"""Frames: a row for what was logged, missing where it was not, columns and order that never depend on chance."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from logged import CONTEXT, MATRIX, context, epoch, event, outcome
from strategies import event_sequences

from karn_wandb.experiment.frames import (
    COUNTERFACTUALS,
    EPISODES,
    EPOCHS,
    INTERACTIONS,
    SHAPLEY,
    counterfactuals_frame,
    episodes_frame,
    epochs_frame,
    interactions_frame,
    shapley_frame,
)
from karn_wandb.experiment.runs import RunData
from karn_wandb.records import (
    CounterfactualMatrix,
    EpochSnapshot,
    InteractionEstimate,
    RunInfo,
    SeedStage,
    SlotSnapshot,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.schema.config import claims_config

ALL = (
    (episodes_frame, EPISODES),
    (epochs_frame, EPOCHS),
    (counterfactuals_frame, COUNTERFACTUALS),
    (shapley_frame, SHAPLEY),
    (interactions_frame, INTERACTIONS),
)


def run(*events: TelemetryEvent, run_id: str = "r", **fields: object) -> RunData:
    return RunData(run_id, "here", telemetry=events, **fields)


def only(frame: pd.DataFrame) -> dict[str, object]:
    """The one row; missing values as None."""
    (row,) = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return row


def test_frames_without_rows_keep_their_columns_and_types():
    for frame_of, columns in ALL:
        assert {name: str(kind) for name, kind in frame_of([]).dtypes.items()} == columns


@settings(max_examples=25)
@given(event_sequences(min_size=6))
def test_any_events_make_frames_of_the_same_columns_and_types(events):
    """A row per epoch and per coalition; sorted; never an error."""
    runs = [run(*events, run_id="b"), run(*events, run_id="a")]
    for frame_of, columns in ALL:
        frame = frame_of(runs)
        assert list(frame.columns[: len(columns)]) == list(columns)
        assert list(frame.columns[len(columns) :]) == sorted(frame.columns[len(columns) :])
        keys = [name for name in ("run_id", "env_id", "episode_idx", "epoch") if name in frame]
        assert frame[keys].equals(frame[keys].sort_values(keys, kind="stable").reset_index(drop=True))
    assert len(epochs_frame(runs)) == 2 * sum(isinstance(e.data, EpochSnapshot) for e in events)
    matrices = [e.data for e in events if isinstance(e.data, CounterfactualMatrix)]
    assert len(counterfactuals_frame(runs)) == 2 * sum(len(matrix.configs) for matrix in matrices)
    assert set(episodes_frame(runs)["run_id"]) == {"a", "b"}


def test_an_episode_is_told_by_its_last_epoch():
    """Whatever the outcome says, and in whatever order the epochs come; epoch 0 is the untrained baseline."""
    found = run(
        context(),
        epoch(0, val_accuracy=9.0, val_loss=2.3),
        epoch(2, val_accuracy=60.0, val_loss=math.inf, host_params=90, total_seed_params=10, total_params=100),
        epoch(1, val_accuracy=70.0, val_loss=1.0),
        outcome(epochs=2, final_accuracy=1.0, reward_total=-0.5),
    )
    row = only(episodes_frame([replace(found, name="n", group="g")]))
    assert {name: row[name] for name in EPISODES if name != "wall_clock_s"} == {
        "run_id": "r",
        "name": "n",
        "group": "g",
        "rank": 0,
        "source": "here",
        "state": "finished",
        "reason": "",
        "env_id": 0,
        "episode_idx": 0,
        "base_seed": 7,
        "epochs": 2,
        "final_accuracy": 60.0,
        "final_loss": math.inf,
        "best_accuracy": 70.0,
        "total_params": 100,
        "host_params": 90,
        "reward_total": -0.5,
        "git_commit": "c" * 40,
        "started": pd.Timestamp(2026, 11, 22, 12, tz="UTC"),
        "ended_at": pd.Timestamp(found.telemetry[-1].timestamp),
        "claims_sha256": None,
        "claims": None,
    }


def test_an_episode_has_the_rank_of_the_process_whose_run_it_is_in():
    """Not that of others whose values it gathered, and none where nothing was logged."""
    events = (replace(context(), rank=2, world_size=4), replace(epoch(1, val_accuracy=1.0), rank=3, world_size=4))
    assert only(episodes_frame([run(*events)]))["rank"] == 2
    assert only(episodes_frame([run()]))["rank"] is None


TEXT, OTHER = "claims: [1]", "claims: [2]"


def info(claims: str) -> TelemetryEvent:
    return TelemetryEvent(TelemetryEventType.TRAINING_STARTED, data=RunInfo(run_id="r", claims=claims))


@pytest.mark.parametrize(
    ("events", "said", "text", "hashed"),
    [
        ([info(TEXT)], None, TEXT, TEXT),
        ([info(TEXT), info(OTHER)], claims_config(OTHER)["karn_claims"], TEXT, TEXT),
        ([info("")], None, None, None),
        ([info(""), info(TEXT)], claims_config(TEXT)["karn_claims"], None, None),
        ([], claims_config(TEXT)["karn_claims"], TEXT, TEXT),
        ([], {"sha256": "0" * 64, "text": TEXT}, TEXT, TEXT),
        ([info("")], {"sha256": "ab12"}, None, "ab12"),
        ([], {"sha256": 5, "text": ["x"]}, None, None),
        ([], "not ours", None, None),
    ],
    ids=[
        *("logged", "resumed with another file", "none", "resumed with a file", "config alone", "hash that is not the text's"),
        *("an older run", "other types", "no mapping"),
    ],
)
def test_the_claims_of_a_run_are_those_it_was_started_with(events, said, text, hashed):
    found = only(episodes_frame([run(*events, context(), epoch(1), config={} if said is None else {"karn_claims": said})]))
    wanted = hashed if hashed in (None, "ab12") else hashlib.sha256(hashed.encode()).hexdigest()
    assert (found["claims"], found["claims_sha256"]) == (text, wanted)
    assert not [name for name in found if name.startswith("config.")]


def test_an_episode_that_goes_on_has_not_ended():
    row = only(episodes_frame([run(context(), outcome(epochs=1, reward_total=2.0), epoch(1))]))
    assert (row["ended_at"], row["reward_total"]) == (None, None)


def test_the_reward_is_the_outcome_s_own_in_each_episode_and_missing_without_one():
    found = run(
        *(epoch(1, (0, number), scoped=True) for number in range(3)),
        outcome((0, 0), epochs=1, reward_total=1.5, scoped=True),
        outcome((0, 1), epochs=1, scoped=True),
    )
    rewards = episodes_frame([found])["reward_total"]
    assert rewards.isna().tolist() == [False, True, True]
    assert rewards[0] == 1.5


def test_what_the_last_epoch_did_not_measure_is_missing_not_taken_from_an_earlier_one():
    row = only(episodes_frame([run(context(), epoch(1, val_accuracy=50.0, val_loss=1.0), epoch(2, val_loss=math.nan))]))
    assert (row["final_accuracy"], row["final_loss"], row["best_accuracy"], row["total_params"]) == (None, None, 50.0, None)
    assert row["host_params"] == 100


def test_the_outcome_serves_when_no_epoch_can_be_read():
    row = only(
        episodes_frame([run(context(), outcome(epochs=5, final_accuracy=1.0, final_loss=2.0, best_accuracy=3.0, total_params=4))])
    )
    names = ("epochs", "final_accuracy", "final_loss", "best_accuracy", "total_params")
    assert [row[name] for name in names] == [5, 1.0, 2.0, 3.0, 4]


def test_a_run_without_any_event_has_a_row():
    """A crashed run is never lost; what W&B's config kept of its context is used."""
    config = {"episode": CONTEXT.to_plain(), "lr": 0.1, "karn": {}, "karn_schema": 1}
    row = only(episodes_frame([run(config=config, reason="killed")]))
    assert (row["state"], row["reason"], row["env_id"], row["episode_idx"], row["epochs"]) == ("crashed", "killed", 0, 0, 0)
    assert (row["base_seed"], row["config.lr"], row["final_accuracy"]) == (7, 0.1, None)


def test_a_run_that_is_not_ours_has_a_row():
    """Of plain W&B, with an `episode` of the user's own in its config."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    row = only(episodes_frame([run(config={"episode": {"n": 1}, "lr": 0.1}, state="finished", reason="", started=begun)]))
    assert (row["state"], row["base_seed"], row["config.lr"], row["started"]) == ("finished", None, 0.1, pd.Timestamp(begun))


def test_config_and_context_are_flattened_each_column_in_one_type():
    """Whole and fractional numbers of one name are numbers; what has no common type stays as it is."""
    first = {"lr": 1, "n": 3, "flag": True, "text": "a", "mixed": 1, "list": [1, 2], "deep": {"a": {"b": "x"}}, "empty": {}}
    second = {"lr": 0.5, "n": 2**63, "flag": None, "mixed": "one", "deep": {"a": {"b": "y"}}}
    frame = episodes_frame([run(context(), config=first), run(run_id="s", config=second)])
    assert {name: str(kind) for name, kind in frame.dtypes.items() if name.startswith("config.")} == {
        "config.deep.a.b": "str",
        "config.flag": "boolean",
        "config.list": "object",
        "config.lr": "float64",
        "config.mixed": "object",
        "config.n": "object",
        "config.text": "str",
    }
    assert list(frame["config.n"]) == [3, 2**63]
    row = frame.iloc[0]
    assert (row["episode.hyperparameters.lr"], row["episode.hyperparameters.opt.name"]) == (0.1, "sgd")
    assert (row["episode.slot_config.early"], row["episode.torch_seed"]) == (8, 2**64 - 1)
    assert "episode.timestamp" not in frame


def test_each_episode_of_many_has_a_row_and_an_end_of_its_own():
    """The first finished, the second was cut off by the crash; the process's own context is no episode."""
    found = run(
        context(),
        context((1, 0), scoped=True, base_seed=11),
        epoch(1, (1, 0), val_accuracy=10.0, scoped=True),
        outcome((1, 0), epochs=1, scoped=True),
        epoch(1, (1, 1), val_accuracy=20.0, scoped=True),
        reason="killed",
    )
    frame = episodes_frame([found])
    names = ["env_id", "episode_idx", "base_seed", "final_accuracy", "state", "reason"]
    assert frame[names].to_numpy().tolist() == [[1, 0, 11, 10.0, "finished", ""], [1, 1, 7, 20.0, "crashed", "killed"]]


def test_an_environment_that_was_begun_and_never_trained_has_a_row():
    found = run(context(), context(scoped=True), epoch(1, (1, 0), val_accuracy=10.0, scoped=True))
    assert episodes_frame([found])[["env_id", "epochs"]].to_numpy().tolist() == [[0, 0], [1, 1]]


def test_an_epoch_has_the_hosts_and_every_slots_fields():
    slot = SlotSnapshot(
        "mid", SeedStage.BLENDING, 2, "mid-0", "conv_light", 10, 0.5, -1.5, 2.0, None, "G2", last_gate_passed=True
    )
    row = only(epochs_frame([run(epoch(3, slots=[slot], train_loss=math.nan, val_accuracy=50.0, seed_grad_norms={"mid": 0.25}))]))
    assert {name: value for name, value in row.items() if value is not None} == {
        "run_id": "r",
        "env_id": 0,
        "episode_idx": 0,
        "epoch": 3,
        "val_accuracy": 50.0,
        "seed_grad_norms.mid": 0.25,
        "slot.mid.stage": "BLENDING",
        "slot.mid.epochs_in_stage": 2,
        "slot.mid.seed_id": "mid-0",
        "slot.mid.blueprint_id": "conv_light",
        "slot.mid.seed_params": 10,
        "slot.mid.alpha": 0.5,
        "slot.mid.counterfactual_contribution": -1.5,
        "slot.mid.total_improvement": 2.0,
        "slot.mid.last_gate_attempted": "G2",
        "slot.mid.last_gate_passed": True,
    }


def test_rows_are_sorted_by_run_environment_episode_and_epoch():
    events = [epoch(2, (1, 0)), epoch(10, (0, 1)), epoch(9, (0, 1)), epoch(1)]
    frame = epochs_frame([run(*events, run_id="b"), run(epoch(5), run_id="a")])
    assert frame[["run_id", "env_id", "episode_idx", "epoch"]].to_numpy().tolist() == [
        ["a", 0, 0, 5],
        ["b", 0, 0, 1],
        ["b", 0, 1, 9],
        ["b", 0, 1, 10],
        ["b", 1, 0, 2],
    ]


def test_each_coalition_has_a_row():
    early = {"n_examples": 500, "examples_available": 2000, "early_stop": "every claim is decided"}
    frame = counterfactuals_frame([run(event("COUNTERFACTUAL_MATRIX_COMPUTED", replace(MATRIX, **early)))])
    assert frame.iloc[0].to_dict() == {
        "run_id": "r",
        "env_id": 0,
        "episode_idx": 0,
        "epoch": 4,
        "strategy": "full_factorial",
        "metric": "accuracy",
        "complete": False,
        "slots": "early,mid,late",
        "config": "101",
        "val_loss": 1.0,
        "val_accuracy": 60.0,
        "n_examples": 500,
        "examples_available": 2000,
        "early_stop": "every claim is decided",
    }
    assert frame["config"].tolist() == ["101", "000"]
    assert frame["val_loss"].isna().tolist() == [False, True]


def test_each_slot_has_a_row_also_one_without_an_estimate():
    frame = shapley_frame([run(event("COUNTERFACTUAL_MATRIX_COMPUTED", MATRIX))])
    names = [
        "slot",
        "mean",
        "std",
        "ci_low",
        "ci_high",
        "n_samples",
        "algorithm",
        "exact",
        "marginal",
        "marginal_basis",
        "metric",
    ]
    known = frame[names].astype(object).where(frame[names].notna(), None).to_numpy().tolist()
    basis = ["factorial_main_effect", "accuracy"]
    assert known == [
        ["early", 1.5, 0.25, 1.0, 2.0, 8, "exact", True, 1.0, *basis],
        ["mid", None, None, None, None, None, None, None, 2.0, *basis],
        ["late", None, None, None, None, None, None, None, None, *basis],
    ]


def test_an_estimate_s_row_says_where_its_error_comes_from():
    parts = {"sampling_std": 0.3, "evaluation_std": 0.4, "evaluation_method": "per_example"}
    matrix = replace(MATRIX, shapley_values={"early": replace(MATRIX.shapley_values["early"], **parts)})
    row = shapley_frame([run(event("COUNTERFACTUAL_MATRIX_COMPUTED", matrix))]).iloc[0]
    assert {name: row[name] for name in parts} == parts


def test_each_pair_has_a_row_undecided_where_only_its_effect_is_known():
    known = InteractionEstimate(2.0, 0.5, 1.0, 3.0, "synergy", "per_example")
    effects = {("early", "mid"): 2.0, ("early", "late"): -1.0}
    pairs = {"interaction_effects": effects, "interactions": {("early", "mid"): known}, "interaction_basis": "empty_corner"}
    frame = interactions_frame([run(event("COUNTERFACTUAL_MATRIX_COMPUTED", replace(MATRIX, **pairs)))])
    shown = frame.drop(columns=["run_id", "env_id", "episode_idx"]).astype(object)
    assert shown.where(shown.notna(), None).to_numpy().tolist() == [
        [4, "early,late", -1.0, None, None, None, "undecided", None, "empty_corner", "accuracy"],
        [4, "early,mid", 2.0, 0.5, 1.0, 3.0, "synergy", "per_example", "empty_corner", "accuracy"],
    ]


@pytest.mark.parametrize("frame_of", [frame_of for frame_of, _ in ALL])
def test_the_order_of_runs_changes_nothing(frame_of):
    runs = [
        run(context(), epoch(1), event("COUNTERFACTUAL_MATRIX_COMPUTED", MATRIX), run_id=name, config={name: 1}) for name in "abc"
    ]
    assert frame_of(runs).equals(frame_of(runs[::-1]))


def test_wall_clock_time_is_from_the_first_record_of_an_episode_to_its_last_epoch():
    """Not to its outcome, and not that of another episode."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    events = [context(), epoch(0), epoch(1), outcome(epochs=1)]
    timed = [replace(e, timestamp=begun + timedelta(seconds=s)) for e, s in zip(events, (0, 5, 92.5, 300), strict=True)]
    later = [replace(e, timestamp=e.timestamp + timedelta(seconds=400), episode_idx=1) for e in timed]
    frame = episodes_frame([run(*timed, *later), run(context(), outcome(epochs=1), run_id="s")])
    assert list(frame["wall_clock_s"][:2]) == [92.5, 92.5]
    assert math.isnan(frame["wall_clock_s"][2]), "without an epoch nothing says how long it trained"
