"""A process around each run of a local sweep: nothing of the run outlives it, and how the run ended is on the disk.

Started by path, with the standard library alone, so that it is there within milliseconds:

    guard.py FOLDER GRACE LOCK_FD COMMAND...

Its standard input is a pipe from the sweep. A byte in it asks for the run to be stopped; its end means that the sweep is
gone. Either way the run gets SIGTERM, and SIGKILL after the grace. On Linux the guard adopts what the run leaves behind
(prctl(2), PR_SET_CHILD_SUBREAPER) and ends that, too. It holds the sweep's lock until nothing of the run is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

EXIT_NAME = "exit.json"
"""How the run ended: its exit code, and why it was asked to end, "" when it was not."""
PID_NAME = "pid"
"""Process group of the run."""
STOP, LOST = "stopped", "lost"
CANNOT_START = 127
ADOPT = 36
"""PR_SET_CHILD_SUBREAPER of linux/prctl.h."""
LINGER = 15.0
"""Seconds that processes which outlive the run's own have to end by themselves, as W&B's do when they have written all."""
TICK = 0.05


def guard(folder: Path, grace: float, command: list[str]) -> int:
    """Run the command to its end; gives its exit code, 128 and the signal's number when a signal ended it."""
    _adopt()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for signum in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signum, lambda _signum, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = _start(command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", flush=True)  # noqa: T201 -- into the run's output
        _write(folder / EXIT_NAME, json.dumps({"code": CANNOT_START, "asked": ""}))
        return CANNOT_START
    _write(folder / PID_NAME, str(run))
    code, asked = _until_ended(run, grace, woken)
    _write(folder / EXIT_NAME, json.dumps({"code": code, "asked": asked}))
    if asked:
        _signal_children(signal.SIGTERM)
    _end_the_rest(run)
    return code


def _adopt() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(ADOPT, 1, 0, 0, 0)


def _start(command: list[str]) -> int:
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    default = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE]
    return os.posix_spawnp(command[0], command, os.environ, file_actions=[nothing], setpgroup=0, setsigdef=default)


def _until_ended(run: int, grace: float, woken: int) -> tuple[int, str]:
    asked, kill_at, listening = "", 0.0, [0, woken]
    while True:
        ready = select.select(listening, [], [], 1.0)[0]
        signals = os.read(woken, 512) if woken in ready else b""
        if 0 in ready or signal.SIGTERM in signals:
            asked = asked or (STOP if 0 in ready and os.read(0, 1) else LOST)
            listening = [woken]
            kill_at = time.monotonic() + grace
            _signal(run, signal.SIGTERM)
        code = _reap(run)
        if code is not None:
            return code, asked
        if asked and time.monotonic() > kill_at:
            _signal(run, signal.SIGKILL)


def _reap(run: int) -> int | None:
    """Take leave of children that have ended; gives the run's exit code when it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == run:
                code = os.waitstatus_to_exitcode(status)
    return None if code is None else code if code >= 0 else 128 - code


def _end_the_rest(run: int) -> None:
    """Wait until nothing of the run is left; kill what does not go."""
    kill_at = time.monotonic() + LINGER
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        if time.monotonic() > kill_at:
            _signal(run, signal.SIGKILL)
            _signal_children(signal.SIGKILL)
        time.sleep(TICK)


def _signal_children(signum: int) -> None:
    """Signal what the guard has adopted; on Linux, where it adopts."""
    try:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    except OSError:
        return
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signum)


def _signal(group: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


if __name__ == "__main__":
    os.set_inheritable(int(sys.argv[3]), False)  # noqa: FBT003 -- its signature
    sys.exit(guard(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[4:]))
