"""The robustness of a claim's verdict, in words and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.report.blocks import Table
from karn_wandb.experiment.report.words import count, interval, number, p_cell
from karn_wandb.experiment.robustness import RULES, Reanalysis, by_rule, reanalyses, tally
from karn_wandb.records import Verdict

MOST_NAMED = 3
"""Analyses of one verdict that the sentence names."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """A claim's arms by other tests, aggregates and rules for failed runs.

    Attributes:
        sentence: Whether the verdict is the same in all of them.
        analyses: Each of them, the one that gives the verdict first.
    """

    sentence: str
    analyses: tuple[Reanalysis, ...]

    @property
    def verdicts_by_rule(self) -> dict[str, Verdict]:
        """The verdict of the primary test under each rule for runs."""
        return by_rule(self.analyses)


def robustness(episodes: pd.DataFrame, decision: Decision) -> Robustness | None:
    """The analyses of a claim; None where there is nothing to compare."""
    if decision.aggregation.comparison is None:
        return None
    found = reanalyses(episodes, decision.claim)
    left = bool(decision.aggregation.excluded or decision.aggregation.counted)
    return Robustness(" ".join(_sentences(found, left_out=left)), found)


def table(found: Robustness) -> Table:
    """A row for each analysis."""
    columns = ("runs", "values", "test", "of", "difference", "interval", "p, two-sided", "verdict")
    return Table(columns, tuple(map(_row, found.analyses)), frozenset({"values", *columns[4:7]}))


def _row(each: Reanalysis) -> tuple[str, ...]:
    reading = each.reading
    alone = reading.aggregate == "probability of improvement"
    return (
        each.runs,
        f"{each.n_treatment} v {each.n_control}",
        reading.test + (", primary" if each.primary else ""),
        reading.aggregate,
        number(reading.estimate, signed=not alone),
        interval(reading.low, reading.high),
        p_cell(reading.p),
        reading.verdict or "too few runs to show anything",
    )


def _sentences(found: Sequence[Reanalysis], *, left_out: bool) -> Iterator[str]:
    able = [each for each in found if each.reading.verdict]
    if not any(each.primary for each in able):
        yield "There are too few runs, or they are too much alike, for any test."
        return
    primary = next(each for each in able if each.primary)
    verdicts = tally(found)
    said = primary.reading.verdict
    if len(verdicts) == 1:
        yield f"The verdict, {said}, is the same in all {count(len(able), 'analysis', 'analyses')}."
    else:
        others = "; ".join(_others(able, verdict, verdicts[verdict]) for verdict in verdicts if verdict != said)
        yield f"The verdict is {said} in {verdicts[primary.reading.verdict or 'inconclusive']} of {len(able)} analyses; {others}."
    if len(able) < len(found):
        yield f"{count(len(found) - len(able), 'other')} could not show anything with so few runs."
    if not {each.runs for each in found} & (set(RULES) - {"finished"}):
        why = "the runs that failed have no partner" if left_out else "every run finished with a value"
        yield f"No rule for failed runs changes anything: {why}."


def _others(able: Sequence[Reanalysis], verdict: Verdict, many: int) -> str:
    those = [each for each in able if each.reading.verdict == verdict]
    which = [f"{each.reading.test} of the {each.reading.aggregate}, {each.runs}" for each in those]
    more = f", and {many - MOST_NAMED} more" if many > MOST_NAMED else ""
    return f"{verdict} in {many} ({'; '.join(which[:MOST_NAMED])}{more})"
