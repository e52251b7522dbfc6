"""The bootstrap companions, against scipy's."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from karn_wandb.statistics.bootstrap import (
    BATCH_ELEMENTS,
    batches,
    bca_interval,
    percentile_interval,
    resampled_differences,
)


def interval(treatment, control, *, paired, confidence=0.95, seed=0):
    return percentile_interval(
        resampled_differences(treatment, control, paired=paired, rng=np.random.default_rng(seed)), confidence
    )


def mean_difference(a, b, axis):
    return np.mean(a, axis=axis) - np.mean(b, axis=axis)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_agrees_with_scipys_percentile_bootstrap(paired, confidence):
    rng = np.random.default_rng(0)
    treatment, control = rng.normal(1, 1, 15), rng.normal(0, 2, 15)
    theirs = stats.bootstrap(
        (treatment, control),
        mean_difference,
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


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("sizes", [(8, 8), (16, 16), (4, 32)])
def test_bca_is_scipys_of_the_same_resamples(paired, confidence, sizes):
    """Given our resamples and told to draw no more, scipy computes bias, acceleration by jackknife, and percentiles."""
    rng = np.random.default_rng(sum(sizes))
    treatment, control = (np.round(1024 * rng.gamma(1, 1, size)) / 1024 for size in sizes)  # means are exact: ties are ties
    control = control[: treatment.size] if paired else control
    resampled = resampled_differences(treatment, control, paired=paired, rng=rng)
    theirs = stats.bootstrap(
        (treatment - control,) if paired else (treatment, control),
        np.mean if paired else mean_difference,
        n_resamples=0,
        confidence_level=confidence,
        method="BCa",
        bootstrap_result=SimpleNamespace(bootstrap_distribution=resampled),
    ).confidence_interval
    ours = bca_interval(resampled, treatment, control, paired=paired, confidence=confidence)
    assert ours == pytest.approx(tuple(theirs), rel=1e-8)
    assert ours != percentile_interval(resampled, confidence)


def test_bca_moves_towards_the_long_tail():
    values = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 9.0])
    resampled = resampled_differences(values, 0 * values, paired=True, rng=np.random.default_rng(0))
    plain = percentile_interval(resampled, 0.95)
    corrected = bca_interval(resampled, values, 0 * values, paired=True, confidence=0.95)
    assert corrected[0] > plain[0]
    assert corrected[1] > plain[1]


def test_bca_is_undefined_when_all_resamples_lie_on_one_side():
    values = np.array([1.0, 2.0, 4.0])
    assert bca_interval(np.full(100, 9.0), values, 0 * values, paired=True, confidence=0.95) is None


@pytest.mark.parametrize("unit", [1e-140, 1e140])
def test_bca_does_not_depend_on_the_unit(unit):
    rng = np.random.default_rng(0)
    treatment, control = rng.gamma(1, 1, 12), rng.gamma(2, 1, 9)
    resampled = resampled_differences(treatment, control, paired=False, rng=rng)
    usual = bca_interval(resampled, treatment, control, paired=False, confidence=0.95)
    scaled = bca_interval(resampled * unit, treatment * unit, control * unit, paired=False, confidence=0.95)
    assert scaled == pytest.approx([bound * unit for bound in usual], rel=1e-9)


def test_bca_counts_ties_one_half_whatever_the_rounding():
    tenths = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    whole = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    by_tenths, by_whole = (
        bca_interval(
            resampled_differences(values, 0 * values, paired=True, rng=np.random.default_rng(1)),
            values, 0 * values, paired=True, confidence=0.95,
        )
        for values in (tenths, whole)
    )  # fmt: skip
    assert by_whole == pytest.approx([10 * bound for bound in by_tenths], rel=1e-12)
