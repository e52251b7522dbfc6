"""Tier 1: context, baseline, run, outcome."""

from __future__ import annotations

import math
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.records import EpisodeContext, EpisodeOutcome, HostBaseline, RunInfo

# Fields and values as in the requirement, tier 1
CONTEXT = {
    "episode_id": "0d9c1f0e",
    "timestamp": datetime(2025, 12, 14, tzinfo=UTC),
    "git_commit": "2016337e",
    "base_seed": 42,
    "torch_seed": 42,
    "numpy_seed": 42,
    "host_architecture": "cnn_3block",
    "host_params": 123_456,
    "slot_config": {"early": 64, "mid": 128, "late": 256},
    "max_epochs": 100,
    "task_type": "classification",
    "hyperparameters": {"lr": 3e-4, "batch_size": 128},
}
BASELINE = {
    "initial_loss": 2.303,
    "initial_accuracy": 10.0,
    "initial_checkpoint": Path("checkpoints/epoch0.pt"),
    "final_host_only_loss": 1.05,
    "final_host_only_accuracy": 62.3,
}


def test_the_requirements_fields_alone_make_a_context():
    context = EpisodeContext(**CONTEXT)
    assert {name: getattr(context, name) for name in CONTEXT} == CONTEXT


def test_the_requirements_fields_alone_make_a_baseline():
    baseline = HostBaseline(**BASELINE)
    assert {name: getattr(baseline, name) for name in BASELINE} == BASELINE
    assert baseline.checkpoint_retention_policy == "keep_last"


def test_a_baseline_without_its_end_is_one_whose_end_is_unknown():
    """What would have happened without seeds is None until a host-only run is known, never 0."""
    baseline = HostBaseline(initial_loss=2.3)
    assert baseline.final_host_only_accuracy is None
    assert baseline.final_host_only_loss is None


@pytest.mark.parametrize("policy", ["keep_all", "keep_last", "delete_after_run"])
def test_retention_policies_are_those_of_the_review(policy):
    assert HostBaseline(initial_loss=1.0, checkpoint_retention_policy=policy).checkpoint_retention_policy == policy


@pytest.mark.parametrize(
    ("cls", "given", "bad", "message"),
    [
        (
            HostBaseline,
            BASELINE,
            {"initial_checkpoint": b"PK\x03"},
            (
                "HostBaseline.initial_checkpoint must be a path; got b'PK\\x03' (bytes). "
                "Pass the path of a saved file, not its bytes."
            ),
        ),
        (
            HostBaseline,
            BASELINE,
            {"checkpoint_retention_policy": "forever"},
            (
                "HostBaseline.checkpoint_retention_policy must be one of 'keep_all', 'keep_last', 'delete_after_run'; "
                "got 'forever' (str)."
            ),
        ),
        (
            HostBaseline,
            BASELINE,
            {"initial_accuracy": math.nan},
            "HostBaseline.initial_accuracy must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100.",
        ),
        (
            HostBaseline,
            BASELINE,
            {"host_only_trajectory": {1: 101.0}},
            "HostBaseline.host_only_trajectory[1] must be between 0 and 100; got 101.0. Accuracies are percentages, 0 to 100.",
        ),
        (
            EpisodeContext,
            CONTEXT,
            {"timestamp": datetime(2025, 12, 14)},  # noqa: DTZ001 -- the naive datetime is the bad input
            (
                "EpisodeContext.timestamp must be a datetime with a time zone; got datetime.datetime(2025, 12, 14, 0, 0) "
                "(datetime). Use datetime.now(UTC)."
            ),
        ),
        (
            EpisodeContext,
            CONTEXT,
            {"base_seed": 2**64},
            "EpisodeContext.base_seed must be a whole number of at most 64 bits; got 18446744073709551616 (int).",
        ),
        (EpisodeContext, CONTEXT, {"host_params": -1}, "EpisodeContext.host_params must be at least 0; got -1."),
        (
            EpisodeContext,
            CONTEXT,
            {"slot_config": ["early"]},
            "EpisodeContext.slot_config must be a mapping from text to a whole number, at least 0; got ['early'] (list).",
        ),
        (
            EpisodeContext,
            CONTEXT,
            {"hyperparameters": {"a": {"$": 1}}},
            "EpisodeContext.hyperparameters['a'] may not hold the key '$'. It is reserved for the codec: rename it.",
        ),
        (
            EpisodeContext,
            CONTEXT,
            {"hyperparameters": {"optimizer": object}},
            (
                "EpisodeContext.hyperparameters['optimizer'] must be JSON values; got <class 'object'> (type). "
                "Use None, numbers, text, lists and mappings with text keys."
            ),
        ),
        (RunInfo, {"run_id": "a"}, {"tags": "one"}, "RunInfo.tags must be a sequence of text; got 'one' (str)."),
        (
            EpisodeOutcome,
            {"epochs": 3},
            {"state": "crashed"},
            "EpisodeOutcome.state must be one of 'finished', 'failed'; got 'crashed' (str).",
        ),
        (EpisodeOutcome, {"epochs": 3}, {"param_ratio": -0.5}, "EpisodeOutcome.param_ratio must be at least 0; got -0.5."),
    ],
)
def test_bad_input_is_refused_in_words(cls, given, bad, message):
    with pytest.raises(RecordError) as raised:
        cls(**{**given, **bad})
    assert str(raised.value) == message


def test_losses_are_observations_and_may_be_anything():
    assert math.isnan(HostBaseline(initial_loss=math.nan).initial_loss)
    assert EpisodeOutcome(epochs=1, final_loss=math.inf).final_loss == math.inf


def test_the_trajectory_is_in_the_order_of_its_epochs():
    assert list(HostBaseline(initial_loss=1.0, host_only_trajectory={3: 30, 1: 10, 2: 20}).host_only_trajectory) == [1, 2, 3]


def test_an_outcome_without_measurements_says_so():
    """Missing is None, not 0."""
    outcome = EpisodeOutcome(epochs=0)
    assert {f.name for f in fields(outcome) if getattr(outcome, f.name) is None} == {
        "final_accuracy",
        "final_loss",
        "best_accuracy",
        "total_params",
        "param_ratio",
        "accuracy_delta",
        "reward_total",
    }
