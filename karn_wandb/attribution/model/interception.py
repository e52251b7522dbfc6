"""Standing in for the forward passes of slots for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import Tensor, nn

from karn_wandb.attribution.model.switches import Switchable

Forward = Callable[[Tensor], Tensor]
Substitute = Callable[[int, Forward, Tensor], Tensor]
"""Takes the place of the slot, its own forward pass, and what it is given; gives what it hands on."""


class Unsuitable(Exception):  # noqa: N818 -- no error: there is another way
    """Coalitions of this model cannot share a pass. Never leaves this room."""


@contextmanager
def intercepted(slots: Sequence[Switchable], substitute: Substitute) -> Iterator[None]:
    """Call the substitute where a slot is called, within the hooks that the slot has; at the end put all back.

    Raises:
        Unsuitable: A slot is no module, or takes and gives more than one tensor.
    """
    with ExitStack() as undo:
        for place, slot in enumerate(slots):
            if not isinstance(slot, nn.Module):
                raise Unsuitable(f"slot {slot.slot_id!r} is a {type(slot).__name__}, no module")
            attributes = vars(slot)
            if "forward" in attributes:
                undo.callback(attributes.__setitem__, "forward", attributes["forward"])
            else:
                undo.callback(attributes.pop, "forward")
            attributes["forward"] = partial(_one_tensor, slot, partial(substitute, place, slot.forward))
        yield


def _one_tensor(slot: Switchable, forward: Forward, *arguments: object, **keywords: object) -> Tensor:
    if len(arguments) != 1 or keywords or not isinstance(arguments[0], Tensor) or not arguments[0].ndim:
        raise Unsuitable(f"slot {slot.slot_id!r} takes more than one tensor")
    return forward(arguments[0])
