"""The value function of a torch model: its validation accuracy and loss with some of its slots switched off."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from karn_wandb.attribution.games import IntArray
from karn_wandb.attribution.model.order import stratified_order
from karn_wandb.attribution.model.outcomes import Tally
from karn_wandb.attribution.model.passes import Method, Passes
from karn_wandb.attribution.model.switches import Switchable, find_slots
from karn_wandb.attribution.model.untouched import untouched
from karn_wandb.errors import AttributionError, KarnWarning
from karn_wandb.records import Coalition, Evaluation

MEMORY_BUDGET = {"cpu": 2**24}
"""Bytes that the tensors of one pass may take, unless told otherwise, by type of device: what stays near a CPU's caches."""

OTHER_MEMORY_BUDGET = 2**30
"""The same on other devices, which are the faster the larger a pass."""

_SEEN_INPUTS = 4
"""Examples of each batch whose inputs are remembered, to see whether they are the same the next time."""


class ModelEvaluator:
    """Evaluates coalitions of a model's slots on validation data: a value function for `CounterfactualEngine`.

    A slot that is on keeps its present alpha; one that is off is forced to alpha 0. One pass over the loader serves
    all coalitions handed to `evaluate_all`, and where the model allows it one pass through the model: see
    `karn_wandb.attribution.model.branching`. An evaluation leaves no trace: the model is in eval mode without gradients
    meanwhile, and training flags, buffers (batch-norm statistics) and the states of the random number generators are
    put back, also when it raises. The generators start each pass from the same state, so that loaders that shuffle or
    augment with them give the same batches each time.

    All slots on is evaluated twice, in branches on a few examples of each batch: what differs is noise, and is warned of. The
    engine charges it to `max_configurations`.

    Args:
        model: Returns logits of shape [N, C] for a batch of inputs, or [N, T, C] for sequences.
        loader: Yields batches (inputs, targets), targets the classes, shape [N] or [N, T], the same each time it is
            iterated. A target of -100 counts for nothing.
        slots: The slots; by default `model.seed_slots`. Their names are their `slot_id`s.
        device: Where to evaluate; by default where the model is.
        per_class: Also measure accuracy by class; not of sequences.
        memory_budget: Bytes that the tensors of one pass may take, beside the model and the batch; batches are cut to
            fit, and coalitions that do not fit together get passes of their own. What an example takes is measured in an
            ordinary pass, so kernels' own workspace is not in it. A pass of one example and coalition is made in any
            case, and so are plain passes. By default 16 MiB on a CPU, where larger passes are slower, else 1 GiB.

    Attributes:
        method: How the newest evaluation was made: "branching", or "plain" with a pass for each coalition, which is the
            way of models whose examples depend on each other, or of a single coalition. None before the first.
        reason: Why it was "plain", "" when it was not.
        extra_evaluations: What it cost beyond what was asked for, to compare and repeat, in evaluations of one coalition
            on all examples.

    Raises:
        AttributionError: The model has no slots, two of one name, or one that cannot be switched off; or the budget is
            below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Sequence[Tensor]],
        slots: Mapping[str, Switchable] | None = None,
        device: torch.device | str | None = None,
        *,
        per_class: bool = False,
        memory_budget: int | None = None,
    ) -> None:
        if memory_budget is not None and memory_budget < 1:
            raise AttributionError("memory_budget must be a number of bytes, at least 1", got=str(memory_budget))
        self.model, self.loader, self.per_class = model, loader, per_class
        self.slots = find_slots(model, slots)
        self.method: Method | None = None
        self.reason = ""
        self.extra_evaluations = 0.0
        self._device = None if device is None else torch.device(device)
        self._memory_budget = memory_budget
        self._examples = _Examples()
        self._parts_cost_all = False

    @property
    def device(self) -> torch.device:
        """Where to evaluate: as given, else where the model's first parameter is now."""
        if self._device is not None:
            return self._device
        first = next(self.model.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    @property
    def memory_budget(self) -> int:
        """Bytes that the tensors of one pass may take."""
        return self._memory_budget or MEMORY_BUDGET.get(self.device.type, OTHER_MEMORY_BUDGET)

    @property
    def slot_ids(self) -> tuple[str, ...]:
        """The slots, in the order of the coalitions."""
        return tuple(self.slots)

    @property
    def alphas(self) -> dict[str, float]:
        """By slot, the present alpha: what "on" means."""
        return {slot_id: float(slot.alpha) for slot_id, slot in self.slots.items()}

    @property
    def n_examples(self) -> int | None:
        """How many examples the loader yields; None before it was iterated for the first time."""
        return self._examples.number

    @property
    def repeats(self) -> int:
        """All slots on, evaluated a second time: charged to the budget as one, though branches repeat it in part only."""
        return 1

    @property
    def parts_cost_all(self) -> bool:
        """Whether the newest evaluation of several coalitions was by plain passes: of whole batches, whatever part is wanted."""
        return self._parts_cost_all

    def __call__(self, config: Coalition) -> Evaluation:
        """Evaluate one coalition; see `evaluate_all`."""
        return self.evaluate_all([config])[0]

    def evaluate_all(self, configs: Sequence[Coalition]) -> list[Evaluation]:
        """Evaluate coalitions on the same batches in the same order.

        Args:
            configs: For each slot, in the order of `slot_ids`, whether it is on.

        Returns:
            For each coalition its mean cross-entropy and percent accuracy. Of classes, which examples were correct and
            the loss of each batch; of sequences, the loss and accuracy of each.

        Raises:
            AttributionError: A coalition, a batch or the model's output has the wrong form, there are no examples, or
                they are not those of the pass before.
        """
        return self._evaluated(configs, None)

    def evaluate_part(self, configs: Sequence[Coalition], examples: IntArray) -> list[Evaluation]:
        """Evaluate coalitions on some of the examples only.

        Args:
            configs: As for `evaluate_all`.
            examples: Indices of different examples, in the order in which the loader yields them; in any order.

        Returns:
            As `evaluate_all`, the examples in the loader's order, with the sizes of groups of one size too.

        Raises:
            AttributionError: As `evaluate_all`; or an example is named twice, or is none of the loader's.
        """
        wanted = np.sort(np.asarray(examples, dtype=np.int64))
        if not len(wanted) or wanted[0] < 0 or (np.diff(wanted) == 0).any():
            raise AttributionError(
                "examples must be indices, at least 0, each once", got=f"{len(wanted)} of which {len(np.unique(wanted))} differ"
            )
        return self._evaluated(configs, wanted)

    def stratified_order(self, rng: np.random.Generator) -> IntArray:
        """A random order of the examples of which every beginning is stratified by class; of sequences, a random order.

        Args:
            rng: Decides the order within each class.

        Returns:
            Indices for `evaluate_part`, shape [n_examples].

        Raises:
            AttributionError: As `evaluate_all`, of the batches.
        """
        if self._examples.number is None:
            with untouched(self.model, self.loader, self.device):
                for _ in self._batches():
                    pass
        classes = self._examples.classes
        return rng.permutation(self._examples.number or 0) if classes is None else stratified_order(classes, rng)

    def _evaluated(self, configs: Sequence[Coalition], wanted: IntArray | None) -> list[Evaluation]:
        coalitions = [self._coalition(config) for config in configs]
        if not coalitions:
            return []
        device, tally, start = self.device, Tally(), 0
        passes = Passes(self.model, list(self.slots.values()), coalitions, self.memory_budget)
        with untouched(self.model, self.loader, device):
            for inputs, targets in self._batches():
                rows = _rows(wanted, start, len(targets))
                start += len(targets)
                if rows is not None:
                    found = passes.outcomes(inputs.to(device), targets.to(device), rows)
                    tally.add(found, targets[rows])
        if wanted is not None and wanted[-1] >= start:
            raise AttributionError("every example must be one of the loader's", got=f"example {wanted[-1]} of {start}")
        self.method, self.reason, self.extra_evaluations = passes.method, passes.reason, passes.extra / start
        if len(set(coalitions)) > 1:
            self._parts_cost_all = passes.method == "plain"
        if passes.noisy:
            warnings.warn(
                "all slots on, evaluated twice, gave different logits: something in the model is random in eval mode, such as "
                "dropout left on. Differences between coalitions contain that noise.",
                KarnWarning,
                stacklevel=3,
            )
        return list(tally.evaluations(per_class=self.per_class, all_sizes=wanted is not None))

    def _coalition(self, config: Coalition) -> Coalition:
        if len(config) != len(self.slots):
            raise AttributionError(f"a coalition must have {len(self.slots)} slots", got=f"{len(config)} in {config}")
        return tuple(map(bool, config))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The loader's batches that have examples; at the end, whether they were the same as before."""
        seen = _Seen()
        for batch in self.loader:
            inputs, targets = _unpacked(batch)
            if len(targets):
                seen.add(inputs, targets)
                yield inputs, targets
        self._examples = seen.checked(self._examples)


class _Examples(NamedTuple):
    """What is known of the loader's examples.

    Attributes:
        number: How many; None when none were seen.
        classes: Their classes; None of sequences.
        inputs: A fingerprint of some of the inputs.
        targets: One of all targets.
    """

    number: int | None = None
    classes: IntArray | None = None
    inputs: bytes = b""
    targets: bytes = b""


class _Seen:
    """The examples of one pass over the loader."""

    def __init__(self) -> None:
        self._targets: list[Tensor] = []
        self._inputs, self._fingerprint = blake2b(), blake2b()

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        self._targets.append(targets)
        if inputs.layout is torch.strided and not inputs.is_nested:
            self._inputs.update(_bytes(inputs[:_SEEN_INPUTS]))
        self._fingerprint.update(_bytes(targets))

    def checked(self, before: _Examples) -> _Examples:
        """What was seen, compared with what was seen before."""
        if not self._targets:
            raise AttributionError("the loader yielded no examples", do="Pass a loader that can be iterated more than once.")
        classes = None
        if self._targets[0].ndim == 1:
            classes = torch.cat(self._targets).cpu().long().numpy()
        now = _Examples(sum(map(len, self._targets)), classes, self._inputs.digest(), self._fingerprint.digest())
        if before.number is not None and before.targets != now.targets:
            raise AttributionError(
                "the loader must yield the same examples in the same order each time it is iterated",
                got="other targets than before",
                do="Pass a loader without shuffling.",
            )
        if before.number is not None and before.inputs != now.inputs:
            warnings.warn(
                "the loader yielded other inputs than the time before, with the same targets: it augments them with random "
                "numbers of its own. Evaluations from different passes are not comparable to the last digit.",
                KarnWarning,
                stacklevel=5,
            )
        return now


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _rows(wanted: IntArray | None, start: int, size: int) -> Tensor | slice | None:
    """Which rows of the batch that begins with example `start` are wanted; None when none is."""
    if wanted is None:
        return slice(None)
    first, last = np.searchsorted(wanted, (start, start + size))
    return torch.from_numpy(wanted[first:last] - start) if first < last else None


def _unpacked(batch: object) -> tuple[Tensor, Tensor]:
    if isinstance(batch, Sequence) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch):
        return batch[0], batch[1]
    raise AttributionError(
        "the loader must yield pairs of tensors (inputs, targets)",
        got=type(batch).__name__,
        do="For other batches write a value function that returns an Evaluation.",
    )
