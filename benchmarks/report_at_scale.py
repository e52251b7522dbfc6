"""How long a report on many runs takes, and how much memory: everything new, everything kept, and how both grow.

    python -m benchmarks.report_at_scale --runs 1000 --epochs 1000
    python -m benchmarks.report_at_scale --runs 300 1000 3000 10000 --epochs 50

The runs are record logs that the package's own pipeline wrote (`benchmarks/many_runs.py`). Each report is made by a process of
its own, in all three forms. *Cold*: nothing is kept of any run. *Warm*: each run is kept, and the report made anew. Peak memory
is that of all its processes together: their proportional set sizes, looked at ten times a second. Seconds are wall-clock time;
beside them stands the processors' time of all its processes, which other programs on the machine change little. Of several
numbers of runs an exponent is given: of runs ** exponent, by least squares of logarithms. Linux only.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import linear_regression

from benchmarks.many_runs import write_runs
from benchmarks.offline import setting, table

LOOK_SECONDS = 0.1

MEMORY = 6
"""Place of the memory among the numbers."""

_REPORT = """
import sys, time
begin = time.perf_counter()
from karn_wandb.experiment import build_report, load_experiment
imported = time.perf_counter()
folder, cache, target = sys.argv[1:]
experiment = load_experiment(folder, cache=cache)
loaded = time.perf_counter()
report = build_report(experiment)
built = time.perf_counter()
for form in ("json", "md", "html"):
    report.save(f"{target}.{form}")
print(*(b - a for a, b in ((begin, imported), (imported, loaded), (loaded, built), (built, time.perf_counter()))))
"""


def measured(folder: Path, cache: Path, target: Path) -> tuple[list[float], float, float]:
    """Seconds of importing, loading, building and writing; processor seconds of all; MiB of all processes at their most."""
    before = _processor_seconds()
    command = [sys.executable, "-c", _REPORT, str(folder), str(cache), str(target)]
    most = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- this program's own
        while process.poll() is None:
            most = max(most, sum(map(_memory, _family(process.pid))))
            time.sleep(LOOK_SECONDS)
        if process.returncode or process.stdout is None:
            raise RuntimeError(f"the report ended with {process.returncode}")
        return list(map(float, process.stdout.read().split())), _processor_seconds() - before, most / 1024


def _processor_seconds() -> float:
    """Of processes that were started by this one and have ended, and of those that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    with suppress(OSError):
        children = [
            int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
        return [pid, *(member for child in children for member in _family(child))]
    return [pid]


def _memory(pid: int) -> int:
    """KiB of a process, what it shares with others divided among them."""
    with suppress(OSError, IndexError, ValueError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        return int(text.partition("\nPss:")[2].split()[0])
    return 0


def figures(folder: Path, runs: int) -> dict[str, list[float]]:
    """What stands in the table of the cold, and of the warm report on so many of the runs."""
    found = {}
    with tempfile.TemporaryDirectory() as work:
        chosen = Path(work, "runs")
        chosen.mkdir()
        for number, run in enumerate(sorted(folder.iterdir(), key=lambda path: path.name.split("-")[::-1])):
            if number < runs:
                (chosen / run.name).mkdir()
                (chosen / run.name / "records.jsonl").hardlink_to(run / "records.jsonl")
        logs = sum(path.stat().st_size for path in chosen.rglob("*.jsonl"))
        for name in ("cold", "warm"):
            seconds, processors, most = measured(chosen, Path(work, "kept"), Path(work, "report"))
            kept = sum(path.stat().st_size for path in Path(work, "kept").rglob("*.parquet"))
            page = Path(work, "report.html").stat().st_size
            found[name] = [*seconds, sum(seconds), processors, most, logs / 1e6, kept / 1e6, page / 1e6]
    return found


def line(name: str, numbers: Sequence[float]) -> tuple[str, ...]:
    """A line of the table."""
    return name, *(f"{number:,.0f}" if place == MEMORY else f"{number:,.1f}" for place, number in enumerate(numbers))


def exponents(by_runs: dict[int, list[float]]) -> list[str]:
    """How each number grows: the exponent of the number of runs."""
    runs = [math.log(number) for number in by_runs]
    columns = zip(*by_runs.values(), strict=True)
    return [f"{linear_regression(runs, [math.log(max(value, 1e-3)) for value in column]).slope:.2f}" for column in columns]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1_000])
    parser.add_argument("--epochs", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="where the runs are, or are to be left for the next time")
    options = parser.parse_args()
    header = (
        "runs x epochs",
        "import, s",
        "load, s",
        "build, s",
        "write, s",
        "all, s",
        "processors, s",
        "peak, MiB",
        "logs, MB",
        "kept, MB",
        "HTML, MB",
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary, "runs")
        if not folder.exists():
            write_runs(folder, max(options.runs), options.epochs)
        rows: list[Sequence[str]] = []
        grown: dict[str, dict[int, list[float]]] = {"cold": {}, "warm": {}}
        for runs in options.runs:
            for name, numbers in figures(folder, runs).items():
                grown[name][runs] = numbers
                rows.append(line(f"{runs:,} x {options.epochs:,}, {name}", numbers))
                print(*rows[-1], file=sys.stderr, flush=True)
        if len(options.runs) > 1:
            rows += [(f"exponent, {name}", *exponents(by_runs)) for name, by_runs in grown.items()]
    print(table(header, rows))
    print(f"\n{setting()}")


if __name__ == "__main__":
    main()
