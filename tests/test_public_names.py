"""The names others rely on: written out here from the contract, so that none goes or comes unnoticed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import karn_wandb

# The requirement documents' own names
REQUIREMENT = [
    "AdvantageStats",
    "BatchMetrics",
    "CounterfactualConfig",
    "CounterfactualMatrix",
    "CounterfactualResult",
    "CounterfactualValidityNote",
    "DenseTrace",
    "DenseTraceTrigger",
    "EpisodeContext",
    "EpochSnapshot",
    "ExperimentAggregation",
    "FactoredAction",
    "GateEvaluationTrace",
    "HealthMonitor",
    "HealthReport",
    "HostBaseline",
    "HostSnapshot",
    "KarnCollector",
    "KarnConfig",
    "LSTMHealth",
    "MorphogeneticAnalytics",
    "PolicySnapshot",
    "RatioStats",
    "RewardComponents",
    "SeedStage",
    "ShapleyEstimate",
    "SlotSnapshot",
    "TelemetryEvent",
    "TelemetryEventType",
]

# What the package adds
BESIDE = ["Comparison", "CounterfactualEngine", "Evaluation", "Experiment", "KarnError", "ModelEvaluator", "PPOUpdate", "Run"]

FUNCTIONS = [
    "aggregate",
    "build_report",
    "capture_episode",
    "causal_contributions",
    "compare",
    "configure",
    "emit",
    "get_collector",
    "init",
    "interaction_index",
    "load_experiment",
]


def test_the_public_names_are_the_contracts():
    assert sorted(karn_wandb.__all__) == sorted([*REQUIREMENT, *BESIDE, *FUNCTIONS, "__version__"])


@pytest.mark.parametrize("name", [*REQUIREMENT, *BESIDE])
def test_every_class_resolves(name):
    assert inspect.isclass(getattr(karn_wandb, name))
    assert getattr(karn_wandb, name).__name__ == name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_resolves(name):
    assert inspect.isfunction(getattr(karn_wandb, name))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'karn_wandb' has no attribute 'Telepathy'"):
        karn_wandb.Telepathy  # noqa: B018 -- asking is the test


@pytest.mark.parametrize("name", [*REQUIREMENT, *BESIDE, *FUNCTIONS])
def test_every_public_name_is_documented(name):
    assert (inspect.getdoc(getattr(karn_wandb, name)) or "").strip()


def test_completion_offers_every_public_name():
    assert dir(karn_wandb) == sorted(karn_wandb.__all__)


@pytest.mark.parametrize(
    "room", ["analysis", "attribution", "capture", "integrations", "pipeline", "records", "sinks", "testing"]
)
def test_what_a_room_exports_is_there_and_documented(room):
    package = import_module(f"karn_wandb.{room}")
    assert len(set(package.__all__)) == len(package.__all__)
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert (inspect.getdoc(value) or "").strip(), name


def test_rooms_are_there_without_an_import_of_their_own():
    program = "import karn_wandb; print(karn_wandb.sinks.Dashboard.__name__, karn_wandb.testing.recorded.__name__)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["Dashboard", "recorded"]
