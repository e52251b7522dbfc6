"""Of very many runs some are drawn and listed: in each group evenly from the lowest value to the highest, and it is said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from karn_wandb.experiment.report.bands import spaced

T = TypeVar("T")

MOST_DRAWN = 400
"""Points or lines of a figure; more hide each other, and make a page of many megabytes."""

MOST_LANES = 40
"""The same where each has a lane of its own."""

MOST_LISTED = 1_000
"""Runs that the table of runs lists."""


def evenly(
    items: Sequence[T], value: Callable[[T], Any], group: Callable[[T], Hashable] = lambda _: None, most: int = MOST_DRAWN
) -> Sequence[T]:
    """All items, or where there are more, of each group those evenly spaced in the order of their values.

    The lowest and the highest of each group are among them: what is drawn are quantiles. Groups share alike by their sizes, at
    least two each; so many groups that these would be too many are taken together.

    Args:
        items: What there is.
        value: What to order an item by.
        group: What it belongs to.
        most: How many are kept, but for rounding.

    Returns:
        Those that are kept, in the order they had.
    """
    if len(items) <= most:
        return items
    places: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[group(item)].append(place)
    groups = list(places.values()) if 2 * len(places) <= most else [list(range(len(items)))]
    kept: set[int] = set()
    for members in groups:
        ordered = sorted(members, key=lambda place: value(items[place]))
        kept |= {ordered[at] for at in spaced(len(ordered), max(2, most * len(ordered) // len(items))).tolist()}
    return [items[place] for place in sorted(kept)]


def said(kept: int, of: int, what: str, order: str, done: str = "drawn") -> str:
    """A sentence, with a space before it, that says that only some are there; "" where all are.

    Args:
        kept: How many are there.
        of: How many there would be.
        what: What they are called, in the plural.
        order: In which order they are evenly spaced, such as "from the lowest to the highest".
        done: What was done with them.
    """
    return "" if kept == of else f" Of {of:,} {what} {kept:,} are {done}, evenly {order}; the JSON form holds all."
