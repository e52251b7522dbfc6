"""What fails below the training loop: said once, or raised when that is wanted."""

from __future__ import annotations

import warnings

from karn_wandb.errors import KarnWarning


class Troubles:
    """Says what failed, each thing once: as a warning at once, and at the end of a run all that is left in one.

    Args:
        strict: Raise instead.

    Attributes:
        collects: Whether the run ends, and what is to be said waits for `say_at_last`.
    """

    def __init__(self, *, strict: bool) -> None:
        self.collects = False
        self._strict = strict
        self._said: set[str] = set()
        self._raised: dict[str, Exception] = {}
        self._waiting: list[str] = []

    def tell(self, where: str, error: Exception, consequence: str) -> None:
        """Something failed.

        Raises:
            Exception: The error, when strict; what was raised before is raised at the end only.
        """
        if self._strict:
            if self.collects or self._raised.get(where) is not error:
                self._raised[where] = error
                raise error
            return
        goes_on = "" if self.collects else " Training goes on."
        self.say(where, f"{where} failed: {error!r}. {consequence}{goes_on}")

    def say(self, what: str, text: str) -> None:
        """Warn with a text, unless it is empty or the same thing was said before."""
        if not text or what in self._said:
            return
        self._said.add(what)
        if self.collects:
            self._waiting.append(text)
        else:
            warnings.warn(text, KarnWarning, stacklevel=5)

    def say_at_last(self, also: str = "") -> None:
        """Say what waits, and a text of the caller's, in one warning."""
        said = " ".join(filter(None, [*self._waiting, also]))
        if said:
            warnings.warn(said, KarnWarning, stacklevel=5)
