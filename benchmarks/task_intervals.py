"""What do intervals over several tasks cost, beside rliable's? Ten runs of 26 tasks, both in turn.

    python -m benchmarks.task_intervals

rliable 1.2.0 wants pandas below 3, so it needs an environment with both packages: `pip install rliable==1.2.0 "pandas<3"`.
Where it is missing, only this package is timed. A round times rliable and then this package; the ratio is that of the round, and
the median over rounds is reported with its range. rliable's time is proportional to the resamples: `--share` of them are timed,
and of probability of improvement a fiftieth of that.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.offline import setting, table
from karn_wandb.statistics import TaskEstimate, improvement_over_tasks, over_tasks, performance_profile

RUNS, TASKS = 10, 26
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rliable:
    """rliable's modules."""

    library: ModuleType
    metrics: ModuleType


def rliable() -> Rliable | None:
    """The package, if it is there and can be imported."""
    try:
        return Rliable(importlib.import_module("rliable.library"), importlib.import_module("rliable.metrics"))
    except ImportError as error:
        print(f"rliable cannot be imported ({error}): only this package is timed.\n")
        return None


def scores() -> tuple[Floats, Floats]:
    """Two arms, tasks x runs, normalised so that 1 is good."""
    rng = np.random.default_rng(0)
    return rng.gamma(2, 0.5, (TASKS, RUNS)), rng.gamma(2.2, 0.5, (TASKS, RUNS))


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long a call takes, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def measure(resamples: int, rounds: int, share: float) -> list[list[str]]:
    """A row for each statistic."""
    first, second = scores()
    levels = np.linspace(0, 3, 101)
    theirs = rliable()
    part = max(int(resamples * share), 100)
    few = max(part // 50, 20)

    def interval_estimates(statistic: str, reps: int, *arms: Floats) -> Any:
        if theirs is None:
            return None
        function = getattr(theirs.metrics, statistic)
        data = {"arm": arms[0].T if len(arms) == 1 else tuple(arm.T for arm in arms)}
        return theirs.library.get_interval_estimates(data, lambda *x: np.array([function(*x)]), reps=reps)[1]["arm"].ravel()

    def profiles(reps: int) -> Any:
        return None if theirs is None else theirs.library.create_performance_profile({"arm": first.T}, levels, reps=reps)[1]

    cases: list[tuple[str, Callable[[], Any], Callable[[], Any], int]] = [
        ("iqm", lambda: over_tasks(first, resamples=resamples), lambda: interval_estimates("aggregate_iqm", part, first), part),
        (
            "median",
            lambda: over_tasks(first, "median", resamples=resamples),
            lambda: interval_estimates("aggregate_median", part, first),
            part,
        ),
        (
            "probability of improvement",
            lambda: improvement_over_tasks(first, second, resamples=resamples),
            lambda: interval_estimates("probability_of_improvement", few, first, second),
            few,
        ),
        (
            "profile, 101 thresholds",
            lambda: performance_profile(first, levels.tolist(), resamples=resamples),
            lambda: profiles(part),
            part,
        ),
    ]
    rows = []
    for name, ours, other, reps in cases:
        times, ratios, result, reference = [], [], None, None
        for _ in range(rounds):
            rliables, reference = seconds(other)
            took, result = seconds(ours)
            times.append(took)
            ratios.append(rliables * resamples / reps / took)
        rows.append(
            [
                name,
                f"{statistics.median(times):.2f}",
                *([] if theirs is None else [f"{statistics.median(times) * statistics.median(ratios):,.0f}", span(ratios)]),
                ends(result.low, result.high) if isinstance(result, TaskEstimate) else "",
                *(
                    []
                    if theirs is None
                    else [ends(*reference) if isinstance(result, TaskEstimate) and reference is not None else ""]
                ),
            ]
        )
    return rows


def span(ratios: list[float]) -> str:
    """The middle and the range of some ratios."""
    return f"{statistics.median(ratios):,.0f} ({min(ratios):,.0f} to {max(ratios):,.0f})"


def ends(low: float | None, high: float | None) -> str:
    """An interval."""
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=50_000, help="default 50,000")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--share", type=float, default=0.1, help="of the resamples that rliable is timed with; default 0.1")
    options = parser.parse_args(arguments)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = measure(options.resamples, options.rounds, options.share)
    both = len(rows[0]) > 3
    header = ["statistic", "s", *(["rliable, s", "times as fast"] if both else []), "interval", *(["rliable's"] if both else [])]
    print(f"{options.resamples:,} resamples of {RUNS} x {TASKS}, {options.rounds} rounds. {setting()}.\n")
    print(table(header, rows))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"\nThe process grew by {grown:.0f} MiB at most.")


if __name__ == "__main__":
    main()
