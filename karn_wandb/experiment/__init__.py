"""Across runs: sources, tidy frames, claims, report."""

from karn_wandb.experiment.aggregation import aggregate
from karn_wandb.experiment.baseline import paired_baseline
from karn_wandb.experiment.controls import causal_contributions
from karn_wandb.experiment.experiment import Experiment, load_experiment
from karn_wandb.experiment.report import Report, build_report
from karn_wandb.experiment.scaling import scaling_curve

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
