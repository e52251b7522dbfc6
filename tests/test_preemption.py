"""SIGTERM: open runs save, then the signal has the effect it would have had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from karn_wandb.preemption import Watch


class Held:
    def __init__(self):
        self.saved = []
        self.lock = threading.Lock()

    def still(self):
        return self.lock

    def save(self, *, ending):
        with self.lock:
            self.saved.append(ending)


@pytest.fixture
def handler():
    """Sets the process's handler for the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda function: signal.signal(signal.SIGTERM, function)
    signal.signal(signal.SIGTERM, before)


def test_every_open_run_saves_and_the_user_s_handler_is_called(handler):
    called = []
    handler(lambda number, frame: called.append(number))
    users, watch, runs = signal.getsignal(signal.SIGTERM), Watch(), [Held(), Held(), Held()]
    for run in runs:
        watch.add(run)
    watch.remove(runs[1])
    os.kill(os.getpid(), signal.SIGTERM)
    assert [run.saved for run in runs] == [[False], [], [False]]
    assert called == [signal.SIGTERM]
    for run in (runs[0], runs[2]):
        watch.remove(run)
    assert signal.getsignal(signal.SIGTERM) is users


def test_a_signal_in_the_middle_of_a_run_s_call_has_its_effect_after_the_call(handler):
    """What saving needs is locked there, and only the main thread, which the handler interrupts, can let go of it."""
    called = threading.Event()
    handler(lambda number, frame: called.set())
    watch, run = Watch(), Held()
    watch.add(run)
    with run.lock:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (run.saved, called.is_set()) == ([], False)
    assert called.wait(10)
    assert run.saved == [False]
    os.kill(os.getpid(), signal.SIGTERM)
    assert run.saved == [False, False]
    watch.remove(run)


def test_a_handler_that_takes_over_in_between_gets_the_signal_that_is_sent_again(handler):
    called = threading.Event()
    watch, run = Watch(), Held()
    watch.add(run)
    with run.lock:
        os.kill(os.getpid(), signal.SIGTERM)
        handler(lambda number, frame: called.set())
    assert called.wait(10)
    assert run.saved == []


def test_the_handler_is_there_while_a_run_is(handler):
    handler(signal.SIG_DFL)
    watch, run = Watch(), Held()
    watch.add(run)
    assert signal.getsignal(signal.SIGTERM) == watch._handle
    watch.remove(run)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_that_the_user_sets_meanwhile_stays(handler):
    watch, run = Watch(), Held()
    watch.add(run)

    def later(number, frame):
        """The user's."""

    handler(later)
    watch.remove(run)
    assert signal.getsignal(signal.SIGTERM) is later


def test_a_signal_that_is_ignored_stays_ignored(handler):
    handler(signal.SIG_IGN)
    watch = Watch()
    watch.add(Held())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_outside_the_main_thread_nothing_is_done(handler):
    handler(signal.SIG_DFL)
    watch = Watch()
    thread = threading.Thread(target=watch.add, args=(Held(),))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_run_that_ends_on_another_thread_leaves_a_handler_that_does_nothing_of_its_own(handler):
    called = []
    handler(lambda number, frame: called.append(number))
    watch, run = Watch(), Held()
    watch.add(run)
    thread = threading.Thread(target=watch.remove, args=(run,))
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGTERM)
    assert (run.saved, called) == ([], [signal.SIGTERM])


BY_DEFAULT = """
import contextlib, os, signal, sys
from karn_wandb.preemption import Watch
class Held:
    still = contextlib.nullcontext
    def save(self, *, ending):
        print("saved", ending, flush=True)
held = Held()
watch = Watch()
watch.add(held)
if sys.argv[1] == "forked" and os.fork():
    _, status = os.wait()
    print("child", os.WTERMSIG(status), flush=True)
    sys.exit()
os.kill(os.getpid(), signal.SIGTERM)
print("still here")
"""


@pytest.mark.parametrize(
    ("how", "said", "code"),
    [("alone", "saved True\n", -signal.SIGTERM), ("forked", "child 15\n", 0)],
)
def test_without_a_handler_of_the_user_s_the_process_ends_by_the_signal(how, said, code):
    """A forked worker has nothing to save."""
    done = subprocess.run([sys.executable, "-c", BY_DEFAULT, how], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode, done.stderr) == (said, code, "")


FORKED = """
import contextlib, os, signal, sys
from karn_wandb.preemption import Watch
class Held:
    still = contextlib.nullcontext
    def __init__(self, name): self.name = name
    def save(self, *, ending):
        print("saved", self.name, flush=True)
watch = Watch()
watch.add(Held("the old process's"))
if os.fork():
    _, status = os.wait()
    print("child", os.WTERMSIG(status), flush=True)
    sys.exit()
watch.forget()
watch.add(Held("its own"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_forked_process_saves_what_it_began_itself():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("saved its own\nchild 15\n", "")
