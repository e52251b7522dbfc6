"""A model seen from outside: host, slots, parameters, stages. Found by structure, not by base class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import reduce
from typing import NamedTuple, Protocol, runtime_checkable

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
    """The slots of a model by their slot_id: those given, else its `seed_slots`, else none.

    Raises:
        UsageError: Something given as a slot is none, or two have the same slot_id.
    """
    given = slots if slots is not None else getattr(model, "seed_slots", {})
    if not hasattr(given, "items"):
        raise UsageError("slots must be a mapping", got=f"a {type(given).__name__}", do="Pass {name: slot} or an nn.ModuleDict.")
    found: dict[str, SlotLike] = {}
    for name, slot in given.items():
        missing = [part for part in ("slot_id", "alpha", "stage", "seed", "force_alpha") if not hasattr(slot, part)]
        if missing:
            raise UsageError(
                f"{name!r} is no slot",
                got=f"a {type(slot).__name__} without {', '.join(missing)}",
                do="A slot has slot_id, alpha, stage, seed and force_alpha(alpha).",
            )
        if str(slot.slot_id) in found:
            raise UsageError(f"two slots have the slot_id {str(slot.slot_id)!r}", do="Give each slot its own.")
        found[str(slot.slot_id)] = slot
    return found


def slot_width(slot: SlotLike) -> int:
    """Channels or features of a slot; 0 when it does not say."""
    return int(getattr(slot, "channels", 0))


def stage_of(slot: SlotLike) -> SeedStage:
    """Stage of a slot, whose own enum may be another one with the same integers.

    Raises:
        UsageError: It is no stage.
    """
    try:
        return SeedStage(slot.stage)
    except ValueError:
        raise UsageError(
            f"slot {str(slot.slot_id)!r} is in no stage", got=repr(slot.stage), do="Its stage is a karn_wandb.SeedStage."
        ) from None


class Owned(NamedTuple):
    """A parameter and the module that owns it directly.

    Attributes:
        slot_id: The slot whose seed module it is in; None in the host.
        name: Qualified name of the owner in the model. A seed module that is not registered in the model is named as if
            it were, `seed_slots.<slot_id>.seed`.
        inner: Name of the owner inside the seed module; `name` in the host.
        parameter: The parameter.
    """

    slot_id: str | None
    name: str
    inner: str
    parameter: nn.Parameter


def owned_parameters(model: nn.Module, slots: Mapping[str, SlotLike]) -> Iterator[Owned]:
    """All parameters, each once and with its first owner: owner by owner, the host's first, then slot by slot.

    What host and seed module share is the host's; what seed modules share is the first one's.
    """
    taken: set[nn.Parameter] = set()
    for slot_id, name, inner, module in _owners(model, slots):
        for parameter in module.parameters(recurse=False):
            if parameter not in taken:
                taken.add(parameter)
                yield Owned(slot_id, name, inner, parameter)


def _owners(model: nn.Module, slots: Mapping[str, SlotLike]) -> Iterator[tuple[str | None, str, str, nn.Module]]:
    """Modules of the host, then those of each seed module: slot, qualified name, name in host or seed module, module."""
    seeds = {slot_id: slot.seed for slot_id, slot in slots.items() if slot.seed is not None}
    for name, module in model.named_modules(memo=set(seeds.values())):
        yield None, name, name, module
    names = {module: name for name, module in model.named_modules()} if seeds else {}
    for slot_id, seed in seeds.items():
        prefix = names.get(seed, f"seed_slots.{slot_id}.seed")
        for inner, module in seed.named_modules():
            yield slot_id, ".".join(filter(None, (prefix, inner))), inner, module


def split_parameters(model: nn.Module, slots: Mapping[str, SlotLike]) -> tuple[list[nn.Parameter], dict[str, list[nn.Parameter]]]:
    """Parameters of the host, and of each slot's seed module; each once, shared ones as in `owned_parameters`."""
    host: list[nn.Parameter] = []
    by_slot: dict[str, list[nn.Parameter]] = {slot_id: [] for slot_id in slots}
    for owned in owned_parameters(model, slots):
        (host if owned.slot_id is None else by_slot[owned.slot_id]).append(owned.parameter)
    return host, by_slot


def count(parameters: Iterable[nn.Parameter]) -> int:
    """Number of scalars in the parameters."""
    return sum(p.numel() for p in parameters)


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor | None:
    """L2 norm of all gradients together, as a tensor on their device; None when there are none.

    Sparse gradients are taken by their values, half precision is summed in single, where it cannot overflow. The norm
    of norms equals the norm of the concatenation.
    """
    grads = [p.grad.detach() for p in parameters if p.grad is not None]
    if not grads:
        return None
    dense = [g.coalesce().values() if g.is_sparse else g for g in grads]
    precision = reduce(torch.promote_types, (g.dtype for g in dense), torch.float32)
    norms = torch._foreach_norm(dense, 2, precision)  # noqa: SLF001 -- what clip_grad_norm_ uses itself
    norm: Tensor = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
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
        host, seeds = split_parameters(self.model, self.slots)
        counts = {slot_id: count(parameters) for slot_id, parameters in seeds.items()}
        return {
            "host_params": count(host),
            "total_seed_params": sum(counts.values()),
            "total_params": count(host) + sum(counts.values()),
            "fossilized_params": sum(counts[s] for s, slot in self.slots.items() if stage_of(slot) is SeedStage.FOSSILIZED),
        }

    def slot_snapshots(self) -> dict[str, SlotSnapshot]:
        """State of each slot, now."""
        _, seeds = split_parameters(self.model, self.slots)
        return {slot_id: slot_snapshot(slot, count(seeds[slot_id])) for slot_id, slot in self.slots.items()}


def slot_snapshot(slot: SlotLike, seed_params: int) -> SlotSnapshot:
    """What a slot says of itself."""
    stage = stage_of(slot)
    occupied = stage in OCCUPIED
    return SlotSnapshot(
        slot_id=str(slot.slot_id),
        stage=stage,
        epochs_in_stage=int(getattr(slot, "epochs_in_stage", 0)),
        seed_id=getattr(slot, "seed_id", None) if occupied else None,
        blueprint_id=getattr(slot, "blueprint_id", None) if occupied else None,
        seed_params=seed_params,
        alpha=float(slot.alpha) if occupied else 0.0,
    )
