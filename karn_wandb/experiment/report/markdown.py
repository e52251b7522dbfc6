"""A report as Markdown: the same words and tables, no pictures."""

from __future__ import annotations

import re

from karn_wandb.experiment.report.blocks import Block, Document, Figures, Items, Table, Text, Verdict
from karn_wandb.printable import printable

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")


def to_markdown(document: Document) -> str:
    """The document; characters that Markdown or HTML would read as markup are escaped."""
    parts = [f"# {_safe(document.title)}"]
    for section in document.sections:
        parts.append(f"## {_safe(section.heading)}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text():
            return _safe(block.text)
        case Items():
            return "\n".join(f"- {f'**{_safe(lead)}.** ' if lead else ''}{_safe(text)}" for lead, text in block.items)
        case Verdict():
            return f"**{_safe(block.name)}** ({_safe(block.badge)}). {_safe(' '.join(block.sentences))}"
        case Table():
            return _table(block)
        case Figures():
            return "\n\n".join(text for figure in block.figures for text in (_safe(figure.caption), *map(_table, figure.tables)))


def _table(table: Table) -> str:
    rule = ["---:" if column in table.numeric else "---" for column in table.columns]
    rows = [[_safe(cell) for cell in table.columns], rule, *([_safe(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _safe(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(text))
