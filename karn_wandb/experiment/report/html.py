"""A report as one HTML file: pictures inline, no script, light and dark, on a phone, on paper."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from karn_wandb import charts
from karn_wandb.experiment.report.blocks import Block, Document, Figure, Figures, Items, Section, Table, Text, Verdict
from karn_wandb.printable import printable

_MOST_COLUMNS = 4
"""Columns that fit a phone with their texts wrapped; a wider table is scrolled sideways instead."""


def to_html(document: Document) -> str:
    """The page; every text in it is escaped, and its policy forbids scripts all the same.

    Raises:
        KarnError: vl-convert, which draws the charts, is not installed.
    """
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    sections = "\n".join(_section(section, f"s{place}") for place, section in enumerate(document.sections, 1))
    return charts.html_document(document.title, style, f"<main>\n<h1>{_text(document.title)}</h1>\n{sections}\n</main>")


def _text(text: str) -> str:
    """A text that no browser takes for anything else."""
    return escape(printable(text))


def _section(section: Section, name: str) -> str:
    blocks = "\n".join(_block(block, f"{name}-{place}") for place, block in enumerate(section.blocks, 1))
    return f'<section id="{name}">\n<h2>{_text(section.heading)}</h2>\n{blocks}\n</section>'


def _block(block: Block, name: str) -> str:
    match block:
        case Text():
            return f"<p>{_text(block.text)}</p>"
        case Items():
            return "<ul>\n" + "\n".join(f"<li>{_lead(lead)}{_text(text)}</li>" for lead, text in block.items) + "\n</ul>"
        case Verdict():
            said = " ".join(block.sentences)
            return (
                f'<div class="verdict {block.tone}">\n<p class="badge">{_text(block.badge)}</p>\n'
                f"<h3>{_text(block.name)}</h3>\n<p>{_text(said)}</p>\n</div>"
            )
        case Table():
            return _table(block)
        case Figures():
            drawn = "\n".join(_figure(figure, f"{name}-{place}") for place, figure in enumerate(block.figures, 1))
            return f'<div class="figures">\n{drawn}\n</div>'


def _lead(lead: str) -> str:
    return f"<strong>{_text(lead)}.</strong> " if lead else ""


def _table(table: Table) -> str:
    def cells(tag: str, values: tuple[str, ...]) -> str:
        classes = [' class="n"' if column in table.numeric else "" for column in table.columns]
        return "".join(f"<{tag}{kind}>{_text(value)}</{tag}>" for kind, value in zip(classes, values, strict=True))

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    head = f"<tr>{cells('th', table.columns)}</tr>"
    wide = ' class="wide"' if len(table.columns) > _MOST_COLUMNS else ""
    content = f"<table{wide}>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="scroll" role="region" aria-label="Table" tabindex="0">\n{content}\n</div>'


def _figure(figure: Figure, name: str) -> str:
    spec = charts.fill(figure.chart, figure.rows, domains=figure.domains, **figure.titles)
    picture = charts.to_svg(spec, prefix=name)
    labelled = picture.replace("<svg ", f'<svg role="img" aria-label="{_text(figure.caption)}" ', 1)
    tables = "\n".join(map(_table, figure.tables))
    return (
        f"<figure>\n{labelled}\n<figcaption>{_text(figure.caption)}</figcaption>\n"
        f"<details><summary>The numbers in this figure</summary>\n{tables}\n</details>\n</figure>"
    )
