"""Examples in three parts, whatever they are of: what is learned from, what a controller may look at, what is reported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Generator, Tensor

from examples.tasks import Task

Batch = tuple[Tensor, Tensor]
"""Inputs and their targets."""


@dataclass(frozen=True, slots=True)
class Part:
    """Examples.

    Attributes:
        inputs: What the host is given, (n, ...).
        targets: What it is to say: a class for each, (n,), or for each place of a sequence, (n, t).
    """

    inputs: Tensor
    targets: Tensor

    def batches(self, size: int) -> list[Batch]:
        """The part in its own order, in batches of at most `size`."""
        return list(zip(self.inputs.split(size), self.targets.split(size), strict=True))


def unchanged(inputs: Tensor, generator: Generator) -> Tensor:  # noqa: ARG001 -- one signature for all augmentations
    """Inputs as they are: no augmentation."""
    return inputs


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a task is learned from and judged on.

    Attributes:
        name: What it is called.
        task: What it is to be learned for.
        classes: What can be predicted, in the order of the class indices.
        training: What is learned from.
        steering: What a controller may look at.
        validation: What is reported; nothing is chosen by it.
        augment: What becomes of a batch's inputs before they are learned from.
        per_epoch: Training examples of an epoch, drawn anew for each; None for all.
        references: Values of the task's metric to compare with, such as a simpler model's, by name.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    training: Part
    steering: Part
    validation: Part
    _: KW_ONLY
    augment: Callable[[Tensor, Generator], Tensor] = unchanged
    per_epoch: int | None = None
    references: Mapping[str, float] = field(default_factory=dict)

    def steps(self, size: int) -> int:
        """Full batches in an epoch."""
        return (self.per_epoch or len(self.training.targets)) // size

    def epoch(self, size: int, generator: Generator) -> Iterator[Batch]:
        """One epoch of full batches in random order."""
        order = torch.randperm(len(self.training.targets), generator=generator)
        for chosen in order[: self.steps(size) * size].split(size):
            yield self.augment(self.training.inputs[chosen], generator), self.training.targets[chosen]

    def sha256(self) -> str:
        """Hash of every input and target, for the episode context."""
        digest = hashlib.sha256()
        for part in (self.training, self.steering, self.validation):
            digest.update(part.inputs.numpy().tobytes())
            digest.update(part.targets.numpy().tobytes())
        return digest.hexdigest()
