"""Whatever is logged reads back equal from W&B's own file: the mapping, through the real SDK, offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import wandb
from finished import read_finished
from hypothesis import Phase, given, settings
from strategies import event_sequences

from karn_wandb.records import TelemetryEvent
from karn_wandb.schema import decode_rows
from karn_wandb.sinks import LogGate, WandbSink

pytestmark = pytest.mark.offline


@settings(max_examples=15, phases=[Phase.explicit, Phase.generate])  # each example is a real run: shrinking takes minutes
@given(event_sequences(min_size=1, max_size=40))
def test_any_interleaving_of_events_reads_back_equal_from_the_rows(offline_folder, events):
    """Four clocks, several environments, NaN, nasty names: every event equal, none lost, in order."""
    path = log_directly(offline_folder, events)
    assert tuple(decode_rows(read_finished(path).rows)) == events


def log_directly(folder: Path, events: Sequence[TelemetryEvent]) -> Path:
    """Write events through the sink into a real offline run; gives its file."""
    run = wandb.init(project="rows", mode="offline", dir=folder, reinit="create_new")
    path = Path(run.dir).parent / f"run-{run.id}.wandb"
    sink = WandbSink(run, LogGate(run), lambda: iter(()), None)
    for event in events:
        sink.write(event)
    for _ in sink.close():
        pass
    run.finish()
    return path
