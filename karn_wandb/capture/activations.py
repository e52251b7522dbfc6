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

CALLS = 16
"""Calls of a layer there is room for at first."""


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

        Take it every so often: two numbers of each layer wait for it after each call.
        """
        measured = {name: layer.measured for name, layer in self._layers.items() if layer.measured and layer.measured.counts}
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
            self.measured = _Measured(output)
        self.measured.add(output.detach()[:examples], self.axis)


class _Measured:
    """A layer's activations, call by call, on their device; few small kernels a call are what the probe costs.

    What is kept of a call goes into memory that is there already: a small tensor that is allocated in the middle of a forward
    pass and stays splits the memory that the passes take turns in.

    Args:
        like: One of the outputs; others are brought to its precision, which is single at least.

    Attributes:
        counts: Elements of each call.
    """

    def __init__(self, like: Tensor) -> None:
        self.counts: list[int] = []
        precision = torch.promote_types(like.dtype, torch.float32)
        self._rows = torch.empty(2, CALLS, dtype=precision, device=like.device)
        """Of each call the mean, and the L2 norm of deviations from it: a thirtieth of the time of torch.var_mean on a CPU."""
        self._highest = self._rows.new_empty(0)
        """The highest of each unit over all calls."""

    def add(self, output: Tensor, axis: int) -> None:
        """Measure one output."""
        if output.device != self._rows.device:  # the model was moved
            self._rows, self._highest = self._rows.to(output.device), self._highest.to(output.device)
        if len(self.counts) == self._rows.shape[1]:
            self._rows = torch.cat([self._rows, torch.empty_like(self._rows)], dim=1)
        numbers = output.to(self._rows.dtype)
        mean, norm = self._rows[:, len(self.counts)].unbind()
        torch.mean(numbers, list(range(numbers.ndim)), out=mean)
        torch.linalg.vector_norm(numbers - mean, out=norm)
        self._observe(numbers.amax([d for d in range(output.ndim) if d != axis % output.ndim]))
        self.counts.append(output.numel())

    def _observe(self, highest: Tensor) -> None:
        if len(highest) > len(self._highest):
            self._highest = pad(self._highest, (0, len(highest) - len(self._highest)), value=-math.inf)
        known = self._highest[: len(highest)]
        if self.counts:
            torch.maximum(known, highest, out=known)
        else:
            self._highest.fill_(-math.inf)
            known.copy_(highest)

    def tensors(self) -> tuple[Tensor, ...]:
        """What was measured, still on its device."""
        means, norms = self._rows[:, : len(self.counts)]
        return means, norms, self._highest

    def landed(self, arrays: Iterator[Floats]) -> ActivationStatistics:
        """The statistics of all calls together, with the next arrays in place of the tensors; then start over."""
        means, norms = next(arrays).tolist(), next(arrays).tolist()
        count, mean, squares = _merged(self.counts, means, norms)
        self.counts = []
        bits = np.packbits(~(next(arrays) <= 0)).tobytes().hex()
        return ActivationStatistics(count, mean, math.sqrt(squares / count), len(self._highest), bits)


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


def _merged(counts: list[int], means: list[float], norms: list[float]) -> tuple[int, float, float]:
    """Count, mean and sum of squared deviations of all calls together (Chan, Golub and LeVeque, 1983)."""
    total = sum(counts)
    mean = sum(n * m for n, m in zip(counts, means, strict=True)) / total
    between = sum(n * (m - mean) * (m - mean) for n, m in zip(counts, means, strict=True))
    return total, mean, sum(norm * norm for norm in norms) + between
