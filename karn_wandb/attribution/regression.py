"""Shapley values from complementary pairs of coalitions, by a linear fit that stands in for what was not evaluated.

A coalition and its complement are evaluated together, and only half the difference of their values is used: the Shapley
value depends on nothing else, and pairwise interactions cancel in it. The Shapley value is a known weighted sum over all
such pairs. Those evaluated enter with their own values, those that were not with what a least-squares fit with one
coefficient a slot predicts for them. So the values always add up to v(all on) - v(all off), games of single slots and
pairs of slots are solved exactly, and when every pair is known nothing is estimated.

All of it is one linear map of the coalitions' values, which is why errors by example follow from the same numbers.

Sources: Musco and Witter (2024), Provably accurate Shapley value estimation via leverage score sampling (sizes by
leverage scores, pairs without replacement); Lundberg and Lee (2017), A unified approach to interpreting model predictions
(the regression); Covert and Lee (2021), Improving KernelSHAP (pairs); Mitchell (1991), Spectrally optimal sampling for
distribution ray tracing (the better of some candidates); Royall (1970), On finite population sampling theory under
certain linear regression models (a fit for what was not drawn); Bell and McCaffrey (2002), Bias reduction in standard
errors for linear regression with multi-stage samples (errors and their degrees of freedom).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from karn_wandb.attribution.games import FloatArray, IntArray
from karn_wandb.attribution.values import BoolArray

_CANDIDATES = 2
"""Coalitions among which the one least like those before is taken. More lower the error further, but then the coalitions
left out are no longer like those drawn, and errors judged by the latter come out wrong."""


def paired_coalitions(n: int, pairs: int, rng: np.random.Generator) -> BoolArray:
    """One coalition of each complementary pair, shape [pairs, n], the smaller one, in the order of their evaluation.

    First every slot alone; then sizes in turn, each as often as any other until all its pairs are drawn. That is
    sampling by leverage scores: they are the same for all sizes together. None is drawn twice.

    Args:
        n: Number of slots.
        pairs: How many, fewer where there are not as many: at most 2^(n-1) - 1.
        rng: Random generator.
    """
    available = {size: _pairs_of_size(n, size) for size in range(1, n // 2 + 1)}
    pairs = min(pairs, sum(available.values()))
    drawn = list(np.eye(n, dtype=np.bool_)[rng.permutation(n)][: min(pairs, available.get(1, 0))])
    seen = {half.tobytes() for half in drawn}
    taken = dict.fromkeys(available, 0) | {1: len(drawn)}
    while len(drawn) < pairs:
        # A pair of two halves of equal size is one coalition of that size and its complement: there are half as many.
        size = min((s for s in available if taken[s] < available[s]), key=lambda s: (taken[s] * (2 if 2 * s == n else 1), -s))
        candidates: list[BoolArray] = []
        while len(candidates) < _CANDIDATES:
            half = np.isin(np.arange(n), rng.permutation(n)[:size])
            half = ~half if 2 * size == n and not half[0] else half
            if half.tobytes() not in seen:
                candidates.append(half)
        likeness = ((_signs(np.array(candidates)) @ _signs(np.array(drawn)).T) ** 4).sum(axis=1)
        drawn.append(candidates[int(np.argmin(likeness))])
        seen.add(drawn[-1].tobytes())
        taken[size] += 1
    return np.array(drawn, dtype=np.bool_).reshape(-1, n)


@dataclass(frozen=True, slots=True)
class PairedFit:
    """Linear maps from half differences of pairs to Shapley values and what is needed to judge them.

    The half differences are (v(S) - v(complement of S)) / 2, first that of all slots on, then those of the pairs drawn:
    shape [1 + pairs, ...], where further axes are games of their own.

    Attributes:
        weights: To Shapley values, shape [n, 1 + pairs].
        left_out: To each drawn pair's value less what the fit without it predicts, shape [pairs, 1 + pairs].
        jackknife: From squares of those to the variances of the Shapley values, shape [n, pairs]; None when no pair was
            drawn from a size of which others were not, so that nothing says how far those are from the fit.
        degrees_of_freedom: Of these variances, shape [n]; None likewise.
    """

    weights: FloatArray
    left_out: FloatArray
    jackknife: FloatArray | None
    degrees_of_freedom: FloatArray | None

    def shapley_values(self, differences: FloatArray) -> FloatArray:
        """Estimates, shape [n, ...]."""
        return self.weights @ differences

    def sampling_errors(self, differences: FloatArray) -> FloatArray | None:
        """Standard errors from not evaluating all pairs, shape [n]; None when unknown."""
        return None if self.jackknife is None else np.sqrt(self.jackknife @ (self.left_out @ differences) ** 2)


def paired_fit(halves: BoolArray) -> PairedFit | None:
    """The fit to the pairs that these coalitions begin; None for fewer pairs than slots.

    The error is the jackknife's over pairs: leaving one out changes the estimate by its weight times what the fit
    without it mispredicts. Sizes of which every pair is known have none. The jackknife knows neither that pairs were
    drawn to differ from each other nor how many are left, so each slot's is scaled to be right on average for values
    that scatter about the fit independently and equally; from the same model come the degrees of freedom.

    Args:
        halves: As `paired_coalitions` draws them, or the first of those, shape [pairs, n].
    """
    pairs, n = halves.shape
    if pairs < n:
        return None
    on = np.vstack([np.ones((1, n), dtype=np.bool_), halves])
    known = _shapley_weights(on)
    regressors = _signs(on) / 2
    fit = np.linalg.pinv(regressors)
    unknown = np.eye(n) - known @ regressors
    weights = known + unknown @ fit
    residuals = np.eye(pairs + 1) - regressors @ fit
    own = np.diag(residuals)[1:]
    left_out = residuals[1:] / own[:, None]

    squares = weights[:, 1:] ** 2 * _unknown_share(halves)
    expected = squares @ (1 / own)
    if not expected.all():
        return PairedFit(weights, left_out, None, None)
    every_pair = 4 / n**2 * sum(1 / comb(n - 1, others) for others in range(n))
    variances = every_pair - (known**2).sum(axis=1) + ((unknown @ fit) ** 2).sum(axis=1)
    correlated = (residuals[1:, 1:] / np.outer(own, own)) ** 2
    degrees_of_freedom = expected**2 / np.einsum("ij,jk,ik->i", squares, correlated, squares)
    return PairedFit(weights, left_out, squares * (variances / expected)[:, None], degrees_of_freedom)


def _shapley_weights(on: BoolArray) -> FloatArray:
    """By slot, how much each pair's half difference counts in the Shapley value, shape [n, pairs].

    It is twice the weight of the pair's coalition that has the slot, negative when that is the complement.
    """
    n = on.shape[1]
    sizes: IntArray = on.sum(axis=1, keepdims=True)
    with_slot = np.where(on, sizes, n - sizes)
    by_size = np.array([0.0, *(2 / (n * comb(n - 1, size - 1)) for size in range(1, n + 1))])
    weights: FloatArray = (by_size[with_slot] * _signs(on)).T
    return weights


def _unknown_share(halves: BoolArray) -> FloatArray:
    """For each pair, which share of the pairs of its size is not among them, shape [pairs]."""
    n = halves.shape[1]
    sizes = halves.sum(axis=1)
    counts = np.bincount(sizes, minlength=n)
    share: FloatArray = np.array([1 - counts[size] / _pairs_of_size(n, size) for size in sizes.tolist()])
    return share


def _pairs_of_size(n: int, size: int) -> int:
    return comb(n, size) // (2 if 2 * size == n else 1)


def _signs(on: BoolArray) -> FloatArray:
    return np.where(on, 1.0, -1.0)
