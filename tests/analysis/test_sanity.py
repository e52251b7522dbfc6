"""Numbers that are allowed and still worth a word."""

import math
from dataclasses import fields

import pytest
from hypothesis import given, settings
from strategies import any_record

from karn_wandb.analysis import Sanity
from karn_wandb.analysis.sanity import count_non_finite, float_fields
from karn_wandb.records import (
    BatchMetrics,
    DenseTrace,
    EpochSnapshot,
    FactoredAction,
    HostSnapshot,
    PolicySnapshot,
    Record,
    TelemetryEvent,
)


def observed(*accuracies):
    sanity = Sanity()
    for number, accuracy in enumerate(accuracies, start=1):
        sanity.observe(EpochSnapshot(number, HostSnapshot(number, val_accuracy=accuracy)))
    return sanity


@pytest.mark.parametrize(
    ("record", "count"),
    [
        (BatchMetrics(1, 0, loss=0.5), 0),
        (BatchMetrics(1, 0, loss=math.nan), 1),
        (BatchMetrics(1, 0, math.inf, host_grad_norm=-math.inf, seed_grad_norms={"a": math.nan, "b": 1.0}), 3),
        (PolicySnapshot((math.nan, 1.0, math.inf), FactoredAction("WAIT")), 2),
        (PolicySnapshot((), FactoredAction(op="nan", slot="inf", blueprint="-inf"), explanation="nan"), 0),
        (EpochSnapshot(1, HostSnapshot(1, train_loss=math.nan), policy=PolicySnapshot((math.inf,), FactoredAction("WAIT"))), 2),
        (DenseTrace("spike", 1, 1, batch_metrics=(BatchMetrics(1, 0, math.nan),), gradient_histograms={"a": (math.inf, 1.0)}), 2),
    ],
)
def test_nan_and_infinities_are_counted_wherever_they_are_and_texts_are_not(record, count):
    assert count_non_finite(record) == count
    sanity = Sanity()
    sanity.observe(record)
    sanity.observe(record)
    assert sanity.non_finite_values == 2 * count


def found_by_looking_everywhere(value):
    if isinstance(value, Record):
        return sum(found_by_looking_everywhere(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return sum(map(found_by_looking_everywhere, value.values()))
    if isinstance(value, (tuple, list)):
        return sum(map(found_by_looking_everywhere, value))
    return int(isinstance(value, float) and not math.isfinite(value))


@settings(max_examples=200, deadline=None)
@given(any_record())
def test_no_field_that_may_hold_a_float_is_passed_over(record):
    assert count_non_finite(record) == found_by_looking_everywhere(record)


@pytest.mark.parametrize(
    ("record", "names"),
    [
        (BatchMetrics, ("loss", "accuracy", "host_grad_norm", "seed_grad_norms", "isolation_leakage")),
        (EpochSnapshot, ("host", "slots", "policy")),
        (TelemetryEvent, ("data",)),
    ],
)
def test_fields_that_hold_no_float_are_not_looked_at(record, names):
    assert float_fields(record) == names


def test_three_accuracies_at_or_below_one_are_doubted():
    assert observed(0.5, 0.7).doubt == ""
    assert observed(0.5, 0.7, 1.0).doubt == (
        "all accuracies so far are at or below 1.0 (highest 1): fractions instead of percent? Accuracies are logged as 0 to 100."
    )


@pytest.mark.parametrize("accuracies", [(0.5, 0.7, 1.1), (0.0, 0.0, 0.0), (None, 0.5, 0.7), (60.0, 0.5, 0.7, 0.9)])
def test_other_accuracies_are_not(accuracies):
    assert observed(*accuracies).doubt == ""


def test_a_run_that_stays_at_zero_at_first_is_doubted_later():
    assert observed(0.0, 0.0, 0.0, 0.4).doubt.startswith("all accuracies so far are at or below 1.0 (highest 0.4)")
