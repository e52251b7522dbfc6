"""Claims that are looked at while runs are still coming in: which look this is, and what it may use of the level."""

from __future__ import annotations

from dataclasses import dataclass

from karn_wandb.experiment.claims import Claims
from karn_wandb.statistics.sequential import Spending, looks, sequential_p

SUREST = 0.9999
"""Largest confidence of an interval. A look that may use less of the level uses this much."""


@dataclass(frozen=True, slots=True)
class PresentLook:
    """The look that a claim's runs make.

    Attributes:
        runs: Runs of an arm that have ended, crashed ones too.
        planned: Runs at each declared look, rising.
        spending: The declared spending function.
        overall: Confidence of all looks together.
        confidence: Of the interval at this look.
    """

    runs: int
    planned: tuple[int, ...]
    spending: Spending
    overall: float
    confidence: float

    @property
    def number(self) -> int:
        """Which look it is, from 1."""
        return len(self.fractions)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Of the planned runs, at the declared looks before this one and at this one."""
        return _fractions(self.runs, self.planned)

    def p(self, p: float) -> float:
        """A one-sided p of this look, for all looks so far."""
        return sequential_p(p, self.fractions, self.spending)


def look_at(claims: Claims, runs: int, confidence: float) -> PresentLook | None:
    """The look that so many runs make; None where one look was declared, or nothing can be seen yet.

    Numbers of runs between declared ones are looks, too, for the spending function does not ask when one looks (Lan &
    DeMets 1983). Beyond the plan the last look's level holds.

    Args:
        claims: The family.
        runs: Runs of an arm that have ended, crashed ones too: what the plan counts, and at the last look the whole level may
            be used, however few can be analysed.
        confidence: Of all looks together.
    """
    if not claims.looks or runs < 1:
        return None
    found = looks(_fractions(runs, claims.looks), claims.spending, confidence=confidence)[-1]
    return PresentLook(runs, claims.looks, claims.spending, confidence, min(found.confidence, SUREST))


def _fractions(runs: int, planned: tuple[int, ...]) -> tuple[float, ...]:
    before = [look / planned[-1] for look in planned if look < min(runs, planned[-1])]
    return (*before, min(runs / planned[-1], 1.0))
