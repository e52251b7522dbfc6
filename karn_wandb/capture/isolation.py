"""Isolation leakage: gradient that crosses the barrier between the host and a seed module that is not blended in yet.

A seed module is isolated while its stage is GERMINATED or TRAINING. Its leakage is the L2 norm, all parts together, of

- the gradient that flows back from the seed module's own path to its input, and through it into the host, and
- while it is GERMINATED and does not train yet, the gradient in its parameters' `grad`.

The first part is that of the input's activations, seen at an alias of the input that only the seed module uses: what
reaches the input by other ways, such as past the seed module, is not in it. It is 0 exactly when nothing crosses; its size
is for following it over time, not for comparing models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from karn_wandb.capture.model import SlotLike, gradient_norm, split_parameters, stage_of
from karn_wandb.records import SeedStage

ISOLATED = frozenset({SeedStage.GERMINATED, SeedStage.TRAINING})
"""Stages in which no gradient may pass between host and seed module."""


@runtime_checkable
class LeakageMonitor(Protocol):
    """A monitor of the host's or the slot's own that says what leaked."""

    def leakage(self) -> Tensor | float | None:
        """Leakage of the newest backward pass, at best as a tensor; None when there is none to report."""


@runtime_checkable
class AsyncIsolationMonitor(Protocol):
    """The original project's `GradientIsolationMonitor`, which gives tensors."""

    def check_isolation_async(self) -> Mapping[str, Any]:
        """`_host_norm_sq`: squared norm of the gradients of the host it was registered with, None without any."""


@runtime_checkable
class IsolationMonitor(Protocol):
    """The same monitor in its older versions, which give numbers and count violations as they are asked."""

    def check_isolation(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether it is isolated, and `host_grad_norm`."""


class IsolationProbe:
    """Measures the leakage of all isolated seed modules, batch by batch, without reading a tensor's value.

    It follows the slots: a seed module that came or went is noticed at the next `refresh` or `measure`. Passes in
    evaluation mode or without gradients add nothing, nor does what runs inside `torch.compile`, which is not monitored.
    Inputs are the tensors among the arguments; of a seed module that changes its input in place nothing can be seen, for
    its path then is the host's own.

    A host or slot that has an `isolation_monitor` is asked instead: the host's for all, a slot's for its own seed
    module. What such a monitor measures is its own definition.

    Args:
        slots: By slot_id.
        host: The model the slots are in. With it, parameters that a seed module shares with the host count as the
            host's, and its `isolation_monitor` is found.
    """

    def __init__(self, slots: Mapping[str, SlotLike], host: nn.Module | None = None) -> None:
        self._slots = dict(slots)
        self._host = host
        self._installed = False
        self._watches: dict[str, _Watch] = {}

    def install(self) -> None:
        """Start to watch the seed modules."""
        self._installed = True
        self.refresh()

    def remove(self) -> None:
        """Take all hooks off again; until the next `install` nothing is measured."""
        self._installed = False
        for watch in self._watches.values():
            watch.remove()
        self._watches = {}

    def refresh(self) -> None:
        """Follow the slots to the seed modules they hold now; call it when an epoch or a stage begins."""
        if not self._installed or all(_is_watched(slot, self._watches.get(name)) for name, slot in self._slots.items()):
            return
        parameters = self._parameters()
        for slot_id, slot in self._slots.items():
            watch = self._watches.get(slot_id)
            if _is_watched(slot, watch):
                continue
            if watch is not None:
                self._watches.pop(slot_id).remove()
            if slot.seed is not None:
                self._watches[slot_id] = _Watch(slot, slot.seed, parameters[slot_id])

    def measure(self) -> Tensor | None:
        """The leakage since the last call, after a backward pass.

        Returns:
            One number as a tensor on its device, at least 0 or not finite; None when no seed module is isolated, or none of
            them was seen in a forward pass.
        """
        if not self._installed:
            return None
        seen = {slot_id: watch.take() for slot_id, watch in self._watches.items()}
        self.refresh()
        isolated = [slot_id for slot_id, slot in self._slots.items() if _is_isolated(slot)]
        whole = _monitor(self._host)
        if isolated and whole is not None:
            return _reading(whole)
        return _together(*(self._part(slot_id, seen.get(slot_id)) for slot_id in isolated))

    def _part(self, slot_id: str, seen: Tensor | None) -> Tensor | None:
        monitor = _monitor(self._slots[slot_id])
        return seen if monitor is None else _reading(monitor)

    def _parameters(self) -> dict[str, list[nn.Parameter]]:
        return split_parameters(self._host if self._host is not None else nn.Module(), self._slots)[1]


class _Watch:
    """The hook on one seed module, and what came by since it was last asked."""

    def __init__(self, slot: SlotLike, seed: nn.Module, parameters: list[nn.Parameter]) -> None:
        self.slot, self.seed, self.parameters = slot, seed, parameters
        self._device: torch.device | None = None
        self._leaked: Tensor | None = None
        self._handle = seed.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        """Before the seed module's forward pass: put aliases in place of its inputs."""
        if torch.compiler.is_compiling() or not (module.training and torch.is_grad_enabled() and _is_isolated(self.slot)):
            return None
        return tuple(map(self._alias, args)), {name: self._alias(value) for name, value in kwargs.items()}

    def __reduce__(self) -> tuple[type[_Silent], tuple[()]]:
        """A copied or saved seed module has no part in the measurement, and carries neither slot nor host along."""
        return _Silent, ()

    def _alias(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.layout is not torch.strided:  # a sparse tensor has no alias
            return value
        self._device = value.device
        if not value.requires_grad:
            return value
        alias = value.view_as(value)
        alias.register_hook(self._leak)  # type: ignore[no-untyped-call]
        return alias

    def _leak(self, gradient: Tensor) -> None:
        gradient = gradient.detach()
        norm = torch.linalg.vector_norm(gradient, dtype=torch.promote_types(gradient.dtype, torch.float32))
        self._leaked = _together(self._leaked, norm)

    def take(self) -> Tensor | None:
        """What leaked since the last call, None when no forward pass came by; and start over."""
        device, leaked = self._device, self._leaked
        self._device = self._leaked = None
        if device is None:
            return None
        reached = gradient_norm(self.parameters) if stage_of(self.slot) is SeedStage.GERMINATED else None
        whole = _together(leaked, reached)
        return torch.zeros((), device=device) if whole is None else whole

    def remove(self) -> None:
        """Take the hook off."""
        self._handle.remove()


class _Silent:
    """What stands in a copied seed module where the original has its hook."""

    def __call__(self, *_: object) -> None:
        """Change nothing."""


def _is_isolated(slot: SlotLike) -> bool:
    return stage_of(slot) in ISOLATED


def _is_watched(slot: SlotLike, watch: _Watch | None) -> bool:
    return slot.seed is (None if watch is None else watch.seed)


def _monitor(owner: object) -> object | None:
    """The monitor that a host or slot has, when it can be asked in a way known here."""
    monitor = getattr(owner, "isolation_monitor", None)
    if monitor is None:  # asking None for methods takes long
        return None
    return monitor if isinstance(monitor, (LeakageMonitor, AsyncIsolationMonitor, IsolationMonitor)) else None


def _reading(monitor: object) -> Tensor | None:
    """What a monitor says, asked for tensors where it has them: a number costs it a wait for the device."""
    value: Any = None
    if isinstance(monitor, LeakageMonitor):
        value = monitor.leakage()
    elif isinstance(monitor, AsyncIsolationMonitor):
        squared = monitor.check_isolation_async().get("_host_norm_sq")
        value = None if squared is None else torch.as_tensor(squared).sqrt()
    elif isinstance(monitor, IsolationMonitor):
        value = monitor.check_isolation()[1].get("host_grad_norm")
    return None if value is None else torch.as_tensor(value).detach()


def _together(*parts: Tensor | None) -> Tensor | None:
    """L2 norm of parts from the norm of each; None when there are none."""
    present = [part for part in parts if part is not None]
    if len(present) < 2:
        return present[0] if present else None
    whole: Tensor = torch.linalg.vector_norm(torch.stack([part.to(present[0].device) for part in present]))
    return whole
