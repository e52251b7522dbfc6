"""When a part of the validation examples has decided what all of them would say.

Stochastic curtailment: a test may end early once its result at the planned end is nearly certain. Whoever stops only then
claims what the whole would have claimed, so the chance of a false claim stays that of the whole.
Source: Lan, Simon and Halperin (1982), Stochastically curtailed tests in long-term clinical trials.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from scipy.special import stdtrit

from karn_wandb.attribution.claims import is_claimed_in_any_case, may_be_claimed
from karn_wandb.records import ShapleyEstimate

CHANCE = 0.001
"""That the whole says something else of a slot than what counts as decided."""

LEAST_EXAMPLES = 30
"""In a smaller part nothing counts as decided."""

LEAST_CHANGED = 10
"""Examples that a slot must have changed: the sum of fewer is not normal, and none says little about the rest."""


def looks(available: int) -> tuple[int, ...]:
    """Numbers of examples at which to look: an eighth, a quarter, a half and all of them."""
    parts = [math.ceil(available / divisor) for divisor in (8, 4, 2)]
    return (*(part for part in parts if LEAST_EXAMPLES <= part < available), available)


def all_decided(estimates: Mapping[str, ShapleyEstimate], examples: int, available: int, inactive: Collection[str] = ()) -> bool:
    """Whether of no slot all examples may still change what is claimed.

    Args:
        estimates: Of a part of the examples, by slot; nothing is decided by none.
        examples: How many the part has.
        available: How many there are.
        inactive: Slots at alpha 0: they change nothing in the other examples either.
    """
    return bool(estimates) and all(
        (slot in inactive and found.std == 0) or is_decided(found, len(estimates), examples, available)
        for slot, found in estimates.items()
    )


def is_decided(found: ShapleyEstimate, slots: int, examples: int, available: int) -> bool:
    """Whether all examples would, but for a chance of 0.1 %, claim a slot exactly when the part of them does.

    The part is a sample without replacement, a share f of all. Given what it says, the mean over all examples scatters about
    its mean with standard error std * sqrt(1 - f), and will itself have the standard error std * sqrt(f). Of a sampled value's
    `std` only a part shrinks so, and how large that is is not known exactly: for either case the less favourable is assumed.

    Claimed is by the plain rule and by Holm's, whose threshold depends on the other slots: decided is what holds for all
    of its thresholds.

    Args:
        found: The slot's value on the part.
        slots: How many slots there are.
        examples: How many examples the part has.
        available: How many there are.
    """
    if found.std is None or found.evaluation_std is None or _changed(found, examples) < LEAST_CHANGED:
        return False
    share = examples / available
    freedom = math.inf if found.degrees_of_freedom is None else found.degrees_of_freedom
    margin = float(stdtrit(freedom, 1 - CHANCE)) * found.std * math.sqrt(1 - share)
    return _stays_claimed(found, margin, share, slots) or _stays_unclaimed(found, margin, share)


def _stays_claimed(found: ShapleyEstimate, margin: float, share: float, slots: int) -> bool:
    std = math.hypot(found.sampling_std or 0.0, (found.evaluation_std or 0.0) * math.sqrt(share))
    worst = replace(found, mean=found.mean - margin, std=std, degrees_of_freedom=_least_freedom(found, std))
    return is_claimed_in_any_case(found, slots) and is_claimed_in_any_case(worst, slots)


def _stays_unclaimed(found: ShapleyEstimate, margin: float, share: float) -> bool:
    best = replace(found, mean=found.mean + margin, std=(found.std or 0.0) * math.sqrt(share), degrees_of_freedom=None)
    return not may_be_claimed(found) and not may_be_claimed(best)


def _least_freedom(found: ShapleyEstimate, std: float) -> float | None:
    """Degrees of freedom that a standard error will have at least, when evaluation noise has shrunk to leave it.

    By Satterthwaite 1 / freedom is the sum of error^4 / freedom over the parts, by the whole^4; and no part grows.
    """
    if found.degrees_of_freedom is None or found.exact or not found.std:
        return found.degrees_of_freedom
    return found.degrees_of_freedom * (std / found.std) ** 4


def _changed(found: ShapleyEstimate, examples: int) -> float:
    """At least so many examples are changed by the slot, where examples are right or wrong; no limit where they are graded.

    An example's own value is at most 100 points, so of a sum of squares at least the 100^2th part are not 0; and a sum has at
    least as many terms that are not 0 as its square over the sum of their squares (Cauchy and Schwarz).
    """
    if not found.std or found.evaluation_std is None:
        return 0.0
    if found.evaluation_method != "per_example":
        return math.inf
    least, most = (examples * (examples * std**2 + found.mean**2) for std in (found.evaluation_std, found.std))
    return max(least / 100**2, (examples * found.mean) ** 2 / most)
