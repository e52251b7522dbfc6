"""Weights & Biases instrument for morphogenetic training.

`init` starts an ordinary W&B run with the instrument around it; `load_experiment` and `build_report` turn many runs
into a verdict. Importing this package loads neither torch nor wandb nor pandas: what needs them is loaded when it is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from karn_wandb._version import __version__
from karn_wandb.errors import KarnError
from karn_wandb.records import (
    AdvantageStats,
    BatchMetrics,
    Comparison,
    CounterfactualConfig,
    CounterfactualMatrix,
    CounterfactualResult,
    CounterfactualValidityNote,
    DenseTrace,
    DenseTraceTrigger,
    EpisodeContext,
    EpochSnapshot,
    Evaluation,
    ExperimentAggregation,
    FactoredAction,
    GateEvaluationTrace,
    HealthReport,
    HostBaseline,
    HostSnapshot,
    KarnConfig,
    LSTMHealth,
    PolicySnapshot,
    PPOUpdate,
    RatioStats,
    RewardComponents,
    SeedStage,
    ShapleyEstimate,
    SlotSnapshot,
    TelemetryEvent,
    TelemetryEventType,
)

if TYPE_CHECKING:
    from karn_wandb.active import configure, emit, get_collector
    from karn_wandb.analysis import HealthMonitor, MorphogeneticAnalytics
    from karn_wandb.attribution import CounterfactualEngine, ModelEvaluator, interaction_index
    from karn_wandb.capture import capture_episode
    from karn_wandb.experiment import Experiment, aggregate, build_report, causal_contributions, load_experiment
    from karn_wandb.pipeline import KarnCollector
    from karn_wandb.run import Run
    from karn_wandb.start import init
    from karn_wandb.statistics import compare

_HOME = {
    "CounterfactualEngine": "attribution",
    "Experiment": "experiment",
    "HealthMonitor": "analysis",
    "KarnCollector": "pipeline",
    "ModelEvaluator": "attribution",
    "MorphogeneticAnalytics": "analysis",
    "Run": "run",
    "aggregate": "experiment",
    "build_report": "experiment",
    "capture_episode": "capture",
    "causal_contributions": "experiment",
    "compare": "statistics",
    "configure": "active",
    "emit": "active",
    "get_collector": "active",
    "init": "start",
    "interaction_index": "attribution",
    "load_experiment": "experiment",
}
"""Where each name lives that is loaded when it is first used."""

_ROOMS = frozenset(
    {
        "analysis",
        "attribution",
        "capture",
        "charts",
        "experiment",
        "integrations",
        "pipeline",
        "records",
        "schema",
        "sinks",
        "statistics",
        "testing",
    }
)
"""Rooms that are there without an import of their own, such as `karn_wandb.sinks.Dashboard`; they export the other names."""

__all__ = [
    "AdvantageStats",
    "BatchMetrics",
    "Comparison",
    "CounterfactualConfig",
    "CounterfactualEngine",
    "CounterfactualMatrix",
    "CounterfactualResult",
    "CounterfactualValidityNote",
    "DenseTrace",
    "DenseTraceTrigger",
    "EpisodeContext",
    "EpochSnapshot",
    "Evaluation",
    "Experiment",
    "ExperimentAggregation",
    "FactoredAction",
    "GateEvaluationTrace",
    "HealthMonitor",
    "HealthReport",
    "HostBaseline",
    "HostSnapshot",
    "KarnCollector",
    "KarnConfig",
    "KarnError",
    "LSTMHealth",
    "ModelEvaluator",
    "MorphogeneticAnalytics",
    "PPOUpdate",
    "PolicySnapshot",
    "RatioStats",
    "RewardComponents",
    "Run",
    "SeedStage",
    "ShapleyEstimate",
    "SlotSnapshot",
    "TelemetryEvent",
    "TelemetryEventType",
    "__version__",
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


def __getattr__(name: str) -> object:
    """Load what is heavy when it is first used."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Names for completion, the lazy ones included."""
    return sorted(__all__)
