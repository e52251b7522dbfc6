"""A model seen from outside: host, slots, parameters, stages, gradient norms. Found by structure, not by base class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from karn_wandb.errors import UsageError
from karn_wandb.records import OCCUPIED, SeedStage, SlotSnapshot


@runtime_checkable
class SlotLike(Protocol):
    """An nn.Module whose forward(x) returns x with its seed module blended in.

    Optional beside these: `seed_id`, `blueprint_id`, `epochs_in_stage`, `channels` (its width).
    """

    slot_id: str
    alpha: float
    stage: SeedStage
    seed: nn.Module | None

    def force_alpha(self, alpha: float) -> AbstractContextManager[None]:
        """Use this alpha inside the `with` block."""


@runtime_checkable
class HostLike(Protocol):
    """A model that has slots: `seed_slots` maps their names to them; an nn.ModuleDict will do."""

    seed_slots: Mapping[str, SlotLike]


def find_slots(model: nn.Module, slots: Mapping[str, SlotLike] | None = None) -> dict[str, SlotLike]:
    """The slots of a model: those given, else its `seed_slots`, else none.

    Raises:
        UsageError: Something given as a slot is none.
    """
    found = slots if slots is not None else getattr(model, "seed_slots", None) or {}
    for name, slot in found.items():
        missing = [part for part in ("slot_id", "alpha", "stage", "seed", "force_alpha") if not hasattr(slot, part)]
        if missing:
            raise UsageError(
                f"{name!r} is no slot",
                got=f"a {type(slot).__name__} without {', '.join(missing)}",
                do="A slot has slot_id, alpha, stage, seed and force_alpha(alpha).",
            )
    return {str(slot.slot_id): slot for slot in found.values()}


def slot_width(slot: SlotLike) -> int:
    """Channels or features of a slot; 0 when it does not say."""
    return int(getattr(slot, "channels", 0))


def seed_parameters(slot: SlotLike) -> list[nn.Parameter]:
    """Parameters of the seed module in a slot, each once."""
    return list(slot.seed.parameters()) if slot.seed is not None else []


def host_parameters(model: nn.Module, slots: Mapping[str, SlotLike]) -> list[nn.Parameter]:
    """Parameters of the model that belong to no seed module."""
    seeds = {id(p) for slot in slots.values() for p in seed_parameters(slot)}
    return [p for p in model.parameters() if id(p) not in seeds]


def count(parameters: Iterable[nn.Parameter]) -> int:
    """Number of scalars in the parameters."""
    return sum(p.numel() for p in parameters)


def count_host_parameters(model: nn.Module, slots: Mapping[str, SlotLike]) -> int:
    """Number of scalars in the host's parameters."""
    return count(host_parameters(model, slots))


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor | None:
    """L2 norm of all gradients together, as a tensor on their device; None when there are none.

    Sparse gradients are taken by their values. The norm of norms equals the norm of the concatenation.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    dense = [g.coalesce().values() if g.is_sparse else g for g in grads]
    if not dense:
        return None
    norms = torch._foreach_norm([g.detach() for g in dense])  # noqa: SLF001 -- what clip_grad_norm_ uses itself
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm


class AttachedModel:
    """A model whose state fills in what is not logged by hand.

    Args:
        model: The network.
        slots: Its slots; found by structure when None.
    """

    def __init__(self, model: nn.Module, slots: Mapping[str, SlotLike] | None = None) -> None:
        self.model = model
        self.slots = find_slots(model, slots)

    def parameter_counts(self) -> dict[str, int]:
        """`host_params`, `total_seed_params`, `total_params` and `fossilized_params`, now."""
        host = count_host_parameters(self.model, self.slots)
        seeds = {name: count(seed_parameters(slot)) for name, slot in self.slots.items()}
        fossilized = sum(seeds[name] for name, slot in self.slots.items() if slot.stage == SeedStage.FOSSILIZED)
        total = sum(seeds.values())
        return {
            "host_params": host,
            "total_seed_params": total,
            "total_params": host + total,
            "fossilized_params": fossilized,
        }

    def slot_snapshots(self) -> dict[str, SlotSnapshot]:
        """State of each slot, now."""
        return {name: slot_snapshot(slot) for name, slot in self.slots.items()}

    def gradient_norms(self) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Norm of the host's gradients, and of each occupied slot's seed module, as tensors."""
        seeds = {name: gradient_norm(seed_parameters(slot)) for name, slot in self.slots.items()}
        host = gradient_norm(host_parameters(self.model, self.slots))
        return host, {name: norm for name, norm in seeds.items() if norm is not None}


def slot_snapshot(slot: SlotLike) -> SlotSnapshot:
    """What a slot says of itself."""
    stage = SeedStage(slot.stage)
    occupied = stage in OCCUPIED
    return SlotSnapshot(
        slot_id=str(slot.slot_id),
        stage=stage,
        epochs_in_stage=int(getattr(slot, "epochs_in_stage", 0)),
        seed_id=getattr(slot, "seed_id", None) if occupied else None,
        blueprint_id=getattr(slot, "blueprint_id", None) if occupied else None,
        seed_params=count(seed_parameters(slot)),
        alpha=float(slot.alpha) if occupied else 0.0,
    )
