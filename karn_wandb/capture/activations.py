"""Activations of every layer: mean, spread, and units that never fire, added up on their device until they are taken."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd
from torch.utils.hooks import RemovableHandle

from karn_wandb.capture.batches import to_host
from karn_wandb.capture.gradients import Floats
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
        """What was measured since the last time, by the module's name, with one copy from each device; then start over.

        Take it every so often: three small tensors of each layer wait for it after each call.
        """
        measured = {name: layer.measured for name, layer in self._layers.items() if layer.measured is not None}
        for layer in self._layers.values():
            layer.measured = None
        arrays = iter(to_host([tensor for found in measured.values() for tensor in found.tensors()]))
        return {name: found.landed(arrays) for name, found in measured.items()}


class _Layer:
    """One module's hook. A class, and not a function in `install`, so that a model with hooks can be pickled."""

    def __init__(self, probe: ActivationProbe, module: nn.Module) -> None:
        self.probe = probe
        self.module = module
        self.axis = _axis_of(module)
        self.measured: _Measured | None = None

    def observe(self, module: nn.Module, _arguments: object, output: object) -> None:
        """The forward hook."""
        # compiling is asked first, so that a compiled graph depends on nothing that changes
        if torch.compiler.is_compiling() or not self.probe.active or not module.training or not _measurable(output):
            return
        if self.axis is None:
            self.axis = self.probe.newest_axis or (1 if output.ndim > 3 else -1)
        self.probe.newest_axis = self.axis
        examples = max(1, self.probe.sample * len(output) // output.numel())
        if self.measured is None:
            self.measured = _Measured()
        self.measured.add(output.detach()[:examples], self.axis)


class _Measured:
    """A layer's activations, call by call, on their device; few small kernels a call are what the probe costs.

    Attributes:
        counts: Elements of each call.
        means: Their mean.
        norms: L2 norm of the deviations from it: a thirtieth of the time of torch.var_mean on a CPU.
        highest: The highest of each unit over all calls.
    """

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.means: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.highest = torch.empty(0)

    def add(self, output: Tensor, axis: int) -> None:
        """Measure one output."""
        numbers = output.to(torch.promote_types(output.dtype, torch.float32))
        mean = numbers.mean()
        highest = numbers.amax([d for d in range(output.ndim) if d != axis % output.ndim])
        self.highest = _higher(self.highest.to(output.device), highest) if self.counts else highest
        self.counts.append(output.numel())
        self.means.append(mean)
        self.norms.append(torch.linalg.vector_norm(numbers - mean))

    def tensors(self) -> tuple[Tensor, ...]:
        """What was measured, still on its devices."""
        return (*self.means, *self.norms, self.highest)

    def landed(self, arrays: Iterator[Floats]) -> ActivationStatistics:
        """The statistics of all calls together, with the next arrays in place of the tensors."""
        means, norms = ([next(arrays).item() for _ in self.counts] for _ in range(2))
        count, mean, squares = _merged(self.counts, means, norms)
        bits = np.packbits(~(next(arrays) <= 0)).tobytes().hex()
        return ActivationStatistics(count, mean, math.sqrt(squares / count), len(self.highest), bits)


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


def _higher(one: Tensor, other: Tensor) -> Tensor:
    """The higher of the two, unit by unit; the shorter is filled up with what never fires."""
    if len(one) != len(other):
        units = max(len(one), len(other))
        one, other = (pad(t, (0, units - len(t)), value=-math.inf) for t in (one, other))
    return torch.maximum(one, other)


def _merged(counts: list[int], means: list[float], norms: list[float]) -> tuple[int, float, float]:
    """Count, mean and sum of squared deviations of all calls together (Chan, Golub and LeVeque, 1983)."""
    total = sum(counts)
    mean = sum(n * m for n, m in zip(counts, means, strict=True)) / total
    between = sum(n * (m - mean) * (m - mean) for n, m in zip(counts, means, strict=True))
    return total, mean, sum(norm * norm for norm in norms) + between
