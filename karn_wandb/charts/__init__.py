"""Charts as data: one Vega-Lite file each, filled with rows, drawn to SVG or PNG.

The same file serves the HTML report and a W&B custom chart: its data set is named "wandb", its fields and titles are W&B's
placeholders `${field:...}` and `${string:...}`.
"""

from karn_wandb.charts.render import fill, names, to_png, to_svg

__all__ = ["fill", "names", "to_png", "to_svg"]
