"""How far the reading of runs from W&B is, as a bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown_progress() -> Iterator[Callable[[int, int, str], None] | None]:
    """Give what `load_experiment` takes as `progress`, drawn on stderr until the block ends; None where that is no terminal."""
    from rich.console import Console  # noqa: PLC0415 -- not for --help
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    from karn_wandb.printable import printable  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total or None, description=printable(what), visible=True)

        yield show
