"""What live analysis reads off: missing is None, counts are counts."""

from __future__ import annotations

import math

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.records import ClaimReading, HealthReport


def test_a_reading_without_a_host_only_run_has_no_delta():
    reading = ClaimReading(epoch=3, accuracy=60.0)
    assert (reading.baseline_accuracy, reading.accuracy_delta, reading.param_efficiency) == (None, None, None)


@pytest.mark.parametrize(
    ("cls", "bad", "message"),
    [
        (ClaimReading, {"accuracy_delta": math.nan}, "ClaimReading.accuracy_delta must be a finite number; got nan."),
        (ClaimReading, {"param_efficiency": -1}, "ClaimReading.param_efficiency must be at least 0; got -1.0."),
        (HealthReport, {"dropped_records": -1}, "HealthReport.dropped_records must be at least 0; got -1."),
        (HealthReport, {"alerts": "sink failed"}, "HealthReport.alerts must be a sequence of text; got 'sink failed' (str)."),
    ],
)
def test_bad_input_is_refused_in_words(cls, bad, message):
    with pytest.raises(RecordError) as raised:
        cls(epoch=1, **bad)
    assert str(raised.value) == message
