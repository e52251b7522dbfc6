"""Batches evaluated in the best way that the model allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from karn_wandb.attribution.model.branching import Branching, Model, alike
from karn_wandb.attribution.model.interception import Unsuitable
from karn_wandb.attribution.model.outcomes import Outcomes, outcomes
from karn_wandb.attribution.model.switches import Switchable, switched
from karn_wandb.records import Coalition

Method = Literal["branching", "plain"]


class Passes:
    """Evaluates coalitions of a model batch by batch: in branches, or from the first batch on that rules them out, plainly.

    Args:
        model: Gives logits.
        slots: Its slots.
        coalitions: Which slots are on.
        memory_budget: Bytes that the tensors of a branched pass may take.

    Attributes:
        reason: Why not in branches, "" when in branches.
        noisy: Whether all slots on, evaluated twice, gave different logits.
    """

    def __init__(self, model: Model, slots: Sequence[Switchable], coalitions: Sequence[Coalition], memory_budget: int) -> None:
        self._model, self._slots, self._coalitions = model, slots, coalitions
        all_on = (True,) * len(slots)
        self._all_on = coalitions.index(all_on) if all_on in coalitions else None
        self._branching: Branching | None = None
        self._repeated = 0
        self.reason, self.noisy = "there is one coalition only", False
        if len(set(coalitions)) > 1:
            self._branching = Branching(model, slots, coalitions, self._all_on or 0, memory_budget)
            self.reason = ""

    @property
    def method(self) -> Method:
        """How the newest batch was evaluated."""
        return "plain" if self.reason else "branching"

    @property
    def extra(self) -> int:
        """Examples evaluated once more, to see whether the same comes out."""
        return self._repeated + (0 if self._branching is None else self._branching.extra)

    def outcomes(self, inputs: Tensor, targets: Tensor, rows: Tensor | slice) -> Outcomes:
        """What the coalitions make of some examples of a batch.

        Args:
            inputs: All the batch's.
            targets: The same.
            rows: Which examples.
        """
        if self._branching is not None and not self.reason:
            try:
                return self._branching.outcomes(inputs[rows], targets[rows])
            except Unsuitable as found:
                self.reason = str(found)
            except Exception as error:  # noqa: BLE001 -- a model may raise anything on rows it was not made for
                self.reason = f"a pass of several coalitions raised {type(error).__name__}: {error}"
        return self._plainly(inputs, targets, rows)

    def _plainly(self, inputs: Tensor, targets: Tensor, rows: Tensor | slice) -> Outcomes:
        """A pass for each coalition, over the whole batch: its examples may depend on each other."""
        found = []
        for number, coalition in enumerate(self._coalitions):
            with switched(self._slots, coalition):
                logits = self._model(inputs)
            found.append(outcomes(logits[None], targets))
            if number == self._all_on:
                self.noisy |= not alike(self._model(inputs), logits)
                self._repeated += len(inputs)
        return Outcomes(*(torch.cat(kind)[:, rows] for kind in zip(*found, strict=True)))
