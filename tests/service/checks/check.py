"""What a check is, and the list of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .bench import Bench


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold, on W&B and on the stand-in alike.

    Attributes:
        title: What holds.
        holds: Asserts it.
        slow: Whether it takes more than a few seconds.
        needs: A package that is not installed everywhere; without it there is nothing to check.
    """

    title: str
    holds: Callable[[Bench], None]
    slow: bool = False
    needs: str | None = None


CHECKS: list[Check] = []
"""All checks, in the order they are written down."""


def check(
    title: str, *, slow: bool = False, needs: str | None = None
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Make a function a check."""

    def add(holds: Callable[[Bench], None]) -> Callable[[Bench], None]:
        CHECKS.append(Check(title, holds, slow, needs))
        return holds

    return add


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what W&B shows a moment after it was told.

    Raises:
        AssertionError: It did not come true in this time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
