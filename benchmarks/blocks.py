"""Blocks of work by several arms in turn, timed, and what their times say about each other.

A machine's speed drifts; within one block all arms meet the same drift. So each arm's time is divided by the bare arms'
time in the same block, and the median over blocks is reported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import binom


class Arm(Protocol):
    """One of the things compared."""

    def begin(self) -> None:
        """Get ready for a block; not timed."""

    def block(self, steps: int) -> None:
        """Do the work that is timed."""

    def drain(self) -> None:
        """Wait for what other threads have left to do; timed apart."""


@dataclass(frozen=True, slots=True)
class BlockTime:
    """Seconds that one block took.

    Attributes:
        block: On the training thread.
        drained: The same with the wait for the sinks' threads at its end.
    """

    block: float
    drained: float


@dataclass(frozen=True, slots=True)
class Median:
    """A median over blocks.

    Attributes:
        value: The median.
        low: Lower end of its interval; None when there are too few blocks for one.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None


def take_turns(arms: Mapping[str, Arm], blocks: int, steps: int, *, pause: float, seed: int = 0) -> dict[str, list[BlockTime]]:
    """Run every arm once a block, in an order shuffled anew for each; the first round warms up and is left out.

    Args:
        arms: What is compared, by name.
        blocks: Number of blocks.
        steps: Training steps of an arm in a block.
        pause: Seconds of rest after each arm, in which the W&B service process, which is not ours to wait for, gets on.
        seed: Random seed of the order.
    """
    generator = np.random.default_rng(seed)
    names = list(arms)
    times: dict[str, list[BlockTime]] = {name: [] for name in names}
    for _ in range(blocks + 1):
        for place in generator.permutation(len(names)):
            times[names[place]].append(time_block(arms[names[place]], steps))
            time.sleep(pause)
    return {name: measured[1:] for name, measured in times.items()}


def time_block(arm: Arm, steps: int) -> BlockTime:
    """Time one block of one arm."""
    arm.begin()
    started = time.perf_counter()
    arm.block(steps)
    worked = time.perf_counter()
    arm.drain()
    return BlockTime(worked - started, time.perf_counter() - started)


def median(values: Sequence[float], confidence: float = 0.95) -> Median:
    """The median and its interval, from order statistics alone.

    How many of n values lie below the true median is binomial with n and 1/2, whatever their distribution, so the k-th
    smallest and the k-th largest bound it with a probability of at least `confidence` for the largest k with
    P(Binomial(n, 1/2) < k) <= (1 - confidence) / 2 (Conover, "Practical Nonparametric Statistics", 3rd ed., 1999, 3.2).
    Below 6 values there is no such k for 95 %.
    """
    ordered = np.sort(values)
    k = int(binom.ppf((1 - confidence) / 2, len(ordered), 0.5))
    middle = float(np.median(ordered))
    return Median(middle, float(ordered[k - 1]), float(ordered[-k])) if k else Median(middle, None, None)
