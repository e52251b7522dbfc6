"""How often the policy did what the shadow heuristic would have done, as counts of an episode's decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from karn_wandb.analysis.policy import MOST_NAMES, OTHER, agree
from karn_wandb.records import FactoredAction, PolicySnapshot

WHOLE = "action"
"""What the whole decision is called beside its heads."""

_HEADS = tuple(name for name in FactoredAction.__dataclass_fields__ if name != "op")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Decisions that carry the heuristic's action beside the policy's.

    Attributes:
        decisions: How many there are.
        compared: Of how many each head was compared: `WHOLE` and "op" of all, another head where both chose the same op and
            the heuristic filled that head.
        agreed: In how many of these the policy chose as the heuristic.
        ops: How often each pair of ops was met: the policy's, the heuristic's, decisions; the most frequent first.
    """

    decisions: int
    compared: Mapping[str, int]
    agreed: Mapping[str, int]
    ops: tuple[tuple[str, str, int], ...]

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
        ops = tuple((str(ours), str(theirs), int(many)) for ours, theirs, many in plain["ops"])
        return cls(plain["decisions"], dict(plain["compared"]), dict(plain["agreed"]), ops)


def agreement(decisions: Iterable[PolicySnapshot]) -> Agreement | None:
    """The counts of an episode's decisions; None when none carries the heuristic's action."""
    total = 0
    compared: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    ops: Counter[tuple[str, str]] = Counter()
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
        ops[pair if pair in ops or len(ops) < MOST_NAMES else (OTHER, OTHER)] += 1
    if not total:
        return None
    listed = sorted(((*pair, many) for pair, many in ops.items()), key=lambda found: (-found[2], found))
    return Agreement(total, dict(compared), {head: agreed[head] for head in compared}, tuple(listed))
