"""The value function of a torch model: its validation accuracy and loss with some of its slots switched off."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from karn_wandb.attribution.values import packed
from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition, Evaluation


class Switchable(Protocol):
    """What a slot must offer to be switched off."""

    slot_id: str
    alpha: float

    def force_alpha(self, alpha: float) -> AbstractContextManager[None]:
        """Blend with this alpha while the context is open."""
        ...


class ModelEvaluator:
    """Evaluates coalitions of a classifier's slots on validation data: a value function for `CounterfactualEngine`.

    A slot that is on keeps its present alpha; one that is off is forced to alpha 0. One pass over the loader serves
    all coalitions handed to `evaluate_all`. An evaluation leaves no trace: the model is in eval mode without
    gradients meanwhile, and training flags, buffers (batch-norm statistics) and the states of the random number
    generators are put back, also when it raises. The generators start each pass from the same state, so that loaders
    that shuffle or augment with them give the same batches each time.

    Args:
        model: Returns logits of shape [N, C] for a batch of inputs.
        loader: Yields batches (inputs, targets), targets the classes, shape [N], the same each time it is iterated.
        slots: The slots; by default `model.seed_slots`. Their names are their `slot_id`s.
        device: Where to evaluate; by default where the model is.
        per_class: Also measure accuracy by class.

    Raises:
        AttributionError: The model has no slots, two of one name, or one that cannot be switched off.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Sequence[Tensor]],
        slots: Mapping[str, Switchable] | None = None,
        device: torch.device | str | None = None,
        *,
        per_class: bool = False,
    ) -> None:
        self.model, self.loader, self.per_class = model, loader, per_class
        self.slots = _found_slots(model, slots)
        self._device = None if device is None else torch.device(device)
        self._seen = b""

    @property
    def device(self) -> torch.device:
        """Where to evaluate: as given, else where the model's first parameter is now."""
        if self._device is not None:
            return self._device
        first = next(self.model.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    @property
    def slot_ids(self) -> tuple[str, ...]:
        """The slots, in the order of the coalitions."""
        return tuple(self.slots)

    @property
    def alphas(self) -> dict[str, float]:
        """By slot, the present alpha: what "on" means."""
        return {slot_id: float(slot.alpha) for slot_id, slot in self.slots.items()}

    def __call__(self, config: Coalition) -> Evaluation:
        """Evaluate one coalition; see `evaluate_all`."""
        return self.evaluate_all([config])[0]

    def evaluate_all(self, configs: Sequence[Coalition]) -> list[Evaluation]:
        """Evaluate coalitions on the same batches in the same order.

        Args:
            configs: For each slot, in the order of `slot_ids`, whether it is on.

        Returns:
            For each coalition its mean cross-entropy, percent accuracy and correct examples.

        Raises:
            AttributionError: A coalition, a batch or the model's output has the wrong form, there are no examples, or
                they are not those of the pass before.
        """
        for config in configs:
            if len(config) != len(self.slots):
                raise AttributionError(f"a coalition must have {len(self.slots)} slots", got=f"{len(config)} in {config}")
        tallies = [_Tally() for _ in configs]
        fingerprint, device = blake2b(), self.device
        with _no_trace(self.model, self.loader, device):
            for batch in self.loader:
                inputs, targets = _unpacked(batch)
                fingerprint.update(targets.cpu().numpy().tobytes())
                inputs, targets = inputs.to(device), targets.to(device)
                for config, tally in zip(configs, tallies, strict=True):
                    tally.add(self._logits(config, inputs), targets)
        self._check_examples(fingerprint.digest())
        return [tally.evaluation(per_class=self.per_class) for tally in tallies]

    def _logits(self, config: Coalition, inputs: Tensor) -> Tensor:
        with ExitStack() as switched_off:
            for slot, on in zip(self.slots.values(), config, strict=True):
                if not on:
                    switched_off.enter_context(slot.force_alpha(0.0))
            logits: Tensor = self.model(inputs)
        return logits

    def _check_examples(self, fingerprint: bytes) -> None:
        if fingerprint == blake2b().digest():
            raise AttributionError("the loader yielded no examples", do="Pass a loader that can be iterated more than once.")
        if self._seen not in (b"", fingerprint):
            raise AttributionError(
                "the loader must yield the same examples in the same order each time it is iterated",
                got="other targets than before",
                do="Pass a loader without shuffling.",
            )
        self._seen = fingerprint


@dataclass(slots=True)
class _Tally:
    """What one coalition made of the batches; nothing is copied from the device before the end."""

    losses: list[Tensor] = field(default_factory=list)
    correct: list[Tensor] = field(default_factory=list)
    targets: list[Tensor] = field(default_factory=list)

    def add(self, logits: Tensor, targets: Tensor) -> None:
        if logits.ndim != 2 or targets.shape != logits.shape[:1]:
            raise AttributionError(
                "the model must return logits of shape [N, C] for targets of shape [N]",
                got=f"{list(logits.shape)} for {list(targets.shape)}",
                do="For other tasks write a value function that returns an Evaluation.",
            )
        self.losses.append(cross_entropy(logits.float(), targets, reduction="sum"))
        self.correct.append(logits.argmax(dim=1) == targets)
        self.targets.append(targets)

    def evaluation(self, *, per_class: bool) -> Evaluation:
        correct = torch.cat(self.correct).cpu()
        accuracy_of = None
        if per_class:
            targets = torch.cat(self.targets).cpu()
            accuracy_of = {label: _percent(correct[targets == label]) for label in sorted(set(targets.tolist()))}
        return Evaluation(
            loss=float(torch.stack(self.losses).cpu().double().sum()) / len(correct),
            accuracy=_percent(correct),
            correct=packed(correct.numpy()),
            per_class_accuracy=accuracy_of,
        )


def _percent(correct: Tensor) -> float:
    return 100 * int(correct.sum()) / len(correct)


def _unpacked(batch: object) -> tuple[Tensor, Tensor]:
    if isinstance(batch, Sequence) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch):
        return batch[0], batch[1]
    raise AttributionError(
        "the loader must yield pairs of tensors (inputs, targets)",
        got=type(batch).__name__,
        do="For other batches write a value function that returns an Evaluation.",
    )


def _found_slots(model: nn.Module, slots: Mapping[str, Switchable] | None) -> dict[str, Switchable]:
    given = (getattr(model, "seed_slots", None) or {}) if slots is None else slots
    if not given:
        raise AttributionError(
            f"{type(model).__name__} has no slots",
            do='Give it a mapping `seed_slots`, or pass slots={"early": ...}.',
        )
    found: dict[str, Switchable] = {}
    for name, slot in given.items():
        missing = [part for part in ("slot_id", "alpha", "force_alpha") if not hasattr(slot, part)]
        if missing:
            raise AttributionError(
                f"slot {name!r} cannot be switched off",
                got=f"a {type(slot).__name__} without {', '.join(missing)}",
                do="Give it a `slot_id`, an `alpha` and a context manager `force_alpha(alpha)`.",
            )
        if found.setdefault(str(slot.slot_id), slot) is not slot:
            raise AttributionError("every slot must have a slot_id of its own", got=f"{slot.slot_id!r} twice")
    return found


@contextmanager
def _no_trace(model: nn.Module, loader: object, device: torch.device) -> Iterator[None]:
    """Eval mode without gradients, loaders' generators at a fixed state; afterwards everything as it was."""
    training = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with _fixed_randomness(loader, device), torch.no_grad():
        try:
            model.eval()
            yield
        finally:
            for module, flag in training:
                module.training = flag
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


@contextmanager
def _fixed_randomness(loader: object, device: torch.device) -> Iterator[None]:
    """Seed the generators a loader may draw from: Python's, NumPy's, torch's and its own; afterwards put them back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- whoever draws from the global one is not us
    owners = (loader, getattr(loader, "sampler", None))
    own = [g for owner in owners if isinstance(g := getattr(owner, "generator", None), torch.Generator)]
    before = [generator.get_state() for generator in own]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 -- the same
            for generator in (torch.default_generator, *own):
                generator.manual_seed(0)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002 -- the same
            for generator, state in zip(own, before, strict=True):
                generator.set_state(state)
