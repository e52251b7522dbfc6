"""What follows exactly from a matrix, new or read back: values of slots, each with its standard error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from karn_wandb.attribution import games
from karn_wandb.attribution.games import FloatArray
from karn_wandb.attribution.known import KnownGame
from karn_wandb.attribution.uncertainty import Estimate, estimate, evaluation_errors, interval
from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition, CounterfactualMatrix, ShapleyEstimate

_ROUNDING = 1e-13
"""Of what is summed: a mean or an error below this is what rounding left of a zero."""


def shapley_estimates(matrix: CounterfactualMatrix) -> dict[str, ShapleyEstimate]:
    """Exact Shapley values, computed again from a matrix in which every coalition was evaluated.

    With the outcomes that the matrix keeps they are those the engine gave it. Values that were sampled follow from the
    permutations drawn, which a matrix does not hold: its own `shapley_values` are all there is of them.

    Returns:
        By slot, in the order of `matrix.slot_ids`.

    Raises:
        AttributionError: A coalition was not evaluated, or the matrix does not name its slots.
    """
    game = KnownGame.of(matrix)
    game.table("shapley_estimates")
    return shapley_of(game)


def banzhaf_values(matrix: CounterfactualMatrix) -> dict[str, Estimate]:
    """Banzhaf values: mean of all coalitions with the slot minus mean of those without, its factorial main effect.

    Source: Banzhaf (1965), Weighted voting doesn't work.

    Returns:
        By slot, in the order of `matrix.slot_ids`.

    Raises:
        AttributionError: A coalition was not evaluated, or the matrix does not name its slots.
    """
    game = KnownGame.of(matrix)
    means = games.main_effects(game.table("banzhaf_values"))
    return dict(zip(game.slot_ids, linear_estimates(game, games.main_effect_weights(len(game.slot_ids)), means), strict=True))


def removal_costs(matrix: CounterfactualMatrix) -> dict[str, Estimate]:
    """All slots on minus all but this one: how much worse the trained network is without it, now.

    Returns:
        By slot, those for which both coalitions were evaluated.

    Raises:
        AttributionError: The matrix does not name its slots.
    """
    if matrix.configs and not matrix.slot_ids:
        raise AttributionError("removal_costs needs a matrix that names its slots", got="no slot_ids")
    return removal_costs_of(KnownGame.of(matrix))


def shapley_of(game: KnownGame) -> dict[str, ShapleyEstimate]:
    """Exact Shapley values of a game of which every coalition is known."""
    weights = games.shapley_weights(len(game.slot_ids))
    found = linear_estimates(game, weights, games.shapley_values(game.values))
    return {
        slot: estimate(
            value.mean,
            sampling=0.0,
            evaluation=value.std,
            n_samples=len(game.results),
            algorithm="exact",
            evaluation_method=value.evaluation_method,
            evaluation_freedom=value.degrees_of_freedom,
        )
        for slot, value in zip(game.slot_ids, found, strict=True)
    }


def removal_costs_of(game: KnownGame) -> dict[str, Estimate]:
    """Removal costs of the slots for which both coalitions are known."""
    all_on = (True,) * len(game.slot_ids)
    differences: dict[str, Mapping[Coalition, float]] = {}
    for place, slot in enumerate(game.slot_ids):
        without = (*all_on[:place], False, *all_on[place + 1 :])
        if all_on in game.rows and without in game.rows:
            differences[slot] = {all_on: 1.0, without: -1.0}
    found = linear_estimates(game, game.weights(list(differences.values())))
    return dict(zip(differences, found, strict=True))


@np.errstate(over="ignore", invalid="ignore")  # of losses near the largest number there is
def linear_estimates(game: KnownGame, weights: FloatArray, means: FloatArray | None = None) -> list[Estimate]:
    """Statistics that are linear in the game, each with its standard error.

    Args:
        game: The game.
        weights: What each statistic gives each known coalition, shape [k, coalitions].
        means: The statistics, where they were computed more exactly than by these weights.
    """
    if not len(weights):
        return []
    rounding = _ROUNDING * (np.abs(weights) @ np.abs(game.values))
    means = _cleared(weights @ game.values if means is None else means, rounding)
    errors = evaluation_errors(weights, game.outcomes)
    if errors is None:
        return [Estimate(mean) for mean in means.tolist()]
    return [
        Estimate(mean, std, *interval(mean, std, errors.degrees_of_freedom), errors.method, errors.degrees_of_freedom)
        for mean, std in zip(means.tolist(), _cleared(errors.std, rounding).tolist(), strict=True)
    ]


def _cleared(numbers: FloatArray, rounding: FloatArray) -> FloatArray:
    return np.where(np.abs(numbers) < rounding, 0.0, numbers)
