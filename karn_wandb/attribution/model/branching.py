"""Many coalitions of a model from one pass.

Where the pass comes to a slot, it goes on with both outcomes, off and on, stacked along the batch dimension. So what is in
front of a slot is computed once for all coalitions that agree so far, and what is behind it runs on larger batches instead
of more often. Rows of a batch are *blocks*, one for each set of coalitions that agree so far: at a slot, each block goes on
as one block of those that have the slot off, one of those that have it on, or both. Only what a wanted coalition needs is
computed.

This is right for every model that treats the examples of a batch independently of each other in eval mode. Whether one does
is not believed but looked at: a few coalitions of a few examples against ordinary passes at first, and one coalition of a
few examples in every batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karn_wandb.attribution.model.footprint import Footprint
from karn_wandb.attribution.model.interception import Forward, Unsuitable, intercepted
from karn_wandb.attribution.model.outcomes import Outcomes, outcomes
from karn_wandb.attribution.model.switches import Switchable, switched
from karn_wandb.records import Coalition

Model = Callable[[Tensor], Tensor]

COMPARED = 2
"""Examples that each of some coalitions is compared on at first."""

COMPARED_SHARE = 32
"""One in so many examples of each batch is compared later, four at most and one at least."""


@dataclass(frozen=True, slots=True)
class Part:
    """Coalitions that share passes.

    Attributes:
        numbers: Which coalitions.
        rows: Examples that a pass may have.
    """

    numbers: tuple[int, ...]
    rows: int


class Branching:
    """Evaluates coalitions of a model on batches, several in a pass.

    Args:
        model: Gives logits.
        slots: Its slots.
        coalitions: Which slots are on.
        spot: Number of the coalition that is compared in every batch.
        memory_budget: Bytes that the tensors of a pass may take.

    Attributes:
        extra: Examples that ordinary passes evaluated for comparison.
    """

    def __init__(
        self, model: Model, slots: Sequence[Switchable], coalitions: Sequence[Coalition], spot: int, memory_budget: int
    ) -> None:
        self._model, self._slots, self._coalitions = model, slots, coalitions
        self._spot, self._memory_budget = spot, memory_budget
        self._alike = frozenset(place for place, slot in enumerate(slots) if float(slot.alpha) == 0)
        self._parts: list[Part] = []
        self.extra = 0

    def outcomes(self, inputs: Tensor, targets: Tensor) -> Outcomes:
        """What the coalitions make of a batch.

        Raises:
            Unsuitable: A pass of several coalitions gives something else than one of each.
        """
        if not self._parts:
            self._prepare(inputs, targets)
        found = [self._of_part(part, inputs, targets) for part in self._parts]
        order = np.argsort([number for part in self._parts for number in part.numbers]).tolist()
        return Outcomes(*(torch.cat(kind)[order] for kind in zip(*found, strict=True)))

    def _of_part(self, part: Part, inputs: Tensor, targets: Tensor) -> Outcomes:
        chunks = []
        size = math.ceil(len(inputs) / math.ceil(len(inputs) / part.rows))  # passes of one size: small ones are slow
        for start in range(0, len(inputs), size):
            rows = slice(start, start + size)
            blocks, block_of = self._logits(inputs[rows], part.numbers)
            if start == 0 and self._spot in part.numbers:
                block = blocks[block_of[part.numbers.index(self._spot)]]
                examples = min(4, len(inputs) // COMPARED_SHARE)
                self._compare(block, self._coalitions[self._spot], inputs[rows], examples)
            measured = outcomes(blocks, targets[rows])
            chunks.append([kind[block_of] for kind in measured])
        return Outcomes(*(torch.cat(kind, dim=1) for kind in zip(*chunks, strict=True)))

    def _logits(self, inputs: Tensor, numbers: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Logits of one pass by block, [blocks, N, ...], and which block each coalition is in."""
        branches = _Branches(self._slots, self._alike, self._coalitions, len(inputs), [list(numbers)])
        with intercepted(self._slots, branches.through):
            logits = self._model(inputs)
        branches.check("the model's output", logits)
        block_of = {number: block for block, members in enumerate(branches.blocks) for number in members}
        return logits.reshape(len(branches.blocks), len(inputs), *logits.shape[1:]), [block_of[number] for number in numbers]

    def _prepare(self, inputs: Tensor, targets: Tensor) -> None:
        """Plan the passes from what one takes in memory, and compare some coalitions: the first two, and others at random."""
        few, expected = inputs[: 2 * COMPARED], targets[: 2 * COMPARED]
        logits: list[Tensor] = []

        def evaluate(rows: Tensor) -> None:
            logits.append(self._model(rows))
            outcomes(logits[0][None], expected)

        footprint = Footprint.measured(self._slots, few, evaluate)
        self.extra += len(few)
        self._compare(logits[0], (True,) * len(self._slots), few, COMPARED)  # passes of one example would not show it
        others = np.random.default_rng(0).permutation(range(2, len(self._coalitions)))[: len(self._slots)]
        for part in self._parted([0, 1, *others.tolist()], footprint):
            some = few[: part.rows]
            blocks, block_of = self._logits(some, part.numbers)
            for number, block in zip(part.numbers, block_of, strict=True):
                self._compare(blocks[block], self._coalitions[number], some, COMPARED)
        self._parts = self._parted(range(len(self._coalitions)), footprint)

    def _parted(self, numbers: Sequence[int], footprint: Footprint) -> list[Part]:
        """Coalitions in parts whose passes fit in memory, those that agree longest together."""
        met = list(dict.fromkeys(place for stretch in footprint.stretches for place in sorted(stretch.slots)))
        parts, waiting = [], [sorted(numbers, key=lambda number: [self._coalitions[number][place] for place in met])]
        while waiting:
            together = waiting.pop()
            needed = footprint.of([self._coalitions[number] for number in together], self._alike)
            rows = int(self._memory_budget // needed)
            if rows or len(together) == 1:
                parts.append(Part(tuple(together), max(1, rows)))
            else:
                middle = len(together) // 2
                waiting += [together[middle:], together[:middle]]
        return parts

    def _compare(self, found: Tensor, coalition: Coalition, inputs: Tensor, examples: int) -> None:
        """Compare a coalition's logits with those of an ordinary pass of so many of the examples, at least of one.

        It takes every second, so that in the ordinary pass they are in other company.
        """
        compared = slice(0, 2 * examples or 1, 2)
        few = inputs[compared]
        with switched(self._slots, coalition):
            ordinary = self._model(few)
        self.extra += len(few)
        if not alike(found[compared], ordinary):
            raise Unsuitable("a pass of several coalitions, or of other examples beside, gave other logits than one by itself")


@dataclass(slots=True)
class _Branches:
    """One pass while it is under way.

    Attributes:
        slots: The slots.
        alike: Places of those that do the same on and off.
        coalitions: Which slots are on.
        rows: Examples in a block.
        blocks: The coalitions that each block of rows stands for, in the order of the rows.
    """

    slots: Sequence[Switchable]
    alike: frozenset[int]
    coalitions: Sequence[Coalition]
    rows: int
    blocks: list[list[int]]

    def through(self, place: int, forward: Forward, x: Tensor) -> Tensor:
        """What a slot hands on: the outcome of each block for off, then that for on, where they are wanted."""
        name = f"slot {self.slots[place].slot_id!r}"
        self.check(f"what {name} is given", x)
        if place in self.alike:
            return self._outcome(name, forward, x)
        before = self.blocks
        handed_on, after = [], []
        for on in (False, True):
            members = [[number for number in block if bool(self.coalitions[number][place]) is on] for block in before]
            wanted = [block for block, numbers in enumerate(members) if numbers]
            if not wanted:
                continue
            self.blocks = [members[block] for block in wanted]
            with nullcontext() if on else self.slots[place].force_alpha(0.0):
                handed_on.append(self._outcome(name, forward, self._rows_of(wanted, len(before), x)))
            after += self.blocks
        self.blocks = after
        return handed_on[0] if len(handed_on) == 1 else torch.cat(handed_on)

    def _outcome(self, name: str, forward: Forward, x: Tensor) -> Tensor:
        found = forward(x)
        self.check(f"what {name} hands on", found)
        return found

    def _rows_of(self, wanted: list[int], blocks: int, x: Tensor) -> Tensor:
        if len(wanted) == blocks:
            return x
        return x.reshape(blocks, self.rows, *x.shape[1:])[wanted].flatten(0, 1)

    def check(self, what: str, found: object) -> None:
        """Raise `Unsuitable` when something has not as many rows as there are."""
        expected = len(self.blocks) * self.rows
        if not isinstance(found, Tensor) or found.shape[:1] != (expected,):
            got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise Unsuitable(f"{what} has not an example in each of {expected} rows; got {got}")


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether logits are equal but for rounding: in half of the digits that the largest of them has.

    Kernels choose how they go about it by the size of the batch, so the last digits may differ, and with them a little more
    behind many layers. Logits that are not finite must be the same.
    """
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    largest = torch.nan_to_num(other, nan=0.0, posinf=0.0, neginf=0.0).abs().max()
    difference = (one - other).abs()
    near = difference <= largest * torch.finfo(other.dtype).eps ** 0.5
    return bool((near | (one == other) | (one.isnan() & other.isnan())).all())
