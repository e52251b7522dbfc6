"""The live dashboard as a box for a terminal, and as plain lines for everything else."""

from __future__ import annotations

from rich.box import SQUARE
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from karn_wandb.records import ClaimReading, CounterfactualMatrix, EpochSnapshot
from karn_wandb.sinks.console import describe
from karn_wandb.sinks.dashboard_sections import change_in_words, clean, sections
from karn_wandb.sinks.dashboard_state import DashboardState

NARROWEST = 20
FIRST_TO_GO = ("capture", "policy", "slots", "contributions")
"""Sections left out where there is no room, in this order."""


def render(state: DashboardState, width: int = 67, rows: int | None = None) -> RenderableType:
    """The dashboard as a box.

    Args:
        state: What to show.
        width: Columns, borders included, at least `NARROWEST`.
        rows: Rows there are; sections that find no room are left out, and named. None for as many as it takes.
    """
    return _Box(dict(sections(state)), max(width, NARROWEST), rows)


def plain(state: DashboardState) -> list[str]:
    """A few lines on the newest epoch, for where nothing can be drawn."""
    episode = state.shown
    readings = [ClaimReading] if episode.claim() else []
    matrix = episode.latest(CounterfactualMatrix)
    kinds = [EpochSnapshot, *readings, *([CounterfactualMatrix] if matrix and matrix.epoch == episode.epoch else [])]
    lines = [describe(episode.newest[kind]) for kind in kinds if kind in episode.newest]
    lines += [f"stage: {change_in_words(change)}" for change in episode.changes if change.epoch == episode.epoch]
    if episode.decision is not None and episode.decision.explanation:
        lines.append(f"decision: {episode.policy.recent_actions()[-1]}: {episode.decision.explanation}")
    lines += [f"alert: {alert}" for alert in episode.alerts()]
    if state.dropped_records:
        lines.append(f"records dropped: {state.dropped_records}")
    return [clean(line) for line in lines if line]


class _Box:
    """Sections one below the other, with lines around and between them."""

    def __init__(self, sections: dict[str, RenderableType], width: int, rows: int | None) -> None:
        self._sections, self._width, self._rows = sections, width, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        box, inner = SQUARE.substitute(options), self._width - 4
        within = options.update(width=inner, height=None)
        drawn = {name: console.render_lines(section, within) for name, section in self._sections.items()}
        left_out = self._left_out({name: len(lines) for name, lines in drawn.items()})
        if left_out:
            drawn["more"] = console.render_lines(Text(f"no room for: {', '.join(left_out)}", "dim"), within)
        edge = box.get_top([inner + 2])
        for name, lines in drawn.items():
            if name not in left_out:
                yield Segment(f"{edge}\n")
                for line in lines:
                    yield from (Segment(f"{box.mid_left} "), *line, Segment(f" {box.mid_right}\n"))
                edge = box.get_row([inner + 2])
        yield Segment(f"{box.get_bottom([inner + 2])}\n")

    def _left_out(self, heights: dict[str, int]) -> list[str]:
        left_out: list[str] = []
        for name in FIRST_TO_GO:
            needed = 1 + sum(1 + height for section, height in heights.items() if section not in left_out) + 2 * bool(left_out)
            if self._rows is None or needed <= self._rows:
                break
            if name in heights:
                left_out.append(name)
        return left_out
