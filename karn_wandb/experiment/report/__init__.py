"""The report over many runs: one content, written as HTML, Markdown or JSON."""

from karn_wandb.experiment.report.report import Report, build_report

__all__ = ["Report", "build_report"]
