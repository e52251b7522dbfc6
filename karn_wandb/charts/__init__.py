"""Charts as data: one Vega-Lite file each, filled with rows, drawn to SVG or PNG.

The same file serves the HTML report, a run's own charts and a preset of W&B's custom charts: its data set is named "wandb", its
fields and titles are W&B's placeholders `${field:...}` and `${string:...}`.
"""

from karn_wandb.charts.attribution import coalitions, evaluation_error, interactions, slot_values, waterfall
from karn_wandb.charts.chart import Chart, Plot
from karn_wandb.charts.page import html_document, to_page
from karn_wandb.charts.presets import Preset, plot, preset
from karn_wandb.charts.render import can_draw, fill, names, to_png, to_svg
from karn_wandb.charts.timeline import onset

__all__ = [
    "Chart",
    "Plot",
    "Preset",
    "can_draw",
    "coalitions",
    "evaluation_error",
    "fill",
    "html_document",
    "interactions",
    "names",
    "onset",
    "plot",
    "preset",
    "slot_values",
    "to_page",
    "to_png",
    "to_svg",
    "waterfall",
]
