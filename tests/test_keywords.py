"""Records out of keywords: every record can be made of its fields, tensors and arrays become numbers, errors say which."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from strategies import records

from karn_wandb.errors import RecordError, UsageError
from karn_wandb.keywords import record_of
from karn_wandb.records import (
    BatchMetrics,
    CounterfactualMatrix,
    FactoredAction,
    HostSnapshot,
    PolicySnapshot,
    Record,
    SeedStage,
    StageTransition,
)

BATCH = BatchMetrics(1, 0, 0.5)
ALL = sorted(Record.registry.values(), key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_record_is_made_of_its_fields_and_taken_as_it_is(cls):
    @settings(max_examples=8)
    @given(records(cls))
    def holds(record):
        values = {field.name: getattr(record, field.name) for field in fields(record)}
        before = dict(values)
        assert record_of(cls, None, values) == record
        assert values == before
        assert record_of(cls, record, {}) is record

    holds()


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (torch.tensor(0.5), 0.5),
        (torch.tensor(2.0, dtype=torch.bfloat16, requires_grad=True), 2.0),
        (torch.tensor(3), 3.0),
        (np.float32(1.5), 1.5),
        (np.array(2.5), 2.5),
        (7, 7.0),
    ],
    ids=repr,
)
def test_tensors_and_arrays_of_one_number_become_it(value, number):
    loss = record_of(BatchMetrics, None, {"epoch": np.int64(1), "batch_idx": torch.tensor(0), "loss": value}).loss
    assert (type(loss), loss) == (float, number)


def test_they_do_inside_mappings_and_sequences_too():
    values = {"epoch": 1, "seed_grad_norms": OrderedDict(early=torch.tensor(2.0), late=np.float64(3.0))}
    assert record_of(HostSnapshot, None, values) == HostSnapshot(1, seed_grad_norms={"early": 2.0, "late": 3.0})
    seen = (torch.arange(2), [torch.tensor(0.5), np.float32(1)], (1, torch.tensor(2)))
    vectors = [(0.0, 1.0), (0.5, 1.0), (1.0, 2.0)]
    action = FactoredAction("WAIT")
    found = [record_of(PolicySnapshot, None, {"observation_vector": vector, "action": action}) for vector in seen]
    assert [snapshot.observation_vector for snapshot in found] == vectors
    assert all(snapshot.action is action for snapshot in found)


def test_names_of_members_and_other_values_are_left_to_the_record():
    change = record_of(StageTransition, None, {"slot_id": "a", "from_stage": "DORMANT", "to_stage": SeedStage.GERMINATED})
    assert change == StageTransition("a", SeedStage.DORMANT, SeedStage.GERMINATED)


@pytest.mark.parametrize(
    ("cls", "given_record", "values", "error", "message"),
    [
        (BatchMetrics, BATCH, {"loss": 1.0}, UsageError, "pass a BatchMetrics or keywords, not both; got loss. Drop one."),
        (HostSnapshot, BATCH, {}, RecordError, "expected a HostSnapshot; got BatchMetrics. Pass the record or its fields."),
        (BatchMetrics, 0, {}, RecordError, "expected a BatchMetrics; got int. Pass the record or its fields."),
        (
            CounterfactualMatrix,
            None,
            {"epoch": 1},
            RecordError,
            (
                "CounterfactualMatrix is incomplete; got CounterfactualMatrix.__init__() missing 1 required positional argument: "
                "'configs'. Pass the missing fields."
            ),
        ),
        (
            FactoredAction,
            None,
            {"operation": "WAIT"},
            RecordError,
            f"FactoredAction has no field 'operation'. Its fields are {', '.join(f.name for f in fields(FactoredAction))}.",
        ),
        (
            BatchMetrics,
            None,
            {"epoch": 1, "batch_idx": 0, "loss": torch.ones(2)},
            RecordError,
            "BatchMetrics.loss must be a number; got [1.0, 1.0] (list).",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(cls, given_record, values, error, message):
    with pytest.raises(error) as caught:
        record_of(cls, given_record, values)
    assert str(caught.value) == message
