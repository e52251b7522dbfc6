"""Where recorded runs come from: `karn_wandb.init` itself, for as long as a context manager is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from karn_wandb.active import restored
from karn_wandb.start import init, run_kinds
from karn_wandb.testing.run import RecordedRun


@contextmanager
def recorded(project: str = "recorded", **options: Any) -> Iterator[RecordedRun]:
    """A run recorded in memory; finished at the end, and then still there to be asked.

    An exception marks it as failed, as it does any run, and goes on.

    Args:
        project: W&B project.
        **options: Any other keyword of `karn_wandb.init`.
    """
    with recorded_inits() as runs:
        init(project, **options)
        with runs[0] as run:
            yield run


@contextmanager
def recorded_inits() -> Iterator[list[RecordedRun]]:
    """For as long as it is open, `karn_wandb.init` gives recorded runs, on every thread.

    Yields:
        The runs, in the order in which they were started. What is passed as `mode`, `settings` or `sinks` changes nothing:
        nothing is written or shown. Runs that are still open at the end are closed as at the end of a process:
        everything is kept, and there is no outcome.
    """
    runs: list[RecordedRun] = []

    class Kept(RecordedRun):
        """Tells the list of its existence."""

        started = runs

    run_kinds.append(Kept)
    try:
        with restored():
            yield runs
    finally:
        run_kinds.remove(Kept)
        for run in runs:
            run.close()
