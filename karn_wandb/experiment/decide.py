"""Claims judged: each one's arms compared, the family corrected together."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from types import MappingProxyType

import pandas as pd

from karn_wandb.errors import ClaimsError, SourceError, StatisticsError
from karn_wandb.experiment.aggregation import aggregate
from karn_wandb.experiment.claims import Claim, Claims
from karn_wandb.experiment.controls import CONTROL_KEY, NOTHING, control_groups
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.filters import ARM_COLUMNS
from karn_wandb.experiment.looks import PresentLook, look_at
from karn_wandb.records import ExperimentAggregation
from karn_wandb.statistics.confidence_sequence import anytime_interval
from karn_wandb.statistics.multiplicity import correct

CONTROL_NAMES = ("none", "host_only", "host-only", "host", "control", "baseline")
"""Values of the arm that are taken for the control when no claims file says which it is, in this order."""

_P_OF = MappingProxyType({"superiority": "p_improvement", "non_inferiority": "p_non_inferiority", "equivalence": "p_equivalence"})


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a claim.

    Attributes:
        claim: The claim.
        aggregation: The comparison it rests on.
        p: One-sided p of its test; None when there is no inference.
        p_adjusted: The same, for all looks so far where several were declared, and corrected over the family.
        look: Which look it is; None where one was declared.
        anytime: Where fewer runs than planned are in and no looks were declared, an interval of the difference that holds
            at every number of runs together; else None.
    """

    claim: Claim
    aggregation: ExperimentAggregation
    p: float | None
    p_adjusted: float | None
    look: PresentLook | None = None
    anytime: tuple[float, float] | None = None

    @property
    def confidence(self) -> float:
        """Of the interval that decides."""
        return self.look.confidence if self.look else self.claim.confidence

    @property
    def supported(self) -> bool:
        """Whether the corrected p is at or below the claim's level."""
        return self.p_adjusted is not None and self.p_adjusted <= self.claim.level


def decide(experiment: Experiment, claims: Claims) -> tuple[Decision, ...]:
    """Judge every claim of a family.

    A claim that cannot be tested counts in the family with p = 1: what was declared is corrected for, whatever became
    of it.

    Raises:
        ClaimsError: A claim names an arm no run is in, or a column there is not.
    """
    found = [_at_look(experiment, claims, claim) for claim in claims.claims]
    ps = [_p(claim, aggregation) for claim, (aggregation, _) in zip(claims.claims, found, strict=True)]
    counted = [1.0 if p is None else look.p(p) if look else p for p, (_, look) in zip(ps, found, strict=True)]
    adjusted = correct(counted, method=claims.correction)
    return tuple(
        Decision(claim, aggregation, p, None if p is None else q, look, _anytime(claims, claim, aggregation))
        for claim, (aggregation, look), p, q in zip(claims.claims, found, ps, adjusted, strict=True)
    )


def _at_look(experiment: Experiment, claims: Claims, claim: Claim) -> tuple[ExperimentAggregation, PresentLook | None]:
    """A claim's arms compared with the confidence that the look its runs make may have."""
    found = _aggregated(experiment, claim)
    look = found.comparison and look_at(claims, _ended(found), claim.confidence)
    return (_aggregated(experiment, replace(claim, confidence=look.confidence)), look) if look else (found, None)


def _ended(found: ExperimentAggregation) -> int:
    """Runs of the smaller arm that have ended, in whatever way: how far the plan has come, which crashes must not hide."""
    comparison = found.comparison
    analysed = {"treatment": comparison.n_treatment, "control": comparison.n_control} if comparison else {}
    left = Counter(run.arm for run in (*found.unmatched, *found.excluded) if run.state != "running")
    return min((runs + left[arm] for arm, runs in analysed.items()), default=0)


def _anytime(claims: Claims, claim: Claim, found: ExperimentAggregation) -> tuple[float, float] | None:
    comparison = found.comparison
    if comparison is None or claims.looks or claims.planned_runs is None:
        return None
    if _ended(found) >= claims.planned_runs:
        return None
    measured = found.values  # noqa: PD011 -- no frame
    treatment, control = measured[: comparison.n_treatment], measured[comparison.n_treatment :]
    if claim.pair_by is not None:
        treatment, control = tuple(pair.treatment for pair in found.pairs), tuple(pair.control for pair in found.pairs)
    interval = anytime_interval(treatment, control, claim.pair_by is not None, confidence=claim.confidence)
    return interval if all(map(math.isfinite, interval)) else None


def default_claims(episodes: pd.DataFrame) -> Claims | None:
    """The comparisons that are made when none were declared: every other arm against the control, for superiority.

    The arms are the values of config `arm`, else `controller`. The control is the first of `CONTROL_NAMES` among them,
    else the first in sorted order. Runs are paired by `base_seed` when the two arms have one in common. Control runs, trained
    with a slot disabled, are in no arm.

    Returns:
        The comparisons, or None when there are not at least two arms.
    """
    column = next((c for c in ARM_COLUMNS if c in episodes.columns and len(_arms(episodes, c)) > 1), None)
    if column is None:
        return None
    arms = _arms(episodes, column)
    named = {str(arm).lower(): arm for arm in reversed(arms)}
    control = next((named[name] for name in CONTROL_NAMES if name in named), arms[0])
    return Claims(tuple(_exploratory(episodes, column, arm, control) for arm in arms if arm != control))


def _arms(episodes: pd.DataFrame, column: str) -> list[object]:
    """The values of a column that can name an arm."""
    values = episodes[column].dropna().tolist()
    return sorted({value for value in values if isinstance(value, (str, int, float))}, key=str)


def _exploratory(episodes: pd.DataFrame, column: str, arm: object, control: object) -> Claim:
    name = column.removeprefix("config.")
    shared = {CONTROL_KEY: NOTHING} if control_groups(episodes) else {}
    seeds = [set(episodes.loc[episodes[column] == value, "base_seed"].dropna()) for value in (arm, control)]
    return Claim(
        name=f"{arm} against {control}",
        treatment={name: arm, **shared},
        control={name: control, **shared},
        pair_by="base_seed" if seeds[0] & seeds[1] else None,
    )


def _aggregated(experiment: Experiment, claim: Claim) -> ExperimentAggregation:
    try:
        return aggregate(
            experiment,
            metric=claim.metric,
            treatment=claim.treatment,
            control=claim.control,
            pair_by=claim.pair_by,
            higher_is_better=claim.higher_is_better,
            margin=claim.margin,
            confidence=claim.confidence,
            unfinished=claim.unfinished,
        )
    except (SourceError, StatisticsError) as error:
        line = f" (line {claim.line})" if claim.line else ""
        raise ClaimsError(f"the claim {claim.name!r}{line}: {error.what}", got=error.got, do=error.do) from error


def _p(claim: Claim, aggregation: ExperimentAggregation) -> float | None:
    if aggregation.comparison is None:
        return None
    p: float | None = getattr(aggregation.comparison, _P_OF[claim.test])
    return p
