"""Blueprints: the kinds of seed modules. Each keeps the shape (n, channels, height, width) of what it is given.

Every seed module starts as the exact identity, because the last layer of its branch starts at zero (Zhang, Dauphin
and Ma, "Fixup Initialization", 2019): germination changes nothing, and the first gradient says where to go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn


class Residual(nn.Module):
    """x + branch(x)."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the branch makes of x."""
        return x + self.branch(x)


class Gate(nn.Module):
    """x * (1 + branch(x)), a factor for each channel."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        """Scale each channel by what the branch makes of all of them."""
        return x * (1 + self.branch(x)[:, :, None, None])


def norm(channels: int) -> nn.Module:
    """Adds a normalised copy of the features (Wu and He, "Group Normalization", 2018): two numbers a channel."""
    return Residual(zeroed(nn.GroupNorm(1, channels)))


def attention(channels: int) -> nn.Module:
    """Scales each channel by all channels' means (Hu et al., "Squeeze-and-Excitation Networks", 2018)."""
    hidden = max(4, channels // 4)
    squeeze = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, hidden), nn.SiLU())
    return Gate(*squeeze, zeroed(nn.Linear(hidden, channels)), nn.Tanh())


def conv_light(channels: int) -> nn.Module:
    """A depthwise separable convolution (Howard et al., "MobileNets", 2017)."""
    depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    return Residual(depthwise, nn.GroupNorm(1, channels), nn.ReLU(), zeroed(nn.Conv2d(channels, channels, 1)))


def bottleneck(channels: int) -> nn.Module:
    """A full convolution on half of the channels (He et al., "Deep Residual Learning", 2016)."""
    inner = max(4, channels // 2)
    down = (nn.Conv2d(channels, inner, 1, bias=False), nn.GroupNorm(1, inner), nn.ReLU())
    middle = (nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.GroupNorm(1, inner), nn.ReLU())
    return Residual(*down, *middle, zeroed(nn.Conv2d(inner, channels, 1)))


def conv_heavy(channels: int) -> nn.Module:
    """Two full convolutions (He et al., 2016)."""
    first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return Residual(first, nn.GroupNorm(1, channels), nn.ReLU(), zeroed(nn.Conv2d(channels, channels, 3, padding=1)))


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with all its parameters at zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


BLUEPRINTS: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {f.__name__: f for f in (norm, attention, conv_light, bottleneck, conv_heavy)}
)
"""Blueprints by name, smallest first."""
