"""Across runs: sources, tidy frames, claims, report."""

from karn_wandb.experiment.experiment import Experiment, load_experiment

__all__ = ["Experiment", "load_experiment"]
