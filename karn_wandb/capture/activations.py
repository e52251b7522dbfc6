"""Activations of every layer: mean, spread, and units that never fire, added up on their device until they are taken."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd
from torch.utils.hooks import RemovableHandle

from karn_wandb.records import ActivationStatistics

CHANNELS_SECOND = (_ConvNd, _NormBase, nn.GroupNorm, _MaxPoolNd, _AvgPoolNd, _AdaptiveMaxPoolNd, _AdaptiveAvgPoolNd)
"""Modules whose output is [examples, channels, ...]."""
FEATURES_LAST = (nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.EmbeddingBag)
"""Modules whose output is [examples, ..., features]."""


class ActivationProbe:
    """Watches the outputs of a model's leaf modules (those without children) while it trains.

    Only calls in training mode count, and only while `active` is true. Outputs that are no plain tensor of floating-point
    numbers with at least two dimensions are passed over. What a module recomputes (activation checkpointing) counts again.
    Nothing is seen inside `torch.compile`: the hooks leave a compiled graph as it would be without them, and layers in it
    are missing from what is taken.

    The first dimension is taken for the examples, and only the first of them are looked at, so many that about `sample`
    elements are read of each output, one example at least.

    Units are channels, the second dimension, after convolutions, poolings and the norms that go with them; they are features,
    the last dimension, after linear layers, embeddings and layer norms. Every other module, such as an activation function,
    keeps the order of the module that was called before it when it was first seen; if there was none, four dimensions
    or more mean channels. Where a module is called with different widths, its units are told apart by their index only.

    Args:
        model: The network. A module found under several names has the first.
        sample: Elements to read of each output.
    """

    def __init__(self, model: nn.Module, sample: int = 16384) -> None:
        self.model = model
        self.sample = sample
        self.active = False
        self.newest_axis: int | None = None
        self._layers: dict[str, _Layer] = {}
        self._handles: list[RemovableHandle] = []

    def install(self) -> None:
        """Put a hook on every leaf module; again when the model has changed, which keeps the rest."""
        self.remove()
        known, self._layers = self._layers, {}
        for name, module in self.model.named_modules():
            if next(module.children(), None) is None:
                layer = known.get(name)
                if layer is None or layer.module is not module:
                    layer = _Layer(self, module)
                self._layers[name] = layer
                self._handles.append(module.register_forward_hook(layer.observe))

    def remove(self) -> None:
        """Take all hooks off the model; what was measured can still be taken."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def take(self) -> dict[str, ActivationStatistics]:
        """What was measured since the last time, by the module's name, with one copy from each device; then start over."""
        measured: dict[torch.device, dict[str, _Moments]] = defaultdict(dict)
        for name, layer in self._layers.items():
            if layer.moments is not None:
                measured[layer.moments.mean.device][name] = layer.moments
                layer.moments = None
        return {name: statistics for on_device in measured.values() for name, statistics in _brought(on_device)}


class _Layer:
    """One module's hook. A class, and not a function in `install`, so that a model with hooks can be pickled."""

    def __init__(self, probe: ActivationProbe, module: nn.Module) -> None:
        self.probe = probe
        self.module = module
        self.axis = _axis_of(module)
        self.moments: _Moments | None = None

    def observe(self, module: nn.Module, _arguments: object, output: object) -> None:
        """The forward hook."""
        # compiling is asked first, so that a compiled graph depends on nothing that changes
        if torch.compiler.is_compiling() or not self.probe.active or not module.training or not _measurable(output):
            return
        if self.axis is None:
            self.axis = self.probe.newest_axis or (1 if output.ndim > 3 else -1)
        self.probe.newest_axis = self.axis
        examples = max(1, self.probe.sample * len(output) // output.numel())
        newer = _measure(output.detach()[:examples], self.axis)
        self.moments = newer if self.moments is None else self.moments.and_then(newer)


@dataclass(frozen=True, slots=True)
class _Moments:
    """What is known of a layer's activations; all but the count on their device.

    Attributes:
        count: Elements.
        mean: Their mean.
        squares: Sum of the squared deviations from it.
        fired: 1 for each unit that was ever above zero, else 0.
    """

    count: int
    mean: Tensor
    squares: Tensor
    fired: Tensor

    def and_then(self, newer: _Moments) -> _Moments:
        """Both together, by the pairwise update of Chan, Golub and LeVeque (1983), which cancels no digits."""
        device, both = newer.mean.device, self.count + newer.count
        mean, squares = self.mean.to(device), self.squares.to(device)
        delta = newer.mean - mean
        return _Moments(
            count=both,
            mean=mean.lerp(newer.mean, newer.count / both),
            squares=(squares + newer.squares).addcmul(delta, delta, value=self.count * newer.count / both),
            fired=_either(self.fired.to(device), newer.fired),
        )


def _axis_of(module: nn.Module) -> int | None:
    """The dimension of the module's units, None where that depends on what it is given."""
    if isinstance(module, CHANNELS_SECOND):
        return 1
    return -1 if isinstance(module, FEATURES_LAST) else None


def _measurable(output: object) -> TypeGuard[Tensor]:
    return (
        isinstance(output, Tensor)
        and output.is_floating_point()
        and output.layout is torch.strided
        and not output.is_nested
        and output.ndim > 1
        and output.numel() > 0
    )


def _measure(output: Tensor, axis: int) -> _Moments:
    numbers = output.to(torch.promote_types(output.dtype, torch.float32))
    mean = numbers.mean()
    return _Moments(
        count=output.numel(),
        mean=mean,
        squares=torch.linalg.vector_norm(numbers - mean).square(),  # a tenth of the time of torch.var_mean on a CPU
        fired=(output > 0).view(torch.uint8).amax([d for d in range(output.ndim) if d != axis % output.ndim]),
    )


def _either(one: Tensor, other: Tensor) -> Tensor:
    """Where one of them is 1; the shorter is filled up with zeros."""
    if len(one) != len(other):
        units = max(len(one), len(other))
        one, other = pad(one, (0, units - len(one))), pad(other, (0, units - len(other)))
    return one | other


def _brought(layers: dict[str, _Moments]) -> Iterator[tuple[str, ActivationStatistics]]:
    """The statistics of layers that are all on one device."""
    numbers = torch.cat([part for m in layers.values() for part in (m.mean.view(1), m.squares.view(1), m.fired)]).tolist()
    at = 0
    for name, moments in layers.items():
        units = len(moments.fired)
        mean, squares, *fired = numbers[at : at + 2 + units]
        at += 2 + units
        bits = np.packbits(np.array(fired, dtype=bool)).tobytes().hex()
        yield name, ActivationStatistics(moments.count, mean, math.sqrt(squares / moments.count), units, bits)
