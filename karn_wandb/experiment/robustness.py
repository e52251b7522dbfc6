"""Whether a verdict hangs on a choice: every claim once more, by other tests, aggregates, and rules for failed runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from karn_wandb.experiment.aggregation import both_arms
from karn_wandb.experiment.claims import Claim
from karn_wandb.experiment.matching import matched
from karn_wandb.records import Unfinished, Verdict
from karn_wandb.statistics.sensitivity import Reading, far, readings

RULES: Mapping[str, Unfinished] = {
    "finished": "left_out",
    "unfinished at the worst value": "worst",
    "unfinished at the last value": "last",
}
"""Rules for runs that did not finish or lack the metric, by what a table calls them."""

OUTLIERS = "finished, outliers out"


@dataclass(frozen=True, slots=True)
class Reanalysis:
    """A claim's arms under one rule and by one test.

    Attributes:
        runs: Which runs are analysed.
        n_treatment: Values of the treatment arm.
        n_control: Values of the control arm.
        reading: What the test shows.
        primary: Whether it is the one that gives the verdict.
    """

    runs: str
    n_treatment: int
    n_control: int
    reading: Reading
    primary: bool


def reanalyses(episodes: pd.DataFrame, claim: Claim) -> tuple[Reanalysis, ...]:
    """A claim by every rule and test; rules that change no value are left out, the claim's own is not.

    Args:
        episodes: The experiment's episodes.
        claim: A claim that has been judged, so that its arms and columns are there.
    """
    found: list[Reanalysis] = []
    for rule, (treatment, control) in _rules(episodes, claim):
        if not treatment or not control:
            continue
        read = readings(
            treatment,
            control,
            paired=claim.pair_by is not None,
            higher_is_better=claim.higher_is_better,
            margin=claim.margin,
            confidence=claim.confidence,
        )
        own = RULES.get(rule) == claim.unfinished
        found += [
            Reanalysis(rule, len(treatment), len(control), reading, own and place == 0) for place, reading in enumerate(read)
        ]
    return tuple(found)


def tally(found: Sequence[Reanalysis]) -> dict[Verdict, int]:
    """How many analyses give each verdict, the primary one's first; those that could not show anything are not counted."""
    said = [each.reading.verdict for each in sorted(found, key=lambda each: not each.primary) if each.reading.verdict]
    return dict(Counter(said))


def by_rule(found: Sequence[Reanalysis]) -> dict[str, Verdict]:
    """The verdict of the primary test under each rule, the claim's own first; empty where the primary one has none."""
    test = next((each.reading.test for each in found if each.primary and each.reading.verdict), None)
    return {each.runs: each.reading.verdict for each in found if each.reading.test == test and each.reading.verdict}


Values = tuple[Sequence[float], Sequence[float]]


def _rules(episodes: pd.DataFrame, claim: Claim) -> Iterator[tuple[str, Values]]:
    """The values of both arms under each rule that gives others than those before it."""
    runs = both_arms(episodes, claim.metric, treatment=claim.treatment, control=claim.control, pair_by=claim.pair_by)
    seen: list[Values] = []
    candidates: list[tuple[str, Values]] = []
    for name, rule in RULES.items():
        found = matched(runs, claim.pair_by, rule, higher_is_better=claim.higher_is_better)
        candidates.append((name, (found.analysed["treatment"], found.analysed["control"])))
    kept = _without_outliers(candidates[0][1], paired=claim.pair_by is not None)
    candidates.append((OUTLIERS, kept))
    candidates.sort(key=lambda each: RULES.get(each[0]) != claim.unfinished)  # its own first, which is never a repetition
    for name, values in candidates:
        if values not in seen:
            seen.append(values)
            yield name, values


def _without_outliers(values: Values, *, paired: bool) -> Values:
    treatment, control = (np.array(arm, dtype=float) for arm in values)
    if paired:
        kept = ~far(treatment - control)
        return treatment[kept].tolist(), control[kept].tolist()
    return treatment[~far(treatment)].tolist(), control[~far(control)].tolist()
