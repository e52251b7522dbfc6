"""Which slots help, said with the number of slots that were looked at in mind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from karn_wandb.attribution.uncertainty import p_positive
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualMatrix, ShapleyEstimate

ALPHA = 0.05
"""Chance of a false claim among the slots that reports allow."""


def claims(matrix: CounterfactualMatrix, correction: Literal["holm"] | None = "holm", alpha: float = ALPHA) -> tuple[str, ...]:
    """Slots whose Shapley value is shown to be positive in this evaluation.

    Each slot's p-value is one-sided, from its mean and standard error (Student's t for sampled values, normal for
    evaluation error); a slot without a standard error counts in the family with p = 1. The claim is about the trained
    network at this epoch on validation sets like this one: it says nothing of other training seeds.

    Args:
        matrix: What was evaluated.
        correction: "holm" keeps the chance of even one false claim among the slots below `alpha`; None corrects nothing.
        alpha: That chance, between 0 and 1.

    Returns:
        The slots, in the order of the matrix; none when no Shapley value is known.

    Raises:
        AttributionError: `correction` or `alpha` is none of the allowed.
    """
    if correction not in ("holm", None):
        raise AttributionError('correction must be "holm" or None', got=repr(correction))
    if not 0 < alpha < 1:
        raise AttributionError("alpha must lie between 0 and 1", got=str(alpha))
    estimates = matrix.shapley_values or {}
    p_values = [p_positive(found) for found in estimates.values()]
    if correction == "holm":
        p_values = holm(p_values)
    return tuple(slot for slot, p in zip(estimates, p_values, strict=True) if p <= alpha)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def is_claimed_in_any_case(found: ShapleyEstimate, slots: int) -> bool:
    """Whether a slot is claimed by both rules, the plain one and Holm's, whatever is found of the others.

    Holm compares the p-value of a slot with something between alpha / slots and alpha, which depends on the others' p-values.
    """
    return found.is_positive() and p_positive(found) <= ALPHA / slots


def may_be_claimed(found: ShapleyEstimate) -> bool:
    """Whether a slot is claimed by one of the two rules at least, if what is found of the others allows it."""
    return found.is_positive() or p_positive(found) <= ALPHA
