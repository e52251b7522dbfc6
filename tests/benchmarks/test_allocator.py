"""The benchmarks' allocator: the program begins anew once, as it was started, and then goes on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.allocator import KEEP


@pytest.mark.skipif(os.name == "nt", reason="Windows has another C library, and no exec that keeps the process")
def test_the_program_begins_anew_once_with_the_same_arguments():
    begin = "import os, sys; from benchmarks.allocator import keep_memory"
    program = f"{begin}; print(os.getpid(), *sys.argv[1:], flush=True); keep_memory()"
    environment = {name: value for name, value in os.environ.items() if name not in KEEP}
    command = [sys.executable, "-c", program, "--blocks", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    (first, second) = [line.split() for line in done.stdout.splitlines()]
    assert first == second == [first[0], "--blocks", "3"]
