"""The sweep's metric, read from a run that goes on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.records import (
    EpochSnapshot,
    HostSnapshot,
    TelemetryEvent,
    TelemetryEventType,
    encode_event,
    encode_header,
)
from karn_wandb.sweeps.metrics import MetricFollower


def log_of(accuracies):
    events = [
        TelemetryEvent(
            TelemetryEventType.EPOCH_COMPLETED,
            data=EpochSnapshot(epoch=n, host=HostSnapshot(epoch=n, val_accuracy=accuracy)),
            sequence=n - 1,
        )
        for n, accuracy in enumerate(accuracies, 1)
    ]
    return encode_header() + b"".join(map(encode_event, events))


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3000), max_size=6))
def test_it_reads_on_wherever_the_writer_was_cut_off(tmp_path_factory, cuts):
    folder = tmp_path_factory.mktemp("run")
    path = folder / "wandb" / "offline-run-x" / "records.jsonl"
    path.parent.mkdir(parents=True)
    content = log_of([10.0, 20.0, None, 30.0])
    follower = MetricFollower(folder, "host/val_accuracy")
    assert follower.advance() == []
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        assert follower.advance() == [10.0, 20.0, 30.0][: len(follower.values)]
    path.write_bytes(content)
    assert follower.advance() == [10.0, 20.0, 30.0]
    assert follower.conclude() == 30.0


@pytest.mark.parametrize("name", ["nothing", "host/train_loss"])
def test_a_key_that_was_not_logged_has_no_value(tmp_path, name):
    (tmp_path / "records.jsonl").write_bytes(log_of([10.0]))
    assert MetricFollower(tmp_path, name).conclude() is None
