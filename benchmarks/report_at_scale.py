"""How long a report on many runs takes, and how much memory: everything new, everything kept, and how both grow.

    python -m benchmarks.report_at_scale --runs 1000 --epochs 1000
    python -m benchmarks.report_at_scale --runs 100 300 1000 3000

The runs are record logs that the package's own pipeline wrote (`benchmarks/many_runs.py`). Each report is made by a process of
its own, in all three forms. *Cold*: nothing is kept of any run. *Warm*: each run is kept, and the report made anew. Peak memory
is that of all its processes together: their proportional set sizes, looked at ten times a second. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.many_runs import write_runs
from benchmarks.offline import setting, table

LOOK_SECONDS = 0.1

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


def measured(folder: Path, cache: Path, target: Path) -> tuple[list[float], float]:
    """Seconds of importing, loading, building and writing; and MiB of all processes at their most."""
    command = [sys.executable, "-c", _REPORT, str(folder), str(cache), str(target)]
    most = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- this program's own
        while process.poll() is None:
            most = max(most, sum(map(_memory, _family(process.pid))))
            time.sleep(LOOK_SECONDS)
        if process.returncode or process.stdout is None:
            raise RuntimeError(f"the report ended with {process.returncode}")
        return list(map(float, process.stdout.read().split())), most / 1024


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


def lines(folder: Path, runs: int, epochs: int) -> list[tuple[str, ...]]:
    """A line of the table for the cold, and for the warm report on so many of the runs."""
    found = []
    with tempfile.TemporaryDirectory() as work:
        chosen = Path(work, "runs")
        chosen.mkdir()
        for number, run in enumerate(sorted(folder.iterdir(), key=lambda path: path.name.split("-")[::-1])):
            if number < runs:
                (chosen / run.name).mkdir()
                (chosen / run.name / "records.jsonl").hardlink_to(run / "records.jsonl")
        logs = sum(path.stat().st_size for path in chosen.rglob("*.jsonl"))
        for name in ("cold", "warm"):
            seconds, most = measured(chosen, Path(work, "kept"), Path(work, "report"))
            kept = sum(path.stat().st_size for path in Path(work, "kept").rglob("*.parquet"))
            sizes = (logs / 1e6, kept / 1e6, Path(work, "report.html").stat().st_size / 1e6)
            spent = (*seconds, sum(seconds))
            found.append(
                (f"{runs:,} x {epochs:,}, {name}", *(f"{s:.1f}" for s in spent), f"{most:,.0f}", *(f"{s:,.1f}" for s in sizes))
            )
    return found


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
        "peak, MiB",
        "logs, MB",
        "kept, MB",
        "HTML, MB",
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary, "runs")
        if not folder.exists():
            write_runs(folder, max(options.runs), options.epochs)
        rows = [line for runs in options.runs for line in lines(folder, runs, options.epochs)]
    print(table(header, rows))
    print(f"\n{setting()}")


if __name__ == "__main__":
    main()
