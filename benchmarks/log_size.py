"""How large a record log gets, as it is written and as the artifact it becomes: by epoch, by slot, by batch.

    python -m benchmarks.log_size

Bytes, not times: they do not depend on the machine. Numbers are random, so that packing finds no more in them than in real ones.
"""

from __future__ import annotations

import argparse
import gzip
import random
import warnings
from collections.abc import Sequence

import karn_wandb
from benchmarks.offline import setting, table
from karn_wandb import SeedStage, SlotSnapshot
from karn_wandb.errors import KarnWarning
from karn_wandb.records import BatchMetrics, TelemetryEvent, encode_event, encode_header
from karn_wandb.testing import recorded

SLOTS = (0, 1, 2, 4, 8)


def events_of(slots: int, epochs: int, batches: int) -> Sequence[TelemetryEvent]:
    """Everything in the log of a run with so many slots, all blending, and its readings."""
    rng = random.Random(0)  # noqa: S311 -- numbers to be written down
    names = [f"slot_{i}" for i in range(slots)]
    with warnings.catch_warnings(), recorded() as run:
        warnings.simplefilter("ignore", KarnWarning)
        for epoch in range(1, epochs + 1):
            for _ in range(batches):
                norms = {name: rng.random() for name in names}
                run.log_batch(loss=rng.random(), accuracy=100 * rng.random(), host_grad_norm=rng.random(), seed_grad_norms=norms)
            run.log_epoch(
                val_loss=rng.random(),
                val_accuracy=50 + rng.random(),
                train_accuracy=50 + rng.random(),
                host_params=100_000,
                total_seed_params=slots * 5000,
                total_params=100_000 + slots * 5000,
                slots={name: _slot(name, epoch, rng) for name in names},
            )
    return run.events


def _slot(name: str, epoch: int, rng: random.Random) -> SlotSnapshot:
    return SlotSnapshot(
        name,
        SeedStage.BLENDING,
        blueprint_id="conv_light",
        alpha=rng.random(),
        epochs_in_stage=epoch,
        seed_params=5000,
        counterfactual_contribution=rng.random(),
        total_improvement=rng.random(),
    )


def sizes(events: Sequence[TelemetryEvent]) -> tuple[int, int]:
    """Bytes of a record log of these events, as it is and packed."""
    log = encode_header() + b"".join(map(encode_event, events))
    return len(log), len(gzip.compress(log))


def by_slots(epochs: int, batches: int) -> list[tuple[str, ...]]:
    """A row for each number of slots: bytes of an epoch without its batches, of a batch, and of all; each packed, too."""
    rows = []
    for slots in SLOTS:
        events = events_of(slots, epochs, batches)
        of_batches = [event for event in events if isinstance(event.data, BatchMetrics)]
        rest = [event for event in events if not isinstance(event.data, BatchMetrics)]
        cells = [(size / epochs) for size in sizes(rest)]
        cells += [size / len(of_batches) for size in sizes(of_batches)]
        cells += [size / epochs for size in sizes(events)]
        rows.append((str(slots), *(f"{cell:,.0f}" for cell in cells)))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batches", type=int, default=100, help="in an epoch")
    options = parser.parse_args()
    header = ("slots", "an epoch", "packed", "a batch", "packed", f"an epoch with {options.batches} batches", "packed")
    print(table(header, by_slots(options.epochs, options.batches)))
    print(f"\n{options.epochs} epochs, karn_wandb {karn_wandb.__version__}; {setting()}")


if __name__ == "__main__":
    main()
