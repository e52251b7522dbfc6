"""A chart as a page of its own: one picture for light and dark, no script, nothing fetched."""

from __future__ import annotations

from html import escape

from karn_wandb.charts.chart import Chart
from karn_wandb.charts.render import to_svg
from karn_wandb.printable import printable

_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

_STYLE = """:root { color-scheme: light dark; --page: #ffffff; --ink: #1b1f24; --quiet: #5a636e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171b; --ink: #e4e7eb; --quiet: #9aa4af; }
  svg { filter: brightness(1.3); }
}
body { margin: 0; padding: 10px; background: var(--page); color: var(--ink); font: 13px/1.5 system-ui, Arial, sans-serif; }
svg { display: block; width: 100%; max-width: 600px; height: auto; }
p { max-width: 80ch; margin: 8px 0 0; color: var(--quiet); overflow-wrap: anywhere; }
"""


def html_document(title: str, style: str, body: str) -> str:
    """A page that runs no script and fetches nothing, by its own policy.

    Args:
        title: Plain text; it is escaped.
        style: CSS, ending in a new line.
        body: HTML.
    """
    return _DOCUMENT.format(title=escape(printable(title)), style=style, body=body)


def to_page(chart: Chart) -> str:
    """The chart as HTML.

    Raises:
        KarnError: vl-convert is not installed.
    """
    caption = escape(printable(chart.caption))
    picture = to_svg(chart.spec(), prefix=chart.name).replace("<svg ", f'<svg role="img" aria-label="{caption}" ', 1)
    return html_document(chart.titles.get("title", chart.name), _STYLE, f"{picture}\n<p>{caption}</p>")
