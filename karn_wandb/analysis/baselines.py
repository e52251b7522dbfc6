"""What is usual for a value, learned from its own past, and when a value is far above it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

AT_ONCE = 5.5
TWICE = 3.5
LINEAR = 1.5
SMALLEST_EXCESS = 0.01
FEW = 5
HUGE = 1e100


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a baseline learns and forgets.

    Attributes:
        window: Usual values it rests on, the newest.
        warm_up: Values before anything can be unusual.
        lasting: Values after which an anomaly that goes on is the new normal.
        calm: Values in a row below half-way that end an anomaly.
        refresh: Values between two computations of the limits, at most.
    """

    window: int
    warm_up: int
    lasting: int
    calm: int
    refresh: int


BATCHES = Pace(window=128, warm_up=20, lasting=64, calm=5, refresh=64)
EPOCHS = Pace(window=10, warm_up=3, lasting=5, calm=1, refresh=1)


@dataclass(frozen=True, slots=True)
class Excess:
    """A value with which an anomaly starts.

    Attributes:
        value: The value.
        typical: Average or median of the usual values before it.
        limit: What it had to exceed.
    """

    value: float
    typical: float
    limit: float


class Baseline:
    """The usual values of one quantity, and the anomaly under way.

    A value is unusual above `limit`, the largest of

    - `factor` times the typical value (with a negative typical value t: t + (factor - 1) * |t|);
    - what noise explains: the mean plus `TWICE` = 3.5 upward deviations (the root of twice the upper semivariance:
      the standard deviation when noise is symmetric), on a log scale when all usual values are positive, because
      losses and norms vary by factors. A lone value between 3.5 and
      `AT_ONCE` = 5.5 is taken for noise and enters the baseline: an anomaly starts with the second in a row, or with
      one above 5.5. On a linear scale both are `LINEAR` = 1.5 times as wide, since there the noise may be skewed;
    - the typical value plus 1 % of the first typical value: twice nearly nothing is still nothing.

    With an anomaly, values stop entering the baseline until `calm` of them in a row were below half-way between
    typical value and limit: those enter, the others are forgotten. An anomaly of `lasting` values is the new normal.
    Only then can the next anomaly start. NaN, infinities and exact zeros (nothing was trained) are passed over;
    magnitudes above `HUGE` = 1e100 count as that.

    Args:
        factor: How many times the typical value is too much.
        pace: How fast it learns.
        center: The typical value of many: mean or median.
    """

    def __init__(self, factor: float, pace: Pace, center: Callable[[Sequence[float]], float] = fmean) -> None:
        self._factor, self._pace, self._center = factor, pace, center
        self._usual: deque[float] = deque(maxlen=pace.window)
        self._held: list[float] = []
        self._due, self._calm = pace.warm_up, 0
        self._least: float | None = None
        self.open = False
        self.typical = math.nan
        self.limit = self._at_once = math.inf

    def observe(self, value: float) -> Excess | None:
        """The excess with which an anomaly starts, None otherwise."""
        if not -HUGE < value < HUGE:
            value = math.copysign(HUGE, value) if math.isfinite(value) else 0.0
        if not value:
            return None
        if not self._held and value <= self.limit:
            self._usual.append(value)
            self._due -= 1
            if not self._due:
                self._refresh()
            return None
        if self.open:
            self._follow(value)
            return None
        return self._suspect(value)

    def _suspect(self, value: float) -> Excess | None:
        """Tell the start of an anomaly from a lone value."""
        if not self._held:
            self._refresh()
        if value > self._at_once or (self._held and value > self.limit):
            self._held, self._calm, self.open = [value], 0, True
            return Excess(value, self.typical, self.limit)
        if value > self.limit:
            self._held.append(value)
        else:
            self._learn([*self._held, value])
        return None

    def _follow(self, value: float) -> None:
        """Wait for the end of the anomaly."""
        self._held.append(value)
        self._calm = self._calm + 1 if value <= (self.typical + self.limit) / 2 else 0
        if self._calm == self._pace.calm:
            self._learn(self._held[-self._calm :])
        elif len(self._held) == self._pace.lasting:
            self._usual.clear()
            self._learn(self._held)

    def _learn(self, values: Iterable[float]) -> None:
        self._usual.extend(values)
        self._held, self.open = [], False
        self._refresh()

    def _refresh(self) -> None:
        """Compute typical value and limits; before the warm-up is over there is nothing to compute."""
        values = self._usual
        if len(values) < self._pace.warm_up:
            return
        self._due = min(self._pace.refresh, len(values))
        self.typical = typical = self._center(values)
        if self._least is None:
            self._least = SMALLEST_EXCESS * abs(typical)
        enough = typical + max((self._factor - 1) * abs(typical), self._least)
        twice, at_once = _noise(values)
        self.limit, self._at_once = max(enough, twice), max(enough, at_once)


def _noise(values: Sequence[float]) -> tuple[float, float]:
    """Up to where values are explained by noise: two in a row, and a single one."""
    if min(values) <= 0:
        mean, std = _upward(values)
        return mean + LINEAR * TWICE * std, mean + LINEAR * AT_ONCE * std
    mean, std = _upward([math.log(value) for value in values])
    return _exp(mean + TWICE * std), _exp(mean + AT_ONCE * std)


def _exp(value: float) -> float:
    return math.exp(value) if value < math.log(HUGE) else math.inf


def _upward(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and upward deviation; the fewer the values, the more is added for not knowing it well."""
    mean = fmean(values)
    above = sum([(value - mean) ** 2 for value in values if value > mean])
    return mean, math.sqrt(2 * above / len(values)) * (1 + FEW / len(values))


class Baselines:
    """Baselines of values that belong together: while one of them is anomalous, others that follow are the same anomaly.

    Args:
        factor: How many times the typical value is too much.
        pace: How fast they learn.
        center: The typical value of many: mean or median.
    """

    def __init__(self, factor: float, pace: Pace, center: Callable[[Sequence[float]], float] = fmean) -> None:
        self.factor = factor
        self._pace, self._center = pace, center
        self._of: dict[str, Baseline] = {}

    def observe(self, values: Mapping[str, float]) -> dict[str, Excess]:
        """What starts an anomaly, by name; empty when nothing does, or one is under way."""
        found: dict[str, Excess] = {}
        for name, value in values.items():
            baseline = self._of.get(name)
            if baseline is None:
                baseline = self._of[name] = Baseline(self.factor, self._pace, self._center)
            excess = baseline.observe(value)
            if excess:
                found[name] = excess
        if found and any(baseline.open for name, baseline in self._of.items() if name not in found):
            return {}
        return found

    def forget(self, name: str) -> None:
        """Start over with a name: it means something else now."""
        self._of.pop(name, None)


class Interruptions:
    """Conditions that belong together, such as loss and gradients not being finite; together one interruption.

    Args:
        patience: By source, how many observations in a row begin an interruption, and how many without end it.

    Attributes:
        quiet: Whether nothing has begun, not even a row that might become an interruption.
    """

    def __init__(self, **patience: tuple[int, int]) -> None:
        self._patience = patience
        self._contrary = dict.fromkeys(patience, 0)
        self._open: set[str] = set()
        self.quiet = True

    def observe(self, **sources: bool) -> bool:
        """Whether an interruption begins now, no other source being interrupted already."""
        calm_before = not self._open
        for source, bad in sources.items():
            self._observe(source, bad)
        self.quiet = not self._open and not any(self._contrary.values())
        return calm_before and bool(self._open)

    def _observe(self, source: str, bad: bool) -> None:
        if bad is (source in self._open):
            self._contrary[source] = 0
            return
        self._contrary[source] += 1
        to_begin, to_end = self._patience[source]
        if self._contrary[source] < (to_begin if bad else to_end):
            return
        self._contrary[source] = 0
        if bad:
            self._open.add(source)
        else:
            self._open.discard(source)


class Alive:
    """Things that showed signs of life, and for how many batches they have not.

    Args:
        patience: Batches without a sign after which one is dead.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._still: dict[str, int] = {}

    def observe(self, signs: Mapping[str, bool], batches: int) -> dict[str, float]:
        """Take a stretch of batches into account.

        Args:
            signs: Whether there was a sign of life in them, by name. What is not named is forgotten.
            batches: How many they were.

        Returns:
            What is dead from now on, with its batches without a sign.
        """
        before = self._still
        known = {name: alive for name, alive in signs.items() if alive or name in before}
        self._still = {name: 0 if alive else before[name] + batches for name, alive in known.items()}
        return {name: float(still) for name, still in self._still.items() if before.get(name, 0) < self._patience <= still}

    def forget(self, mean: Callable[[str], bool]) -> None:
        """Start over with the names that are meant."""
        self._still = {name: still for name, still in self._still.items() if not mean(name)}


class Falls:
    """A value that falls from one observation to the next by more than a threshold.

    While it goes on falling like that it is one fall, which ends with a step down of at most half the threshold.

    Args:
        threshold: What is too much, in the value's unit.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._before: float | None = None
        self._falling = False

    def observe(self, value: float) -> float | None:
        """The value before, when a fall starts; None otherwise."""
        before, self._before = self._before, value
        step = 0.0 if before is None else before - value
        starts = step > self._threshold and not self._falling
        self._falling = starts or (self._falling and step > self._threshold / 2)
        return before if starts else None
