"""Arms take turns in blocks; medians over blocks have an interval that assumes nothing about the times."""

from __future__ import annotations

from math import comb

import pytest

from benchmarks.blocks import median, take_turns


class Counting:
    """Keeps who did what, in what order."""

    def __init__(self, name, diary):
        self.name, self.diary = name, diary

    def begin(self):
        self.diary.append((self.name, "begin"))

    def block(self, steps):
        self.diary.append((self.name, steps))

    def drain(self):
        self.diary.append((self.name, "drain"))


def rounds(seed):
    diary = []
    times = take_turns({name: Counting(name, diary) for name in "abcd"}, blocks=8, steps=5, pause=0, seed=seed)
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys("abcd", 8)
    return diary


def test_each_round_runs_every_arm_once_whole():
    """One round more than is reported: the first warms up."""
    diary = rounds(seed=0)
    assert len(diary) == 9 * 4 * 3
    for start in range(0, len(diary), 3):
        name = diary[start][0]
        assert diary[start : start + 3] == [(name, "begin"), (name, 5), (name, "drain")]
    for start in range(0, len(diary), 12):
        assert {name for name, _ in diary[start : start + 12]} == set("abcd")


def test_the_order_is_shuffled_by_the_seed():
    assert rounds(seed=0) == rounds(seed=0) != rounds(seed=1)
    assert len({tuple(rounds(seed=0)[start : start + 12]) for start in range(0, 108, 12)}) > 1


@pytest.mark.parametrize("n", range(1, 60))
def test_the_interval_of_the_median_is_the_shortest_with_its_coverage(n):
    """Against binomial coefficients: P(Binomial(n, 1/2) < k) is within 2.5 %, and no longer for k + 1."""
    found = median([float(i) for i in range(n, 0, -1)])
    outside = [sum(comb(n, j) for j in range(k)) / 2**n for k in range(n + 1)]
    k = max(k for k in range(n) if outside[k] <= 0.025)
    assert found.value == (n + 1) / 2
    assert (found.low, found.high) == ((k, n + 1 - k) if k else (None, None))
