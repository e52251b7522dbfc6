"""The console: one plain line an epoch and a change of stage, nothing for what is not worth a line."""

import io
import math
import sys

import pytest
from hypothesis import given, settings
from strategies import events

from karn_wandb.pipeline import Follower, RecordLog
from karn_wandb.records import (
    BatchMetrics,
    ClaimReading,
    CounterfactualMatrix,
    EpochSnapshot,
    HealthReport,
    HostSnapshot,
    SeedStage,
    ShapleyEstimate,
    SlotSnapshot,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.sinks import ConsoleOutput
from karn_wandb.sinks.console import describe

SLOTS = {
    "early": SlotSnapshot("early", SeedStage.BLENDING, alpha=0.5),
    "mid": SlotSnapshot("mid", SeedStage.DORMANT),
    "late": SlotSnapshot("late", SeedStage.FOSSILIZED, seed_id="s1", alpha=1.0),
}
HOST = HostSnapshot(
    3,
    train_loss=1.23456,
    train_accuracy=60.0,
    val_loss=1.5,
    val_accuracy=58.125,
    host_params=100_000,
    total_seed_params=23_456,
    total_params=123_456,
)


def event(data, **envelope):
    return TelemetryEvent(TelemetryEventType.MEMORY_WARNING, data=data, **envelope)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            EpochSnapshot(3, HOST, SLOTS),
            "epoch 3  train loss 1.2346  train acc 60.00  val loss 1.5000  val acc 58.12  params 123,456  "  # noqa: ISC004 -- one line
            "early blending 0.50  late fossilized 1.00",
        ),
        (EpochSnapshot(1, HostSnapshot(1, val_accuracy=0.0)), "epoch 1  val acc 0.00"),
        (EpochSnapshot(1, HostSnapshot(1, train_loss=math.nan)), "epoch 1  train loss nan"),
        (EpochSnapshot(1, HostSnapshot(1)), "epoch 1"),
        (StageTransition("early", SeedStage.DORMANT, SeedStage.GERMINATED), "early: DORMANT -> GERMINATED"),
        (
            StageTransition("early", SeedStage.TRAINING, SeedStage.PRUNED, blueprint_id="norm"),
            "early (norm): TRAINING -> PRUNED",
        ),
        (
            CounterfactualMatrix(
                1, (), shapley_values={"early": ShapleyEstimate(2.345, 0.5, 8), "late": ShapleyEstimate(-1.0, None, 8)}
            ),
            "Shapley: early +2.35 ± 0.50, late -1.00",
        ),
        (ClaimReading(1, 42.0, 40.0, 2.0), "accuracy delta against the host alone: +2.00 points"),
        (ClaimReading(1, 42.0, 42.0, 0.0), "accuracy delta against the host alone: +0.00 points"),
        (ClaimReading(1, 42.0), ""),
        (CounterfactualMatrix(1, ()), ""),
        (BatchMetrics(1, 0, 0.5), ""),
        (HealthReport(1), ""),
        ({"note": "free"}, ""),
    ],
)
def test_a_line_says(data, line):
    assert describe(event(data)) == line


def test_a_scoped_line_says_whose_it_is():
    said = describe(event(EpochSnapshot(1, HostSnapshot(1)), env_id=2, episode_idx=5, scoped=True))
    assert said == "[env 2 episode 5] epoch 1"


@settings(max_examples=50)
@given(events())
def test_any_event_can_be_described(each):
    assert isinstance(describe(each), str)


def test_lines_are_printed_as_they_come_and_the_stream_stays_open(tmp_path):
    stream = io.StringIO()
    record_log = RecordLog(tmp_path / "records.jsonl")
    follower = Follower(record_log, ConsoleOutput(stream))
    for number in (1, 2):
        for data in (EpochSnapshot(number, HostSnapshot(number)), BatchMetrics(number, 0, 0.5)):
            record_log.append(event(data, sequence=record_log.next_sequence))
    assert follower.close(10)
    assert stream.getvalue() == "epoch 1\nepoch 2\n"


def test_without_a_stream_lines_go_to_standard_output_as_it_is_then(capsys):
    console = ConsoleOutput()
    console.write(event(EpochSnapshot(1, HostSnapshot(1))))
    assert capsys.readouterr().out == "epoch 1\n"
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        console.write(event(EpochSnapshot(2, HostSnapshot(2))))
        assert sys.stdout.getvalue() == "epoch 2\n"
    finally:
        sys.stdout = before
