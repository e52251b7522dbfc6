"""What a laid-out report is made of, whatever it is written as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from karn_wandb.charts.render import Row

Tone = Literal["good", "bad", "open"]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list; each item begins with a few words that stand out."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim and what may be said about it."""

    badge: str
    tone: Tone
    name: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; columns in `numeric` are set right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, what it shows in words, and its numbers, in one table or several."""

    chart: str
    rows: Sequence[Row]
    caption: str
    table: Table
    titles: Mapping[str, str] = field(default_factory=dict)
    domains: Mapping[str, Sequence[str]] = field(default_factory=dict)
    further: tuple[Table, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of its tables."""
        return (self.table, *self.further)


@dataclass(frozen=True, slots=True)
class Figures:
    """Charts beside each other, where there is room."""

    figures: tuple[Figure, ...]


Block = Text | Items | Verdict | Table | Figures


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A report laid out."""

    title: str
    sections: tuple[Section, ...]
