"""Two ways a policy's training dies quietly: a critic that says the same everywhere, a policy that no longer explores.

Both are read from PPO updates, or from decisions where only those are logged. Thresholds are this package's conventions.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from karn_wandb.records import PolicySnapshot, PPOUpdate

FLAT = 0.01
"""Values that spread at most this fraction of the returns explain at most 2 * 0.01 - 0.01^2 = 2 % of their variance."""

CERTAIN = 0.05
"""Entropy of at most this fraction of the highest there was is a collapse."""

EXPLORED = 0.05
"""Entropy, nats, below which a policy does not explore: a choice of two taken 99 times in 100 has 0.056."""

ROUNDING = 1e-6
"""Relative differences below it may be single precision's rounding."""

RARELY, TINY = 0.1, 1e-3
"""Returns say little of the critic when they spread less than a tenth of the usual, or a thousandth of its error."""

UPDATES, DECISIONS = 5, 20
"""How many are looked at together."""

WARM_UP_UPDATES, WARM_UP_DECISIONS = 5, 10
"""How many at the beginning are not looked at for a value collapse, because an untrained critic is flat."""


def value_collapsed(value_std: float, return_std: float) -> bool:
    """Whether the critic predicts nearly the same everywhere although returns vary: it spreads at most 1 % of what they do."""
    return return_std > 0 and value_std <= FLAT * return_std


def entropy_collapsed(entropy: float, highest: float) -> bool:
    """Whether a policy that explored (0.05 nats or more) no longer does: its entropy is at most 5 % of the highest."""
    return highest >= EXPLORED and entropy <= CERTAIN * highest


class Patience(NamedTuple):
    """Hysteresis: begins with `needed` bad ones of the newest `window`, is over with at most `over`."""

    needed: int
    window: int
    over: int


LASTING = Patience(needed=3, window=5, over=1)


class Condition:
    """Something that holds or does not, with hysteresis.

    Attributes:
        holds: Whether it does.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._recent: deque[bool] = deque(maxlen=patience.window)
        self.holds = False

    def observe(self, *, bad: bool) -> bool:
        """Whether it begins now."""
        self._recent.append(bad)
        held, count = self.holds, sum(self._recent)
        self.holds = count > self._patience.over if held else count >= self._patience.needed
        return self.holds and not held


class ReturnsSpread:
    """Whether returns vary enough for a critic to be measured by them.

    They do when `return_std` is known, above 0, at least a tenth of its median over up to ten updates, this one among
    them, and at least a thousandth of the critic's RMSE (`value_nrmse` at most 1000), where that is known.
    """

    def __init__(self) -> None:
        self._usual: deque[float] = deque(maxlen=10)

    def varies(self, update: PPOUpdate) -> bool:
        """Take an update into account; whether its returns vary."""
        std, error = update.return_std, update.value_nrmse
        if std is None or not 0 < std < math.inf:
            return False
        self._usual.append(std)
        return std >= RARELY * median(self._usual) and (error is None or not error > 1 / TINY)


class ValueCollapse:
    """Notices when the critic predicts nearly the same value everywhere although it should not.

    - In updates: `value_std` is at most 1 % of `return_std` in 3 of the newest 5; over when in at most 1. Only updates
      whose returns vary count, see `ReturnsSpread`, and the first 5 of them do not.
    - In decisions: the newest 20 values spread (population standard deviation) at most 1 % of what their rewards do, or
      not at all but for rounding; over when they spread more than twice that. The observations must differ: at least 10
      of the 20. Where no observations are logged the rewards must differ. The first 10 decisions do not count.

    Rewards stand in for returns: a sum of rewards spreads more than one of them, unless they cancel. A collapse is told
    when it begins, and again only after it was over; once when updates and decisions both show it.
    """

    def __init__(self) -> None:
        self._updates, self._decisions = _FlatUpdates(), _FlatDecisions()

    def observe(self, record: PPOUpdate | PolicySnapshot) -> dict[str, float] | None:
        """Take a record into account.

        Returns:
            When a collapse begins: `value_std`, what it was compared with (`return_std`, `reward_std`, or `value_size`, the
            largest magnitude of the values) and `threshold`, all in units of return. Else None.
        """
        if isinstance(record, PPOUpdate):
            cause = self._updates.observe(record)
            return None if self._decisions.holds else cause
        cause = self._decisions.observe(record)
        return None if self._updates.holds else cause


class _FlatUpdates:
    def __init__(self) -> None:
        self._spread, self._condition = ReturnsSpread(), Condition(LASTING)
        self._to_skip = WARM_UP_UPDATES

    @property
    def holds(self) -> bool:
        return self._condition.holds

    def observe(self, update: PPOUpdate) -> dict[str, float] | None:
        returns_vary = self._spread.varies(update)
        value_std, return_std = update.value_std, update.return_std
        if not returns_vary or return_std is None or value_std is None or not math.isfinite(value_std):
            return None
        if self._to_skip:
            self._to_skip -= 1
            return None
        begins = self._condition.observe(bad=value_collapsed(value_std, return_std))
        return {"value_std": value_std, "return_std": return_std, "threshold": FLAT * return_std} if begins else None


class _Decision(NamedTuple):
    value: float
    reward: float | None
    observation: int | None


class _FlatDecisions:
    def __init__(self) -> None:
        self._recent: deque[_Decision] = deque(maxlen=DECISIONS)
        self._to_skip = WARM_UP_DECISIONS
        self.holds = False

    def observe(self, decision: PolicySnapshot) -> dict[str, float] | None:
        value, observation = decision.value_estimate, decision.observation_vector
        if value is None or not math.isfinite(value):
            return None
        if self._to_skip:
            self._to_skip -= 1
            return None
        self._recent.append(_Decision(value, decision.reward_total, hash(observation) if observation else None))
        measured = self._measured() if len(self._recent) == DECISIONS else None
        if measured is None:
            return None
        held = self.holds
        self.holds = measured["value_std"] <= measured["threshold"] * (2 if held else 1)
        return measured if self.holds and not held else None

    def _measured(self) -> dict[str, float] | None:
        """Spread of the values, its reference and threshold; None where the values need not differ."""
        values = [decision.value for decision in self._recent]
        rewards = [d.reward for d in self._recent if d.reward is not None and math.isfinite(d.reward)]
        observations = [d.observation for d in self._recent if d.observation is not None]
        reward_std = _std(rewards) if 2 * len(rewards) >= DECISIONS else 0.0
        if reward_std == 0 if not observations else 2 * len(set(observations)) < DECISIONS:
            return None
        size, spread = max(map(abs, values)), _std(values)
        if FLAT * reward_std > ROUNDING * size:
            return {"value_std": spread, "reward_std": reward_std, "threshold": FLAT * reward_std}
        return {"value_std": spread, "value_size": size, "threshold": ROUNDING * size}


def _std(values: Sequence[float]) -> float:
    """Standard deviation of the values themselves; exactly 0 when they are all the same."""
    if min(values) == max(values):
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) * (value - mean) for value in values) / len(values))


class EntropyCollapse:
    """Notices when a policy that explored becomes deterministic.

    Compared is the mean entropy of the newest 5 updates, or of the newest 20 decisions, with the highest such mean there
    was: a collapse is at most 5 % of it, and over when above 10 %. So nothing is told before there are 5 updates or 20
    decisions, and no single one is a collapse. A policy whose highest mean is below 0.05 nats never explored and cannot stop.

    A decision whose action was masked (`action_was_masked`) does not count: its entropy is 0 by force. Updates without
    `entropy` are taken by the sum of `per_head_entropy`. Entropies that are negative, as those of continuous actions may
    be, or not finite, do not count: there is no scale on which 0 means certain.

    A collapse is told when it begins, and again only after it was over; once when updates and decisions both show it.
    """

    def __init__(self) -> None:
        self._updates, self._decisions = _LowEntropy(UPDATES), _LowEntropy(DECISIONS)

    def observe(self, record: PPOUpdate | PolicySnapshot) -> dict[str, float] | None:
        """Take a record into account.

        Returns:
            When a collapse begins: `entropy`, the mean; `highest`, the highest mean; `threshold`; in nats. Else None.
        """
        if isinstance(record, PPOUpdate):
            heads = sum(record.per_head_entropy.values()) if record.per_head_entropy else None
            cause = self._updates.observe(heads if record.entropy is None else record.entropy)
            return None if self._decisions.holds else cause
        cause = self._decisions.observe(None if record.action_was_masked else record.entropy)
        return None if self._updates.holds else cause


class _LowEntropy:
    def __init__(self, together: int) -> None:
        self._recent: deque[float] = deque(maxlen=together)
        self._highest = 0.0
        self.holds = False

    def observe(self, entropy: float | None) -> dict[str, float] | None:
        if entropy is None or not -ROUNDING <= entropy < math.inf:
            return None
        self._recent.append(entropy)
        if len(self._recent) < (self._recent.maxlen or 0):
            return None
        mean = sum(self._recent) / len(self._recent)
        self._highest = max(self._highest, mean)
        if self.holds:
            self.holds = mean <= 2 * CERTAIN * self._highest
            return None
        self.holds = entropy_collapsed(mean, self._highest)
        return {"entropy": mean, "highest": self._highest, "threshold": CERTAIN * self._highest} if self.holds else None
