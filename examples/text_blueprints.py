"""Blueprints for sequences: the kinds of seed modules that keep the shape (n, t, width) and look at no later place.

As those for images, every seed module starts as the exact identity, because the last layer of its branch starts at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from examples.blueprints import Residual, zeroed
from examples.gpt import HEADS, CausalAttention


def norm(width: int) -> nn.Module:
    """Adds a normalised copy of the features (Ba, Kiros and Hinton, "Layer Normalization", 2016): two numbers a feature."""
    return Residual(zeroed(nn.LayerNorm(width)))


def low_rank(width: int) -> nn.Module:
    """A linear map of low rank (Hu et al., "LoRA", 2021)."""
    rank = max(2, width // 16)
    return Residual(nn.Linear(width, rank, bias=False), zeroed(nn.Linear(rank, width, bias=False)))


def adapter(width: int) -> nn.Module:
    """A perceptron with a bottleneck (Houlsby et al., "Parameter-Efficient Transfer Learning", 2019)."""
    inner = width // 2
    return Residual(nn.Linear(width, inner), nn.GELU(), zeroed(nn.Linear(inner, width)))


def attention(width: int) -> nn.Module:
    """Causal attention (Vaswani et al., "Attention Is All You Need", 2017)."""
    return Residual(nn.LayerNorm(width), CausalAttention(width, HEADS), zeroed(nn.Linear(width, width)))


def perceptron(width: int) -> nn.Module:
    """The perceptron of a transformer's block (Vaswani et al., 2017)."""
    return Residual(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), zeroed(nn.Linear(4 * width, width)))


BLUEPRINTS: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {f.__name__: f for f in (norm, low_rank, adapter, attention, perceptron)}
)
"""Blueprints by name, smallest first."""
