"""The checks of `tests/service/checks` on a real W&B service, for someone with an account.

    python -m tests.smoke_real_wandb ENTITY/PROJECT [--quick] [--only WORDS] [--keep]

Uses the login and the host the SDK finds (`wandb login`, `WANDB_API_KEY`, `WANDB_BASE_URL`). Take a project of its own:
the runs, artifacts and sweeps' runs the checks make are deleted at the end, so a project that has runs already is
refused. Prints a line a check; the exit code is 0 when all hold, 1 when one does not, 2 when they could not be made.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import wandb

from tests.service.checks import CHECKS, Bench, Check

HOLD, FAIL, CANNOT = 0, 1, 2


class CannotError(Exception):
    """The checks cannot be made; the text says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the checks, print what holds, and give the exit code."""
    given = _arguments(arguments)
    with tempfile.TemporaryDirectory(prefix="smoke-", ignore_cleanup_errors=True) as folder:
        try:
            bench = _bench(given.project, Path(folder))
        except CannotError as error:
            print(error, file=sys.stderr)
            return CANNOT
        chosen = [check for check in CHECKS if given.only in check.title and not (given.quick and check.slow)]
        try:
            failed = _make(chosen, bench)
        finally:
            if given.keep:
                print(f"kept: {bench.path}")
            else:
                bench.remove()
                print(f"deleted the runs and artifacts in {bench.path}; saved views stay, delete the project if you like")
                print(f"presets of charts stay, too, private to {bench.entity}")
    print(f"{len(chosen) - failed} of {len(chosen)} checks hold or were left out")
    return FAIL if failed else HOLD


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.smoke_real_wandb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", metavar="ENTITY/PROJECT", help="a project without runs; it may not exist yet")
    parser.add_argument("--quick", action="store_true", help="leave out the checks that take longer than a few seconds")
    parser.add_argument("--only", default="", metavar="WORDS", help="make only the checks with these words in their titles")
    parser.add_argument("--keep", action="store_true", help="delete nothing at the end")
    return parser.parse_args(arguments)


def _bench(path: str, folder: Path) -> Bench:
    """The place to make the checks in.

    Raises:
        CannotError: No such place, nobody logged in, or a project in use.
    """
    entity, _, project = path.partition("/")
    if not (entity and project):
        raise CannotError(f"{path!r} names no project: write ENTITY/PROJECT.")
    try:
        if not wandb.login(prompt=False):
            raise CannotError("You are not logged in to W&B: run `wandb login`, or set WANDB_API_KEY.")
    except wandb.errors.Error as error:
        raise CannotError(f"W&B does not let you in: {error}") from None
    try:
        there = len(wandb.Api().runs(path))
    except (ValueError, wandb.errors.CommError):
        there = 0  # there is no such project yet
    if there:
        raise CannotError(f"{path} has {there} runs, and the checks delete all runs at their end: name a project without any.")
    return Bench(entity, project, folder)


def _make(checks: Iterable[Check], bench: Bench) -> int:
    """Make checks one after another; how many do not hold."""
    failed = 0
    for check in checks:
        if check.needs and find_spec(check.needs) is None:
            print(f"left out  {check.title}: {check.needs} is not installed")
            continue
        begun = time.monotonic()
        try:
            check.holds(bench)
        except Exception:  # whatever goes wrong in one, the others are made
            failed += 1
            print(f"FAILED    {check.title}\n{traceback.format_exc()}")
        else:
            print(f"holds     {check.title} ({time.monotonic() - begun:.1f} s)")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
