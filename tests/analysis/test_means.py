"""What an epoch's batches say of the epoch: means over those that measured something, nothing where none did."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.analysis import BatchMeans
from karn_wandb.analysis.means import FIELDS
from karn_wandb.records import BatchMetrics, HostSnapshot


def fields_of(*batches):
    means = BatchMeans()
    for batch in batches:
        means.observe(batch)
    return means.fields()


def test_every_field_exists_in_both_records():
    assert FIELDS.keys() <= HostSnapshot.__dataclass_fields__.keys()
    assert set(FIELDS.values()) <= BatchMetrics.__dataclass_fields__.keys()


def test_without_batches_there_is_nothing_to_say():
    assert fields_of() == {}


def test_each_mean_is_over_the_batches_that_measured_it():
    first = BatchMetrics(1, 0, 1.0, 40.0, host_grad_norm=2.0, seed_grad_norms={"early": 1.0})
    second = BatchMetrics(1, 1, 4.0, isolation_leakage=0.5, seed_grad_norms={"early": 2.0, "late": 7.0})
    assert fields_of(first, second) == {
        "train_loss": 2.5,
        "train_accuracy": 40.0,
        "host_grad_norm": 2.0,
        "grad_isolation_leakage": 0.5,
        "seed_grad_norms": {"early": 1.5, "late": 7.0},
    }


def test_a_nan_loss_is_not_averaged_away():
    assert math.isnan(fields_of(BatchMetrics(1, 0, 1.0), BatchMetrics(1, 1, math.nan))["train_loss"])


def test_an_epoch_starts_with_nothing():
    means = BatchMeans()
    means.observe(BatchMetrics(1, 0, 1.0, seed_grad_norms={"early": 1.0}))
    means.restart()
    assert means.fields() == {}


@given(st.lists(st.floats(0, 100), min_size=1))
def test_the_mean_of_accuracies_is_an_accuracy(accuracies):
    fields = fields_of(*(BatchMetrics(1, i, 0.5, accuracy) for i, accuracy in enumerate(accuracies)))
    assert HostSnapshot(1, **fields).train_accuracy == pytest.approx(sum(accuracies) / len(accuracies))
