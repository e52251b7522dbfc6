"""What the policy does, and how often it does what the heuristic would have done."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from statistics import NormalDist

from karn_wandb.records import FactoredAction, PolicyComparisonSummary, PolicySnapshot

RECENT = 20
"""Decisions that are kept whole."""

MOST_NAMES = 100
"""Names counted apart; a controller that makes up new ones all the time must not fill the memory."""

FEWEST = 3
"""Regrets below which their mean has no interval."""

OTHER = "(other)"

_HEADS = tuple(FactoredAction.__dataclass_fields__)


class PolicyAnalyzer:
    """Follows the decisions of one episode; memory does not grow with their number."""

    def __init__(self) -> None:
        self.decisions = 0
        self._ops: Counter[str] = Counter()
        self._recent: deque[PolicySnapshot] = deque(maxlen=RECENT)
        self._agreeing = _Rewards()
        self._disagreeing = _Rewards()
        self._regrets = _Regrets()
        self._op_agreements = 0
        self._disagreements: Counter[str] = Counter()

    def observe(self, decision: PolicySnapshot) -> None:
        """Take a decision into account."""
        self.decisions += 1
        self._recent.append(decision)
        _count(self._ops, decision.action.op)
        if decision.heuristic_action is not None:
            self._compare(decision, decision.heuristic_action)

    def _compare(self, decision: PolicySnapshot, heuristic: FactoredAction) -> None:
        ours = decision.action
        self._op_agreements += ours.op == heuristic.op
        if agree(ours, heuristic):
            self._agreeing.add(decision.reward_total)
        else:
            self._disagreeing.add(decision.reward_total)
            self._regrets.add(decision.regret)
            _count(self._disagreements, f"{ours.op} instead of {heuristic.op}")

    def comparison(self) -> PolicyComparisonSummary:
        """How often policy and shadow heuristic agree, over the decisions that carry the heuristic's action.

        In `disagreements` the same op twice is a disagreement about its slot, blueprint or another head. Both intervals
        take decisions for independent; those of one episode are not, so they are too narrow rather than too wide.
        """
        agreements = self._agreeing.decisions
        decisions = agreements + self._disagreeing.decisions
        low, high = wilson_interval(agreements, decisions) if decisions else (None, None)
        regret_low, regret_high = self._regrets.interval()
        return PolicyComparisonSummary(
            decisions=decisions,
            agreements=agreements,
            agreement_rate=agreements / decisions if decisions else None,
            ci_low=low,
            ci_high=high,
            op_agreements=self._op_agreements,
            disagreements=dict(self._disagreements.most_common()),
            reward_agreeing=self._agreeing.mean(),
            reward_disagreeing=self._disagreeing.mean(),
            regrets=self._regrets.known,
            regret_mean=self._regrets.mean(),
            regret_ci_low=regret_low,
            regret_ci_high=regret_high,
        )

    def action_distribution(self) -> dict[str, float]:
        """Fraction of the decisions that chose each op."""
        return {op: count / self.decisions for op, count in sorted(self._ops.items())}

    def recent_actions(self) -> tuple[str, ...]:
        """The newest decisions (at most `RECENT`), oldest first, such as "GERMINATE(mid)"."""
        return tuple(short(decision.action) for decision in self._recent)

    def recent_entropy(self) -> float | None:
        """Mean entropy of the newest decisions' action distributions, nats; None where none was measured finite."""
        entropies = _finite(decision.entropy for decision in self._recent)
        return sum(entropies) / len(entropies) if entropies else None

    def recent_value_variance(self) -> float | None:
        """Sample variance of the critic's predictions at the newest decisions; None with fewer than two finite ones.

        Near zero beside returns that vary, the critic predicts the same everywhere.
        """
        values = _finite(decision.value_estimate for decision in self._recent)
        if len(values) < 2:
            return None
        mean = sum(values) / len(values)
        return sum((value - mean) * (value - mean) for value in values) / (len(values) - 1)


def agree(ours: FactoredAction, heuristic: FactoredAction) -> bool:
    """Whether an action is the heuristic's in every head that the heuristic filled."""
    wanted = ((getattr(ours, head), getattr(heuristic, head)) for head in _HEADS)
    return all(theirs is None or chosen == theirs for chosen, theirs in wanted)


def short(action: FactoredAction) -> str:
    """An action in a word: its op, and its slot if it has one."""
    return f"{action.op}({action.slot})" if action.slot is not None else action.op


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927, Journal of the American Statistical Association 22, 209-212).

    With p = k/n, and z the standard normal quantile at (1 + confidence) / 2:

        (p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n)

    Args:
        successes: k, from 0 to n.
        trials: n, at least 1.
        confidence: Its coverage, between 0 and 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, weight = successes / trials, z * z / trials
    middle, half = p + weight / 2, z * math.sqrt(p * (1 - p) / trials + weight / (4 * trials))
    return max(0.0, (middle - half) / (1 + weight)), min(1.0, (middle + half) / (1 + weight))


class _Rewards:
    """Decisions, and the mean reward of those whose reward is known."""

    def __init__(self) -> None:
        self.decisions = self._known = 0
        self._total = 0.0

    def add(self, reward: float | None) -> None:
        self.decisions += 1
        if reward is not None:
            self._known += 1
            self._total += reward

    def mean(self) -> float | None:
        return self._total / self._known if self._known else None


class _Regrets:
    """Mean and spread of the finite ones, without keeping them (Welford 1962, Technometrics 4, 419-420)."""

    def __init__(self) -> None:
        self.known = 0
        self._mean = self._squares = 0.0

    def add(self, regret: float | None) -> None:
        if regret is not None and math.isfinite(regret):
            self.known += 1
            delta = regret - self._mean
            self._mean += delta / self.known
            self._squares += delta * (regret - self._mean)

    def mean(self) -> float | None:
        return self._mean if self.known else None

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | tuple[None, None]:
        """Student's t interval of the mean; none below `FEWEST`, or without spread."""
        if self.known < FEWEST or not self._squares:
            return None, None
        from karn_wandb.statistics.intervals import MeanDifference, t_interval  # noqa: PLC0415 -- scipy takes a while to load

        freedom = self.known - 1
        return t_interval(MeanDifference(self._mean, math.sqrt(self._squares / freedom / self.known), freedom), confidence)


def _count(counter: Counter[str], name: str) -> None:
    counter[name if name in counter or len(counter) < MOST_NAMES else OTHER] += 1


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]
