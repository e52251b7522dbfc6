"""What a slot must offer to be switched off, and doing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from torch import nn

from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition


class Switchable(Protocol):
    """What a slot must offer to be switched off."""

    slot_id: str
    alpha: float

    def force_alpha(self, alpha: float) -> AbstractContextManager[None]:
        """Blend with this alpha while the context is open."""
        ...


def find_slots(model: nn.Module, slots: Mapping[str, Switchable] | None) -> dict[str, Switchable]:
    """The slots given, else the model's `seed_slots`, by their `slot_id`.

    Raises:
        AttributionError: There are none, two of one name, or one that cannot be switched off.
    """
    given = (getattr(model, "seed_slots", None) or {}) if slots is None else slots
    if not given:
        raise AttributionError(
            f"{type(model).__name__} has no slots",
            do='Give it a mapping `seed_slots`, or pass slots={"early": ...}.',
        )
    found: dict[str, Switchable] = {}
    for name, slot in given.items():
        missing = [part for part in ("slot_id", "alpha", "force_alpha") if not hasattr(slot, part)]
        if missing:
            raise AttributionError(
                f"slot {name!r} cannot be switched off",
                got=f"a {type(slot).__name__} without {', '.join(missing)}",
                do="Give it a `slot_id`, an `alpha` and a context manager `force_alpha(alpha)`.",
            )
        if found.setdefault(str(slot.slot_id), slot) is not slot:
            raise AttributionError("every slot must have a slot_id of its own", got=f"{slot.slot_id!r} twice")
    return found


@contextmanager
def switched(slots: Sequence[Switchable], coalition: Coalition) -> Iterator[None]:
    """Force alpha 0 on the slots that are not in the coalition."""
    with ExitStack() as off:
        for slot, on in zip(slots, coalition, strict=True):
            if not on:
                off.enter_context(slot.force_alpha(0.0))
        yield
