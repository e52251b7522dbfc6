"""How much memory a pass of many coalitions takes, known before it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from karn_wandb.attribution.model.interception import Forward, intercepted
from karn_wandb.attribution.model.switches import Switchable
from karn_wandb.records import Coalition


class Stretch(NamedTuple):
    """The part of a pass from one slot, itself included, to the next.

    Attributes:
        slots: Places of the slots met so far.
        bytes: Most bytes of tensors at one time, of one example.
    """

    slots: frozenset[int]
    bytes: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a pass keeps in memory of an example, from the model's input to its last slot and behind.

    Attributes:
        stretches: In their order.
    """

    stretches: tuple[Stretch, ...]

    @classmethod
    def measured(cls, slots: Sequence[Switchable], rows: Tensor, evaluate: Callable[[Tensor], object]) -> Footprint:
        """Watch an ordinary pass over a few examples."""
        live, stretches, met = _LiveTensors(), [], frozenset[int]()

        def substitute(place: int, forward: Forward, x: Tensor) -> Tensor:
            nonlocal met
            stretches.append(Stretch(met, live.take() / len(rows)))
            met |= {place}
            found = forward(x)
            live.reserve(found.nbytes)  # the outcomes for on and for off are alive beside the two put together
            return found

        with intercepted(slots, substitute), live:
            live.know(rows, rows.nbytes)
            evaluate(rows)
        stretches.append(Stretch(met, live.take() / len(rows)))
        return cls(tuple(stretches))

    def of(self, coalitions: Sequence[Coalition], alike: frozenset[int]) -> float:
        """Most bytes that one example takes in a pass that serves these coalitions.

        Args:
            coalitions: Which slots are on.
            alike: Places of the slots that do the same on and off.
        """
        table = np.array(coalitions, dtype=np.bool_)
        return max(1.0, *(stretch.bytes * _distinct(table[:, sorted(stretch.slots - alike)]) for stretch in self.stretches))


def _distinct(beginnings: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    return len(np.unique(beginnings, axis=0)) if beginnings.shape[1] else 1


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made inside it and still there, after every operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live: dict[StorageWeakRef, int] = {}
        self._most = self._reserved = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do the operation and look at what there is now."""
        result = func(*args, **(kwargs or {}))
        given = {_storage(t) for t in _tensors((args, kwargs))}
        for made in _tensors(result):
            if _storage(made) not in given:  # a view of a weight is no memory of its own
                self.know(made, made.untyped_storage().nbytes())
        return result

    def know(self, tensor: Tensor, size: int) -> None:
        """Count a tensor as so many bytes."""
        self._live[_storage(tensor)] = size
        self._most = max(self._most, self._now())

    def reserve(self, size: int) -> None:
        """Count so many bytes more for as long as the newest stretch lasts."""
        self._reserved = size

    def take(self) -> int:
        """The most bytes there were since the last call."""
        most = self._most + self._reserved
        self._most, self._reserved = self._now(), 0
        return most

    def _now(self) -> int:
        gone = [storage for storage in self._live if storage.expired()]  # type: ignore[no-untyped-call]
        for storage in gone:
            del self._live[storage]
        return sum(self._live.values())


def _storage(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
