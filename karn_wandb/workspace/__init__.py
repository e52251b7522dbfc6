"""What is saved in W&B for people to look at: a workspace with the five questions, charts, a report with the verdict."""

from karn_wandb.workspace.layout import SECTIONS, Section
from karn_wandb.workspace.presets import register_charts
from karn_wandb.workspace.saved import publish_report, save_workspace

__all__ = ["SECTIONS", "Section", "publish_report", "register_charts", "save_workspace"]
