"""The bootstrap companion, against scipy's."""

import numpy as np
import pytest
from scipy import stats

from karn_wandb.statistics.intervals import BATCH_ELEMENTS, batches, bootstrap_interval


def interval(treatment, control, *, paired, confidence=0.95, seed=0):
    return bootstrap_interval(treatment, control, paired=paired, confidence=confidence, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_agrees_with_scipys_percentile_bootstrap(paired, confidence):
    rng = np.random.default_rng(0)
    treatment, control = rng.normal(1, 1, 15), rng.normal(0, 2, 15)
    theirs = stats.bootstrap(
        (treatment, control),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        paired=paired,
        confidence_level=confidence,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert interval(treatment, control, paired=paired, confidence=confidence) == pytest.approx(tuple(theirs), abs=0.06)


def test_pairs_are_resampled_as_pairs():
    """Runs that share a random seed share its luck: the interval of their differences must not contain it."""
    luck = np.linspace(0, 100, 12)
    noise = np.array([0.1, -0.2, 0.05] * 4)
    low, high = interval(luck + 1 + noise, luck, paired=True)
    assert 0.8 < low < high < 1.2


def test_the_seed_decides_the_draws():
    values = np.arange(12.0)
    assert interval(values, values**1.1, paired=False, seed=1) == interval(values, values**1.1, paired=False, seed=1)
    assert interval(values, values**1.1, paired=False, seed=1) != interval(values, values**1.1, paired=False, seed=2)


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (9_999, 8), (9_999, 2_000), (3, 2 * BATCH_ELEMENTS)])
def test_batches_cover_all_rows_within_bounded_memory(rows, width):
    sizes = list(batches(rows, width))
    assert sum(sizes) == rows
    assert all(1 <= size <= max(1, BATCH_ELEMENTS // width) for size in sizes)
