"""Interactions of slots: exact indices of a full matrix, and pairs with their uncertainty and regime.

Each index here is linear in the Harsanyi dividends a(T) and weighs them by sizes only: I(S) = sum over T that
contain S of c(|S|, |T|) a(T). An index is therefore nothing but its coefficients c.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import combinations
from math import comb
from typing import Literal, get_args

import numpy as np

from karn_wandb.attribution.estimates import linear_estimates
from karn_wandb.attribution.games import FloatArray, coalition_sizes, moebius_transform, switched_on
from karn_wandb.attribution.known import KnownGame
from karn_wandb.attribution.uncertainty import Estimate, interval
from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition, CounterfactualMatrix, InteractionEstimate, Metric, Regime

Index = Literal["SII", "k-SII", "STII", "FSII", "BII"]
Corner = Literal["empty_corner", "full_corner"]

ACCURACY_MARGIN = 0.5
"""Percentage points below which the interaction of two slots counts as none."""


def interaction_index(matrix: CounterfactualMatrix, index: Index = "SII", order: int = 2) -> dict[tuple[str, ...], float]:
    """An interaction index for every set of 1 to `order` slots, in the game's unit. Positive is synergy.

    Args:
        matrix: One in which every coalition was evaluated.
        index: "SII" Shapley interaction index (Grabisch and Roubens 1999); "k-SII" the same made efficient
            (Bordt and von Luxburg 2023); "STII" Shapley-Taylor (Sundararajan, Dhamdhere and Agarwal 2020);
            "FSII" faithful Shapley (Tsai, Yeh and Ravikumar 2023); "BII" Banzhaf (Grabisch and Roubens 1999).
            k-SII, STII and FSII add up to v(all on) - v(all off) over all sets.
        order: The largest set, at least 1; sets of more slots than there are do not exist.

    Returns:
        By set of slots, in the order of `matrix.slot_ids`, smaller sets first.

    Raises:
        AttributionError: A coalition was not evaluated, the matrix does not name its slots, or index or order are
            none of the allowed.
    """
    if index not in _COEFFICIENTS:
        raise AttributionError(f"index must be one of {', '.join(_COEFFICIENTS)}", got=repr(index))
    table = KnownGame.of(matrix).table("interaction_index")
    n = len(matrix.slot_ids)
    if order < 1:
        raise AttributionError("order must be at least 1", got=str(order))
    order = min(order, n)
    # No index depends on v(all off); without it the differences of large sums lose fewer digits.
    dividends = moebius_transform(table - table[0]).reshape((2,) * n)
    coefficient = _COEFFICIENTS[index]
    found = {}
    for size in range(1, order + 1):
        by_size = np.array([float(coefficient(size, larger, order)) for larger in range(size, n + 1)])
        weights = by_size[coalition_sizes(n - size)]
        for members in combinations(range(n), size):
            holding = dividends[tuple(1 if slot in members else slice(None) for slot in range(n))]
            found[tuple(matrix.slot_ids[slot] for slot in members)] = float(weights @ np.ravel(holding))
    return found


def interaction_estimates(
    matrix: CounterfactualMatrix, basis: Corner | Index = "empty_corner", margin: float | None = None
) -> dict[tuple[str, ...], InteractionEstimate]:
    """The interaction of each pair of slots with its standard error, and what may be called synergy or interference.

    Args:
        matrix: What was evaluated.
        basis: "empty_corner" is v(ij) - v(i) - v(j) + v(), what two slots do together where all others are off;
            "full_corner" is v(N) - v(N-i) - v(N-j) + v(N-ij), where all others are on. They differ when three or more
            slots interact. An index, as of `interaction_index`, averages over what the others may be.
        margin: Smaller interactions count as independence, in the game's unit. None is half a point of accuracy, and
            for a loss, which has no usual scale, none at all.

    Returns:
        By pair, in the order of `matrix.slot_ids`; at a corner those whose four coalitions were evaluated.

    Raises:
        AttributionError: The basis or margin is none of the allowed, the matrix does not name its slots, or an index is
            asked of one in which a coalition was not evaluated.
    """
    if basis not in get_args(Corner) and basis not in _COEFFICIENTS:
        raise AttributionError(f"basis must be one of {', '.join((*get_args(Corner), *_COEFFICIENTS))}", got=repr(basis))
    if margin is not None and not margin >= 0:
        raise AttributionError("margin must be at least 0", got=str(margin))
    if matrix.configs and not matrix.slot_ids:
        raise AttributionError("interaction_estimates needs a matrix that names its slots", got="no slot_ids")
    return interactions_of(KnownGame.of(matrix), basis, margin)


def interactions_of(
    game: KnownGame, basis: Corner | Index, margin: float | None = None
) -> dict[tuple[str, ...], InteractionEstimate]:
    """The same of a known game."""
    n = len(game.slot_ids)
    pairs = list(combinations(range(n), 2))
    if basis == "empty_corner" or basis == "full_corner":  # noqa: PLR1714 -- narrows the type
        differences = {pair: _at_corner(n, pair, full=basis == "full_corner") for pair in pairs}
        pairs = [pair for pair, terms in differences.items() if terms.keys() <= game.rows.keys()]
        weights = game.weights([differences[pair] for pair in pairs])
    else:
        game.table("interaction_estimates")
        weights = np.array([_index_weights(n, pair, basis) for pair in pairs])
    found = linear_estimates(game, weights)
    margin = default_margin(game.metric) if margin is None else margin
    return {
        (game.slot_ids[i], game.slot_ids[j]): InteractionEstimate(
            effect=pair.mean,
            std=pair.std,
            ci_low=pair.ci_low,
            ci_high=pair.ci_high,
            regime=regime(pair, margin),
            evaluation_method=pair.evaluation_method,
        )
        for (i, j), pair in zip(pairs, found, strict=True)
    }


def default_margin(metric: Metric) -> float:
    """Below it an interaction counts as none: half a percentage point; nothing where the game is a loss."""
    return ACCURACY_MARGIN if metric == "accuracy" else 0.0


def regime(found: Estimate, margin: float) -> Regime:
    """What an interaction may be called.

    "synergy" or "interference" when the 95 % interval lies above or below zero; "independence" when the 90 % interval
    lies within the margin on both sides of zero, which is two one-sided tests at 5 %; else "undecided".
    Source: Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach.
    """
    if found.std is None or found.ci_low is None or found.ci_high is None:
        return "undecided"
    if found.ci_low > 0:
        return "synergy"
    if found.ci_high < 0:
        return "interference"
    low, high = interval(found.mean, found.std, found.degrees_of_freedom, confidence=0.90)
    return "independence" if -margin <= low and high <= margin else "undecided"


def _at_corner(n: int, pair: tuple[int, int], *, full: bool) -> dict[Coalition, float]:
    """Inclusion-exclusion of a pair: the weight of each of its four coalitions, the other slots all on or all off."""
    i, j = pair
    return {
        tuple({i: with_i, j: with_j}.get(slot, full) for slot in range(n)): 1.0 if with_i == with_j else -1.0
        for with_i in (False, True)
        for with_j in (False, True)
    }


def _index_weights(n: int, pair: tuple[int, int], index: Index) -> FloatArray:
    """What an index of order 2 gives each coalition T of a table, for the pair S; shape [2^n].

    a(U) = sum over T in U of (-1)^(|U|-|T|) v(T), so with b slots of T outside of S the weight is
    (-1)^|S-T| times the sum over r of (-1)^r C(n-2-b, r) c(2, 2+b+r).
    """
    coefficient = _COEFFICIENTS[index]
    by_others = [
        float(sum((-1) ** r * comb(n - 2 - b, r) * coefficient(2, 2 + b + r, 2) for r in range(n - 1 - b))) for b in range(n - 1)
    ]
    on = switched_on(n)[list(pair)]
    signs = np.where(on[0] == on[1], 1.0, -1.0)
    weights: FloatArray = signs * np.array(by_others)[coalition_sizes(n) - on.sum(axis=0)]
    return weights


def _sii(small: int, large: int, order: int) -> Fraction:  # noqa: ARG001 -- one signature for all indices
    return Fraction(1, large - small + 1)


def _bii(small: int, large: int, order: int) -> Fraction:  # noqa: ARG001 -- one signature for all indices
    return Fraction(1, 2 ** (large - small))


def _k_sii(small: int, large: int, order: int) -> Fraction:
    """SII, with each larger set up to `order` handed down to its parts by Bernoulli numbers."""
    extra = large - small
    handed_down = (_bernoulli(j) * comb(extra, j) / (extra - j + 1) for j in range(min(order - small, extra) + 1))
    return sum(handed_down, Fraction(0))


@cache
def _bernoulli(m: int) -> Fraction:
    """Bernoulli numbers with B_1 = -1/2."""
    return Fraction(1) if m == 0 else -sum((comb(m + 1, k) * _bernoulli(k) for k in range(m)), Fraction(0)) / (m + 1)


def _stii(small: int, large: int, order: int) -> Fraction:
    if small < order:
        return Fraction(large == small)
    return Fraction(1, comb(large, order))


def _fsii(small: int, large: int, order: int) -> Fraction:
    """Best approximation of the game by one with sets up to `order` only (Tsai et al. 2023)."""
    if large <= order:
        return Fraction(large == small)
    share = Fraction(
        small * comb(order, small) * comb(large - 1, order), (order + small) * comb(large + order - 1, order + small)
    )
    return -share if (order - small) % 2 else share


_COEFFICIENTS: dict[str, Callable[[int, int, int], Fraction]] = {
    "SII": _sii,
    "k-SII": _k_sii,
    "STII": _stii,
    "FSII": _fsii,
    "BII": _bii,
}
