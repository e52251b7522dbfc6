"""How often the policy did what the shadow heuristic would have done, and what that would have brought, in an episode."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from karn_wandb.analysis.policy import MOST_NAMES, OTHER, agree
from karn_wandb.records import FactoredAction, PolicySnapshot

WHOLE = "action"
"""What the whole decision is called beside its heads."""

_HEADS = tuple(name for name in FactoredAction.__dataclass_fields__ if name != "op")


class OpCount(NamedTuple):
    """Decisions at which an op of the policy met one of the heuristic's.

    Attributes:
        policy: What the policy chose.
        heuristic: What the heuristic would have chosen.
        decisions: How many there are.
        regrets: At how many of those that disagree (in the op or another head) a finite regret was measured.
        regret_sum: Sum of these regrets, in reward units; positive where the heuristic's action would have been better.
    """

    policy: str
    heuristic: str
    decisions: int
    regrets: int = 0
    regret_sum: float = 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Decisions that carry the heuristic's action beside the policy's.

    Attributes:
        decisions: How many there are.
        compared: Of how many each head was compared: `WHOLE` and "op" of all, another head where both chose the same op and
            the heuristic filled that head.
        agreed: In how many of these the policy chose as the heuristic.
        ops: How often each pair of ops was met, and its regrets, which together are all there are; the most frequent first.
    """

    decisions: int
    compared: Mapping[str, int]
    agreed: Mapping[str, int]
    ops: tuple[OpCount, ...]

    def to_plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "decisions": self.decisions,
            "compared": dict(self.compared),
            "agreed": dict(self.agreed),
            "ops": list(map(list, self.ops)),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Agreement:
        """Undoes `to_plain`."""
        ops = tuple(OpCount(*pair) for pair in plain["ops"])
        return cls(plain["decisions"], dict(plain["compared"]), dict(plain["agreed"]), ops)


def agreement(decisions: Iterable[PolicySnapshot]) -> Agreement | None:
    """The counts of an episode's decisions; None when none carries the heuristic's action."""
    total = 0
    compared: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    ops: Counter[tuple[str, str]] = Counter()
    regrets: Counter[tuple[str, str]] = Counter()
    regret_sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for decision in decisions:
        ours, heuristic = decision.action, decision.heuristic_action
        if heuristic is None:
            continue
        total += 1
        alike = {WHOLE: agree(ours, heuristic), "op": ours.op == heuristic.op}
        if ours.op == heuristic.op:
            filled = (head for head in _HEADS if getattr(heuristic, head) is not None)
            alike |= {head: getattr(ours, head) == getattr(heuristic, head) for head in filled}
        compared.update(alike.keys())
        agreed.update(head for head, same in alike.items() if same)
        pair = (ours.op, heuristic.op)
        pair = pair if pair in ops or len(ops) < MOST_NAMES else (OTHER, OTHER)
        ops[pair] += 1
        if not alike[WHOLE] and decision.regret is not None and math.isfinite(decision.regret):
            regrets[pair] += 1
            regret_sums[pair] += decision.regret
    if not total:
        return None
    counted = (OpCount(*pair, many, regrets[pair], regret_sums[pair]) for pair, many in ops.items())
    listed = sorted(counted, key=lambda found: (-found.decisions, found))
    return Agreement(total, dict(compared), {head: agreed[head] for head in compared}, tuple(listed))
