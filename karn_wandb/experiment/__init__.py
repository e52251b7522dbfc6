"""Across runs: sources, tidy frames, claims, report."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from karn_wandb.experiment.aggregation import aggregate
    from karn_wandb.experiment.baseline import paired_baseline
    from karn_wandb.experiment.controls import causal_contributions
    from karn_wandb.experiment.experiment import Experiment, load_experiment
    from karn_wandb.experiment.report import Report, build_report
    from karn_wandb.experiment.scaling import scaling_curve

_HOME = {
    "Experiment": "experiment",
    "Report": "report",
    "aggregate": "aggregation",
    "build_report": "report",
    "causal_contributions": "controls",
    "load_experiment": "experiment",
    "paired_baseline": "baseline",
    "scaling_curve": "scaling",
}
"""Where each name lives, loaded when it is first used: a process that only reads runs needs no statistics."""

__all__ = [
    "Experiment",
    "Report",
    "aggregate",
    "build_report",
    "causal_contributions",
    "load_experiment",
    "paired_baseline",
    "scaling_curve",
]


def __getattr__(name: str) -> object:
    """Load a name's module."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
