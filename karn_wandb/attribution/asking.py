"""Asking a value function: how many coalitions at once, and until when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from karn_wandb.attribution.values import BatchValue, Reader, ValueFunction
from karn_wandb.errors import AttributionError
from karn_wandb.records import Coalition

_FIRST = 2
"""Coalitions asked for together before it is known how long they take: all slots on and all off."""

_CAUTION = 2
"""So many times slower than the ones before coalitions may be, and still be there in time."""


def answers(
    configs: Sequence[Coalition], value: ValueFunction | BatchValue, reader: Reader, deadline: float | None
) -> Iterator[tuple[Coalition, object]]:
    """What `value` says of each coalition, until the time is over.

    What takes coalitions together gets them all at once, or with a deadline as many as the time that those before took
    predicts to fit into half of what is left: at least one as long as there is any.

    Args:
        configs: The coalitions.
        value: The value function.
        reader: Names coalitions in messages.
        deadline: On `time.monotonic`, None for none.

    Raises:
        AttributionError: `value` raised, or lost coalitions.
    """
    if isinstance(value, BatchValue):
        ask: Callable[[Sequence[Coalition]], Sequence[object]] = value.evaluate_all
        size = len(configs) if deadline is None else _FIRST
    else:
        ask, size = (lambda asked: [value(config) for config in asked]), 1
    done = 0
    while done < len(configs):
        started = time.monotonic()
        if deadline is not None and started >= deadline:
            return
        asked = configs[done : done + size]
        found = _asked(asked, ask, reader)
        done += len(asked)
        if deadline is not None and isinstance(value, BatchValue):
            now = time.monotonic()
            size = _in_time(deadline - now, (now - started) / len(asked), len(configs) - done)
        yield from zip(asked, found, strict=True)


def _in_time(left: float, each: float, wanted: int) -> int:
    """How many of the wanted coalitions there is time for, at least one."""
    return wanted if wanted * each * _CAUTION <= left else max(1, int(left / (each * _CAUTION)))


def _asked(
    asked: Sequence[Coalition], ask: Callable[[Sequence[Coalition]], Sequence[object]], reader: Reader
) -> Sequence[object]:
    subject = reader.name(asked[0]) if len(asked) == 1 else f"{len(asked)} coalitions of ({', '.join(reader.slot_ids)})"
    try:
        found = ask(asked)
    except AttributionError:
        raise
    except Exception as error:
        raise AttributionError(
            f"the value function failed for {subject}",
            got=f"{type(error).__name__}: {error}".removesuffix("."),
            do="What it raised is the cause of this error.",
        ) from error
    if len(found) != len(asked):
        raise AttributionError(f"evaluate_all must return an evaluation for each of {subject}", got=str(len(found)))
    return found
