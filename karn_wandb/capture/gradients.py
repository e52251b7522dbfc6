"""Gradients of host, seed modules and layers: measured on the device without reading a value, grouped later by NumPy.

After each batch `GradientLayout.measure` takes one L2 norm per parameter; a copy brings many batches' norms to the host at
once, where `LayerNorms` makes layers and modules of them. The norm of norms is the norm of all elements laid end to end.

Gradients are read as each process holds them: after DDP's all-reduce they are the whole gradient, while the shards of FSDP
and DTensor are not supported. Under AMP they are the true ones once `GradScaler.step` or `unscale_` has run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from karn_wandb.capture.model import SlotLike, owned_parameters
from karn_wandb.records import LayerStatistics

Floats = NDArray[np.float64]
Places = slice | list[int]
ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Layer:
    """A module that owns parameters directly.

    Attributes:
        name: Its qualified name in the model, as `named_modules` has it.
        slot_id: The slot whose seed module it is in; None in the host.
        inner: Its name inside the seed module, "" for the seed module itself; `name` in the host.
        elements: Scalars in its parameters.
    """

    name: str
    slot_id: str | None
    inner: str
    elements: int


class GradientNorms(NamedTuple):
    """Norms of one batch's gradients, on the device.

    Attributes:
        layout: Whose they are.
        places: For each vector, which of the layout's parameters it holds.
        vectors: L2 norms, one vector for each device, type and memory layout of gradients; most often a single one.
    """

    layout: GradientLayout
    places: tuple[Places, ...]
    vectors: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GradientLayout:
    """Which parameters are measured, and which layer and module each belongs to.

    Attributes:
        parameters: Those that require a gradient and are not empty, each once, layer by layer, the host's first.
        elements: Scalars in each of them.
        starts: Index of each layer's first parameter.
        layers: The layers.
        seeds: Seed module of each slot when the layout was made.
    """

    parameters: tuple[nn.Parameter, ...]
    elements: NDArray[np.int64]
    starts: NDArray[np.int64]
    layers: tuple[Layer, ...]
    seeds: Mapping[str, nn.Module | None]

    @classmethod
    def of(cls, model: nn.Module, slots: Mapping[str, SlotLike]) -> GradientLayout:
        """The layout of a model as it is now.

        What is frozen or thawed later, or swapped inside a module, is seen only by a layout made after that: make one each
        epoch, and whenever it no longer `fits`.
        """
        by_layer: dict[tuple[str, str | None, str], list[nn.Parameter]] = {}
        for slot_id, name, inner, parameter in owned_parameters(model, slots):
            if parameter.requires_grad and parameter.numel():
                by_layer.setdefault((name, slot_id, inner), []).append(parameter)
        sizes = [[p.numel() for p in parameters] for parameters in by_layer.values()]
        return cls(
            parameters=tuple(p for parameters in by_layer.values() for p in parameters),
            elements=np.array([n for layer in sizes for n in layer], dtype=np.int64),
            starts=np.cumsum([0, *map(len, sizes)], dtype=np.int64)[:-1],
            layers=tuple(Layer(*names, sum(layer)) for names, layer in zip(by_layer, sizes, strict=True)),
            seeds={slot_id: slot.seed for slot_id, slot in slots.items()},
        )

    def fits(self, slots: Mapping[str, SlotLike]) -> bool:
        """Whether the slots still hold the seed modules the layout was made with."""
        if len(slots) != len(self.seeds):
            return False
        return all(slot_id in slots and slots[slot_id].seed is seed for slot_id, seed in self.seeds.items())

    def gradients(self) -> dict[str, list[Tensor]]:
        """The gradients themselves as they are now, by layer; layers without any are missing."""
        ends = (*self.starts[1:].tolist(), len(self.parameters))
        found: dict[str, list[Tensor]] = {}
        for layer, start, end in zip(self.layers, self.starts.tolist(), ends, strict=True):
            grads = [grad for p in self.parameters[start:end] if (grad := p.grad) is not None]
            if grads:
                found[layer.name] = grads
        return found

    @torch.no_grad()
    def measure(self) -> GradientNorms | None:
        """Norms of the gradients as they are now; reads no value. Two kernels where all gradients are alike.

        Half precision is summed in single, double stays double. A sparse gradient is taken by its coalesced values, which on
        CUDA waits for the device.

        Returns:
            The norms; parameters without a gradient are left out. None when no parameter has one.
        """
        grads = [grad for p in self.parameters if (grad := p.grad) is not None]
        if not grads:
            return None
        kinds = [(grad.dtype, grad.layout, grad.device) for grad in grads]
        alike, whole = kinds.count(kinds[0]) == len(kinds), len(grads) == len(self.parameters)
        if alike and whole:
            return GradientNorms(self, (ALL,), (_norms(grads),))
        with_grad = [place for place, p in enumerate(self.parameters) if p.grad is not None]
        groups: dict[tuple[object, ...], tuple[list[int], list[Tensor]]] = {}
        for kind, place, grad in zip(kinds, with_grad, grads, strict=True):
            places, members = groups.setdefault(kind, ([], []))
            places.append(place)
            members.append(grad)
        vectors = tuple(_norms(members) for _, members in groups.values())
        return GradientNorms(self, tuple(places for places, _ in groups.values()), vectors)


def _norms(grads: list[Tensor]) -> Tensor:
    """L2 norm of each gradient; they are alike in device, type and memory layout."""
    if grads[0].is_sparse:
        grads = [grad.coalesce().values() for grad in grads]
    precision = torch.float64 if grads[0].dtype == torch.float64 else torch.float32
    return torch.stack(torch._foreach_norm(grads, 2, precision))  # noqa: SLF001 -- as clip_grad_norm_ does


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorms:
    """Gradient norms of layers over some batches, on the host.

    A norm is infinite when the sum of squares does not fit the precision it was summed in, from about 1e19 in single, and
    zero when every square vanishes there, below about 1e-23.

    Attributes:
        layout: Whose gradients they are.
        norms: L2 norms, any float, shape (batches, layers); 0 where a layer has no gradient.
        elements: Elements of the layer's gradient, the same shape; 0 where it has none, fewer than the layer's own where
            only some of its parameters have one.
    """

    layout: GradientLayout
    norms: Floats
    elements: NDArray[np.int64]

    @classmethod
    def of(cls, layout: GradientLayout, batches: Sequence[Sequence[tuple[Places, Floats]]]) -> LayerNorms:
        """The layers' norms.

        Args:
            layout: Whose gradients they are.
            batches: Of each batch, the vectors of a `GradientNorms` with their places.
        """
        norms = np.zeros((len(batches), len(layout.parameters)))
        elements = np.zeros(norms.shape, dtype=np.int64)
        for row, parts in enumerate(batches):
            for places, vector in parts:
                norms[row, places] = vector
                elements[row, places] = layout.elements[places]
        return cls(layout, _joined(norms, layout.starts), np.add.reduceat(elements, layout.starts, axis=1))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers; those of the host first, then slot by slot."""
        return self.layout.layers

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where a layer has a gradient, shape (batches, layers)."""
        return self.elements > 0

    def take(self, batches: Sequence[int]) -> LayerNorms:
        """The same of some of the batches."""
        return LayerNorms(self.layout, self.norms[batches], self.elements[batches])

    def by_module(self) -> list[dict[str | None, float]]:
        """Of each batch: L2 norm of the seed module in each slot, and of the host under None; those with a gradient only."""
        slots = [layer.slot_id for layer in self.layers]
        starts = [place for place, slot_id in enumerate(slots) if place == 0 or slots[place - 1] != slot_id]
        modules = [slots[start] for start in starts]
        norms = _joined(self.norms, starts).tolist()
        present = np.logical_or.reduceat(self.present, starts, axis=1).tolist()
        return [
            {module: norm for module, norm, there in zip(modules, *batch, strict=True) if there}
            for batch in zip(norms, present, strict=True)
        ]

    def by_seed_layer(self) -> Iterator[dict[str, dict[str, float]]]:
        """Of each batch: the layers' norms by slot and by name inside the seed module; those with a gradient only."""
        for norms, present in zip(self.norms.tolist(), self.present.tolist(), strict=True):
            batch: dict[str, dict[str, float]] = {}
            for layer, norm, there in zip(self.layers, norms, present, strict=True):
                if there and layer.slot_id is not None:
                    batch.setdefault(layer.slot_id, {})[layer.inner] = norm
            yield batch

    def statistics(self, epoch: int, batch_indices: Sequence[int]) -> LayerStatistics:
        """The record of these batches, which are of one epoch: root mean square and zeros, layer by layer.

        Args:
            epoch: The epoch.
            batch_indices: Index in it of each batch.
        """
        names = [layer.name for layer in self.layers]
        elements = self.elements.sum(axis=0)
        with np.errstate(over="ignore"):
            squares = np.square(self.norms).sum(axis=0)
        rms = np.sqrt(squares / np.maximum(elements, 1)).tolist()
        complete = self.elements == [layer.elements for layer in self.layers]
        zeros = (complete & (self.norms == 0)).sum(axis=0).tolist()
        return LayerStatistics(
            epoch=epoch,
            first_batch=min(batch_indices),
            last_batch=max(batch_indices),
            batches=len(batch_indices),
            gradient_rms={name: value for name, value, n in zip(names, rms, elements, strict=True) if n},
            zero_batches={name: n for name, n in zip(names, zeros, strict=True) if n},
        )


def _joined(norms: Floats, starts: Sequence[int] | NDArray[np.int64]) -> Floats:
    """Norm of the norms in each run of columns; runs begin at `starts`."""
    with np.errstate(over="ignore"):
        joined: Floats = np.sqrt(np.add.reduceat(np.square(norms), starts, axis=1))
    return joined
