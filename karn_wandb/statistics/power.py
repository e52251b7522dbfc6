"""How many runs a comparison needs."""

from __future__ import annotations

from bisect import bisect_left

from statsmodels.stats.power import TTestIndPower, TTestPower

MOST_RUNS = 1_000_000
FEWEST_RUNS = 3
"""Below it nothing is inferred, whatever the power."""


def required_n(effect: float, *, paired: bool, alpha: float, power: float = 0.8) -> int | None:
    """The smallest number of runs an arm (pairs when paired) with which the two-sided t test has `power`.

    Power comes from the non-central t distribution (Cohen 1988, chapter 2), equal arms and equal variances assumed. It
    counts significance in the direction of the effect, at alpha / 2, as R's power.t.test does: also exactly the power of
    the one-sided test at alpha / 2. So for a margin pass margin / standard deviation, and the answer is the number with
    which non-inferiority is shown when the true difference is zero.

    Args:
        effect: Standardised difference, in standard deviations (of the deltas when paired); its sign does not matter.
        paired: Whether the runs are matched.
        alpha: Two-sided level.
        power: Wanted power, 0 to 1.

    Returns:
        The number, at least 3; None when one million would not do.
    """
    solver = TTestPower() if paired else TTestIndPower()

    def suffices(n: int) -> bool:
        reached = solver.power(abs(effect), n, alpha / 2, alternative="larger")
        return not reached < power  # scipy gives NaN for some powers that are 1 to the last digit

    enough = FEWEST_RUNS
    while not suffices(enough):
        if enough == MOST_RUNS:
            return None
        enough = min(2 * enough, MOST_RUNS)
    return bisect_left(range(enough), x=True, lo=max(FEWEST_RUNS, enough // 2), key=suffices)
