"""What coalitions made of validation batches, and the evaluations that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from karn_wandb.attribution.values import packed
from karn_wandb.errors import AttributionError
from karn_wandb.records import Evaluation

IGNORED = -100
"""The target that counts for nothing, as in `torch.nn.functional.cross_entropy`."""


class Outcomes(NamedTuple):
    """What coalitions made of examples.

    Attributes:
        losses: Cross-entropy, of a sequence the sum over its tokens, [coalitions, N].
        hits: Whether the example was classified correctly; of a sequence how many of its tokens were. [coalitions, N].
    """

    losses: Tensor
    hits: Tensor


def outcomes(logits: Tensor, targets: Tensor) -> Outcomes:
    """Score logits.

    Args:
        logits: [coalitions, N, C], of sequences [coalitions, N, T, C].
        targets: Classes, [N] or [N, T].

    Raises:
        AttributionError: The shapes are others, or the targets no classes.
    """
    if logits.ndim not in (3, 4) or logits.shape[1:-1] != targets.shape:
        raise AttributionError(
            "the model must return logits of shape [N, C] for targets of shape [N], or [N, T, C] for [N, T]",
            got=f"{list(logits.shape[1:])} for {list(targets.shape)}",
            do="For other tasks write a value function that returns an Evaluation.",
        )
    if targets.is_floating_point() or targets.is_complex():
        raise AttributionError(
            "targets must be whole numbers, the classes",
            got=str(targets.dtype),
            do="For other tasks write a value function that returns an Evaluation.",
        )
    expected = targets.long().expand(logits.shape[:-1])
    numbers = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = cross_entropy(numbers.flatten(0, -2), expected.flatten(), ignore_index=IGNORED, reduction="none")
    losses, hits = losses.view(expected.shape), logits.argmax(dim=-1) == expected
    if targets.ndim == 1:
        return Outcomes(losses, hits)
    return Outcomes(losses.sum(dim=-1), hits.sum(dim=-1))


@dataclass(slots=True)
class Tally:
    """Outcomes batch by batch; nothing is copied from the device before the end.

    Attributes:
        losses: Of each batch [coalitions, N], sequence by sequence; of classified examples their sum, [coalitions, 1].
        hits: Of each batch, [coalitions, N].
        targets: Of each batch, [N] or [N, T].
    """

    losses: list[Tensor] = field(default_factory=list)
    hits: list[Tensor] = field(default_factory=list)
    targets: list[Tensor] = field(default_factory=list)

    def add(self, found: Outcomes, targets: Tensor) -> None:
        """Take what the coalitions made of a batch."""
        if targets.ndim == 1:
            # Sums of singles in double precision do not depend on how the kernel goes about it.
            precise = torch.float32 if found.losses.device.type == "mps" else torch.float64
            found = found._replace(losses=found.losses.sum(dim=1, keepdim=True, dtype=precise))
        self.losses.append(found.losses)
        self.hits.append(found.hits)
        self.targets.append(targets)

    def evaluations(self, *, per_class: bool, all_sizes: bool = False) -> Iterator[Evaluation]:
        """One for each coalition.

        Args:
            per_class: Also the accuracy by class; not of sequences.
            all_sizes: Also the sizes of groups of one size.

        Raises:
            AttributionError: Every target is to be ignored.
        """
        losses = torch.cat(self.losses, dim=1).cpu().double().numpy()
        hits, targets = torch.cat(self.hits, dim=1).cpu().numpy(), [batch.cpu().numpy() for batch in self.targets]
        counts = [(batch != IGNORED).reshape(len(batch), -1).sum(axis=1) for batch in targets]
        if not sum(int(batch.sum()) for batch in counts):
            raise AttributionError(f"there must be targets other than {IGNORED}, which counts for nothing", got="none")
        if targets[0].ndim == 2:
            return _of_sequences(losses, hits, np.concatenate(counts), all_sizes=all_sizes)
        classes = np.concatenate(targets)
        labelled = classes != IGNORED
        sizes = np.array([int(batch.sum()) for batch in counts])
        return _of_examples(losses, hits[:, labelled], classes[labelled] if per_class else None, sizes, all_sizes=all_sizes)


def _of_sequences(
    losses: npt.NDArray[np.float64], hits: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], *, all_sizes: bool
) -> Iterator[Evaluation]:
    """Each sequence is a group."""
    scored = sizes > 0
    sizes = sizes[scored]
    for loss, hit in zip(losses[:, scored], hits[:, scored], strict=True):
        yield Evaluation(
            loss=float(loss.sum() / sizes.sum()),
            accuracy=float(100 * hit.sum() / sizes.sum()),
            group_losses=tuple((loss / sizes).tolist()),
            group_accuracies=tuple((100 * hit / sizes).tolist()),
            group_sizes=_told(sizes, all_sizes=all_sizes),
        )


def _of_examples(
    losses: npt.NDArray[np.float64],
    correct: npt.NDArray[np.bool_],
    classes: npt.NDArray[np.int64] | None,
    sizes: npt.NDArray[np.int64],
    *,
    all_sizes: bool,
) -> Iterator[Evaluation]:
    """Each batch is a group."""
    scored = sizes > 0
    sizes = sizes[scored]
    members = {} if classes is None else {label: classes == label for label in np.unique(classes).tolist()}
    for loss, right in zip(losses[:, scored], correct, strict=True):
        yield Evaluation(
            loss=float(loss.sum() / sizes.sum()),
            accuracy=_percent(right),
            correct=packed(right),
            per_class_accuracy={label: _percent(right[of]) for label, of in members.items()} or None,
            group_losses=tuple((loss / sizes).tolist()),
            group_sizes=_told(sizes, all_sizes=all_sizes),
            class_sizes={label: int(of.sum()) for label, of in members.items()} or None,
        )


def _told(sizes: npt.NDArray[np.int64], *, all_sizes: bool) -> tuple[int, ...] | None:
    return tuple(sizes.tolist()) if all_sizes or (sizes != sizes[0]).any() else None


def _percent(correct: npt.NDArray[np.bool_]) -> float:
    return 100 * int(correct.sum()) / len(correct)
