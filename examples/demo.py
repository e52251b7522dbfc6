"""Does growing beat the host alone? Train both, several times, offline, and let the report say.

    python -m examples.demo [--seeds N] [--epochs N] [--out DIR] [--data-root DIR]

For each random seed the host is trained alone first and then grown by the heuristic, which is compared with its pair
while it trains. Runs go side by side, one a core, each a process of its own on one thread.
"""

from __future__ import annotations

import sys
from pathlib import Path

from examples.workers import Planned, options_of, train_and_report

CLAIMS = Path(__file__).parent / "claims.yaml"


def plan(seeds: int, task: str = "images") -> list[Planned]:
    """Every random seed twice: the host alone, then grown."""
    given = [{"--task": task, "--seed": seed} for seed in range(seeds)]
    alone = [Planned(f"none      seed {seed}", {**given[seed], "--controller": "none"}) for seed in range(seeds)]
    return alone + [
        Planned(f"heuristic seed {seed}", {**given[seed], "--controller": "heuristic"}, after=pair)
        for seed, pair in enumerate(alone)
    ]


def main() -> int:
    """The command line."""
    options = options_of((__doc__ or "").partition("\n")[0], out="demo-runs", seeds=3, each="trained twice")
    return train_and_report(plan(options.seeds), options, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
