"""What a controller may do, as a choice per head: op, then slot, then blueprint or blend where the op takes one.

A head is masked to what is legal after the heads before it, so that every combination that can be drawn can be carried out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from examples.slots import CURVES
from karn_wandb import FactoredAction

OPS = ("WAIT", "GERMINATE", "ADVANCE", "FOSSILIZE", "PRUNE")
BLENDS = tuple(CURVES)
HEADS = ("op", "slot", "blueprint", "blend")


class Legal(NamedTuple):
    """What is legal at a decision, as masks of booleans; with a dimension for decisions in front of each where there are many.

    Attributes:
        op: (ops,).
        slot: (ops, slots): of each op, the slots it may concern. All false for WAIT, which concerns none.
        blueprint: (slots, blueprints): of each slot, what may germinate in it.
    """

    op: Tensor
    slot: Tensor
    blueprint: Tensor


def stacked(legal: Sequence[Legal]) -> Legal:
    """Those of many decisions as one."""
    return Legal(*map(torch.stack, zip(*legal, strict=True)))


@dataclass(frozen=True, slots=True)
class Space:
    """The choices that there are.

    Attributes:
        slots: Names of the slots.
        blueprints: Names of the blueprints.
    """

    slots: tuple[str, ...]
    blueprints: tuple[str, ...]

    def sizes(self) -> dict[str, int]:
        """Choices of each head."""
        return {"op": len(OPS), "slot": len(self.slots), "blueprint": len(self.blueprints), "blend": len(BLENDS)}

    def legal(self, slots: Mapping[str, set[str]], blueprints: Mapping[str, set[str]]) -> Legal:
        """The masks.

        Args:
            slots: Of each op but WAIT, the slots it may concern.
            blueprints: Of each slot, what may germinate in it.
        """
        slot = torch.tensor([[name in slots.get(op, ()) for name in self.slots] for op in OPS])
        blueprint = torch.tensor([[name in blueprints.get(slot_id, ()) for name in self.blueprints] for slot_id in self.slots])
        op = slot.any(dim=-1)
        op[OPS.index("WAIT")] = True
        return Legal(op, slot, blueprint)

    def named(self, chosen: Tensor) -> FactoredAction:
        """The action of one choice (heads,)."""
        op, slot, blueprint, blend = chosen.tolist()
        used = uses(OPS[op])
        return FactoredAction(
            op=OPS[op],
            slot=self.slots[slot] if "slot" in used else None,
            blueprint=self.blueprints[blueprint] if "blueprint" in used else None,
            blend=BLENDS[blend] if "blend" in used else None,
        )


def uses(op: str) -> tuple[str, ...]:
    """The heads that an op takes."""
    if op == "WAIT":
        return ("op",)
    return ("op", "slot", *{"GERMINATE": ("blueprint",), "ADVANCE": ("blend",)}.get(op, ()))


def used(ops: Tensor) -> dict[str, Tensor]:
    """Of each head, in which decisions it is used: booleans in the shape of the ops' indices."""
    by_head = {head: torch.tensor([head in uses(op) for op in OPS]) for head in HEADS}
    return {head: known[ops] for head, known in by_head.items()}
