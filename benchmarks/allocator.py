"""The C library's allocator, told to keep the memory it has."""

from __future__ import annotations

import os
import sys

KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""What glibc reads when a process starts; other C libraries do not."""


def keep_memory() -> None:
    """Begin the program anew, once, with an allocator that gives no memory back to the system.

    Left alone, glibc gives large tensors back and takes them again at every training step: with 128 images a batch 10,000
    to 50,000 pages, more than a tenth of the step, and how many of them changes from one second to the next. That hides what
    is to be measured.
    """
    if any(os.environ.get(name) != value for name, value in KEEP.items()):
        os.execve(sys.executable, sys.orig_argv, os.environ | KEEP)  # noqa: S606 -- this very program
