"""What did training with each slot bring? Train with all slots, and without each from the start; let the report say.

    python -m examples.controls [--seeds N] [--epochs N] [--out DIR] [--data-root DIR]

For each random seed one run with all slots, and a control run for each slot in which nothing ever germinates in it,
everything else equal. The same runs as a W&B sweep are in sweeps/slot_controls.yaml.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from examples.train import Disabled
from examples.workers import Planned, options_of, train_and_report

CLAIMS = Path(__file__).parents[1] / "sweeps" / "slot_controls.claims.yaml"


def plan(seeds: int) -> list[Planned]:
    """Seed by seed, so that an interrupted batch holds whole pairs."""
    label = {slot: "all slots" if slot == "none" else f"without {slot}" for slot in get_args(Disabled)}
    return [
        Planned(f"{label[slot]:<13} seed {seed}", {"--seed": seed, "--disabled-slot": slot})
        for seed in range(seeds)
        for slot in label
    ]


def main() -> int:
    """The command line."""
    summary = (__doc__ or "").partition("\n")[0]
    options = options_of(summary, out="control-runs", seeds=5, each="trained with all slots and without each")
    return train_and_report(plan(options.seeds), options, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
