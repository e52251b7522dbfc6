"""Lines that stay at the bottom of a terminal while everything else scrolls above them.

A terminal can be told to scroll its upper rows only (DECSTBM, VT100). The lines below are then drawn with the cursor
saved and restored around them, in one write. Whoever else prints, at whatever moment, with or without a line's end,
prints above as always. That is why `rich.live` is not used: it rewrites whatever stands where its last frame
should be, or else takes over `sys.stdout`, and W&B's output.log then misses what the training prints.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

ROOM = 4
"""Rows that are always left to others."""

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_ALL_ROWS = "\x1b[r"
_ERASE_BELOW = "\x1b[J"
_DOWN = "\x1bD"  # scrolls at the lowest row, and keeps the column


def is_terminal(stream: TextIO) -> bool:
    """Whether lines can be pinned on what a stream writes to: a terminal, but not one of Windows."""
    isatty = getattr(stream, "isatty", None)  # what stands in for standard output may know `write` only
    return sys.platform != "win32" and isatty is not None and not getattr(stream, "closed", False) and bool(isatty())


def open_terminal(stream: TextIO | None) -> int | None:
    """A file descriptor of the terminal, past all that captures what is printed; None when there is no such way.

    W&B captures the console in one of two ways. "wrap" (its default) replaces the `write` method of the `sys.stdout`
    object, which is the same object as `sys.__stdout__`: a descriptor of our own passes it. "redirect" puts a
    pseudo-terminal of W&B's in place of descriptor 1: what descriptor 1 leads to is then not the terminal
    that controls this process, and /dev/tty is, whatever stands in its place.

    Args:
        stream: The stream to write to, as it is; standard output, with W&B's capture passed by, when None.
    """
    if stream is not None:
        return os.dup(stream.fileno())
    standard = 1 if sys.__stdout__ is None else sys.__stdout__.fileno()
    try:
        return os.dup(standard) if _controls(standard) else os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY)
    except OSError:
        return None


def _controls(descriptor: int) -> bool:
    try:
        os.tcgetpgrp(descriptor)
    except OSError:  # no terminal, or another one
        return False
    return True


class PinnedLines:
    """Lines at the bottom of a terminal; a killed process leaves them there until `reset` is typed.

    The room they take only grows, so that what is above does not jump about.

    Args:
        descriptor: The terminal's file descriptor, closed by `close`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rows = self._height = 0

    @property
    def columns(self) -> int:
        """The terminal's width; 80 when it does not say."""
        return self._size()[0]

    @property
    def room(self) -> int:
        """Rows that lines may take."""
        return max(self._size()[1] - ROOM, 0)

    def show(self, lines: Sequence[str]) -> None:
        """Draw the lines in place of those before; what finds no room on a low terminal is left out at the end.

        Args:
            lines: Each at most `columns` wide, with its own colours.

        Raises:
            OSError: The terminal is gone.
        """
        rows = self._size()[1]
        height = min(max(len(lines), self._height), self.room)
        reserve = self._reserve(rows, height)
        shown = [*lines[:height], *[""] * (height - len(lines))]
        drawn = (f"\x1b[{rows - height + at};1H\x1b[0m\x1b[2K{line}" for at, line in enumerate(shown, start=1))
        self._write(f"{reserve}{_SAVE}{''.join(drawn)}\x1b[0m{_RESTORE}")

    def _reserve(self, rows: int, height: int) -> str:
        """What moves the upper rows out of the way and keeps the scrolling to them."""
        if (rows, height) == (self._rows, self._height):
            return ""
        free = ""
        if rows != self._rows:  # the first time, or the window was resized: what stands below the cursor is old
            free = f"{_SAVE}{_ALL_ROWS}{_RESTORE}{_ERASE_BELOW}"
            self._height = 0
        more = height - self._height
        self._rows, self._height = rows, height
        return f"{free}{_DOWN * more}{_SAVE}\x1b[1;{rows - height}r{_RESTORE}" + (f"\x1b[{more}A" if more else "")

    def close(self, lines: Sequence[str]) -> None:
        """Give all rows back, and leave the lines where the printing had come to, whole.

        Raises:
            OSError: The terminal is gone.
        """
        try:
            free = f"{_SAVE}{_ALL_ROWS}{_RESTORE}{_ERASE_BELOW}\r\n" if self._height else ""
            self._write(free + "".join(f"{line}\x1b[0m\r\n" for line in lines))
        finally:
            os.close(self._descriptor)

    def _size(self) -> tuple[int, int]:
        size = os.get_terminal_size(self._descriptor)
        return size.columns or 80, size.lines or 24

    def _write(self, text: str) -> None:
        data = text.encode(errors="replace")
        while data:
            data = data[os.write(self._descriptor, data) :]
