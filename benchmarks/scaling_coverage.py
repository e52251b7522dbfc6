"""Do 95 % intervals of scaling curves hold what they promise? Simulated host-only runs of known curves.

    python -m benchmarks.scaling_coverage

A row is `--experiments` experiments: host-only runs of several sizes drawn around a known curve, and grown runs as good as
the host alone at a known size. Counted is how often the interval of the equivalent size holds that size, those of the
curve the curve (at the geometric mean of the sizes), and those of E and alpha the truth. The curve is that of Hoffmann
et al. 2022 in parameters, L = 1.69 + 406.4 N^-0.34 (their parametric fit without its data term), with a standard deviation
between random seeds of 0.005; the last row is of a small network in percent.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.offline import table
from karn_wandb.attribution.games import FloatArray
from karn_wandb.records import Estimate
from karn_wandb.statistics.scaling import Runs, fit_scaling

Noise = Callable[[np.random.Generator, int], FloatArray]


@dataclass(frozen=True, slots=True)
class Law:
    """E + A c^-alpha."""

    floor: float
    coefficient: float
    exponent: float

    def __call__(self, cost: float) -> float:
        """The error at a cost."""
        return self.floor + self.coefficient * cost**-self.exponent


HOFFMANN = Law(1.69, 406.4, 0.34)
SMALL = Law(12, 2600, 0.42)


@dataclass(frozen=True, slots=True)
class Row:
    """One setting.

    Attributes:
        name: Of the setting.
        sizes: Costs of the host-only models.
        runs: Runs of each, and of the grown model, which has at least three.
        equivalent: Size of the host-only model that is as good as the grown one.
        law: The true curve.
        spread: Standard deviation of a run at the smallest size and at the largest, geometric between them.
        noise: Draws deviations of mean 0 and standard deviation 1.
    """

    name: str
    sizes: tuple[float, ...]
    runs: int
    equivalent: float
    law: Law = HOFFMANN
    spread: tuple[float, float] = (0.005, 0.005)
    noise: Noise = lambda rng, n: rng.normal(size=n)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What came out for a row, as shares of its experiments.

    Attributes:
        equivalent: Intervals of the equivalent size that hold it.
        curve: Intervals of the curve amid the sizes that hold it.
        floor: Intervals of E that hold it.
        exponent: Intervals of alpha that hold it.
        open: Intervals of the equivalent size that are open above.
        width: Median of upper over lower end, infinite for open ones.
    """

    equivalent: float
    curve: float
    floor: float
    exponent: float
    open: float
    width: float


def rows() -> Iterator[Row]:
    """All settings."""
    beyond, far, inside = (1e9, 3e9, 1e10, 3e10), (1e8, 3e8, 1e9, 3e9), (1e10, 3e10, 1e11, 3e11)
    for runs in (2, 3, 5):
        yield Row(f"1 to 30 billion, {runs} runs a size", beyond, runs, 130e9)
    yield Row("0.1 to 3 billion, 3 runs a size", far, 3, 130e9)
    for runs in (2, 3, 5):
        yield Row(f"10 to 300 billion, {runs} runs a size", inside, runs, 130e9)
    six = tuple(float(size) for size in np.geomspace(1e10, 3e11, 6))
    yield Row("10 to 300 billion, 6 sizes, 3 runs", six, 3, 130e9)
    yield Row("the same, 4 sizes, smallest scatters 3 times as much", inside, 3, 130e9, spread=(0.015, 0.005))
    yield Row("the same, largest scatters 3 times as much", inside, 3, 130e9, spread=(0.005, 0.015))
    yield Row("the same, skewed (exponential)", inside, 3, 130e9, noise=lambda rng, n: rng.exponential(size=n) - 1)
    yield Row("6,300 to 400,000, percent, 3 runs", (6.3e3, 2.5e4, 1e5, 4e5), 3, 290e3, SMALL, (0.6, 0.6))


def coverage(row: Row, experiments: int, seed: int = 0) -> Coverage:
    """Make that many experiments."""
    spreads = np.geomspace(*row.spread, len(row.sizes)).tolist()
    amid = math.sqrt(row.sizes[0] * row.sizes[-1])
    held, widths = [], []
    for number in range(experiments):
        rng = np.random.default_rng((seed, number))
        sizes = [_runs(row, size, spread, row.runs, rng) for size, spread in zip(row.sizes, spreads, strict=True)]
        curve = fit_scaling(sizes, rng=rng)
        found = curve.equivalent(_runs(row, row.equivalent, spreads[-1], max(row.runs, 3), rng), rng)
        held.append(
            (
                found.low is not None and found.low <= row.equivalent and (found.high is None or row.equivalent <= found.high),
                _holds(curve.error_at(amid), row.law(amid)),
                _holds(curve.fit.floor, row.law.floor),
                _holds(curve.fit.exponent, row.law.exponent),
                found.high is None,
            )
        )
        widths.append(found.high / found.low if found.low and found.high is not None else math.inf)
    return Coverage(*np.mean(held, axis=0).tolist(), float(np.median(widths)))


def _runs(row: Row, size: float, spread: float, runs: int, rng: np.random.Generator) -> Runs:
    return Runs(np.full(runs, size), row.law(size) + spread * row.noise(rng, runs))


def _holds(found: Estimate, truth: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= truth <= found.high


def percent(share: float) -> str:
    """A share as the table shows it."""
    return f"{100 * share:.1f} %"


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000, help="experiments a row, default 1000")
    experiments = parser.parse_args(arguments).experiments
    lines = []
    for row in rows():
        found = coverage(row, experiments)
        shares = (found.equivalent, found.curve, found.floor, found.exponent, found.open)
        width = "open" if math.isinf(found.width) else f"{found.width:.2f}"
        lines.append([row.name, *map(percent, shares), width])
    print(table(["sizes, runs", "equivalent", "curve", "E", "α", "open above", "high / low"], lines))


if __name__ == "__main__":
    main()
