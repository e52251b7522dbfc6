"""What every record has in common: exact storage, immutability, equality, copies, documentation."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
import re
from dataclasses import FrozenInstanceError, fields, replace

import msgspec
import pytest
from hypothesis import given, settings
from strategies import any_record, records

from karn_wandb.errors import RecordError
from karn_wandb.records import (
    BatchMetrics,
    DenseTrace,
    EpisodeContext,
    EpochSnapshot,
    HostSnapshot,
    KarnConfig,
    Record,
    RunInfo,
    SlotSnapshot,
    TelemetryEvent,
    utc_now,
)

ALL = sorted(Record.registry.values(), key=lambda cls: cls.__name__)
every_record = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)


def batch(**given_values) -> BatchMetrics:
    return BatchMetrics(**{"epoch": 1, "batch_idx": 0, "loss": 1.0, **given_values})


def stored(record: Record) -> bytes:
    return msgspec.json.encode(record.to_plain())


@every_record
def test_every_record_is_read_back_exactly_as_it_was(cls):
    """Through JSON text: equal, the same repr (types, -0.0, order of keys), the same bytes again."""

    @settings(max_examples=20)
    @given(records(cls))
    def survives(record):
        text = stored(record)
        again = cls.from_plain(msgspec.json.decode(text))
        assert again == record
        assert hash(again) == hash(record)
        assert repr(again) == repr(record)
        assert stored(again) == text

    survives()


@given(any_record())
def test_pickle_and_copies_give_an_equal_record(record):
    for again in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record), replace(record)):  # noqa: S301
        assert again == record
        assert hash(again) == hash(record)
        assert repr(again) == repr(record)


@every_record
def test_a_record_of_values_that_were_checked_before_is_the_same_without_the_checks(cls):
    """Given in any order, all of them or those that are no defaults."""

    @settings(max_examples=10)
    @given(records(cls))
    def holds(record):
        values = {field.name: getattr(record, field.name) for field in fields(record)}
        backwards = dict(reversed(values.items()))
        told = {name: value for name, value in values.items() if name not in omissible or repr(value) != repr(omissible[name])}
        for again in (
            cls.trusted(**values),
            cls.trusted(**backwards),
            cls.trusted(**told),
            record._changed(),
            record._changed(**values),
        ):
            assert again == record
            assert again is not record
            assert repr(again) == repr(record)
            assert stored(again) == stored(record)

    omissible = {field.name: field.default for field in fields(cls) if field.default is not dataclasses.MISSING}
    holds()


def test_defaults_of_trusted_records_are_made_anew_for_each():
    one, other = (BatchMetrics.trusted(epoch=1, batch_idx=0, loss=1.0) for _ in range(2))
    assert one == other == batch()
    assert one.seed_grad_norms == {}
    assert one.seed_grad_norms is not other.seed_grad_norms


def test_trusted_records_are_not_checked_and_as_frozen_as_any_other():
    record = BatchMetrics.trusted(epoch=1, batch_idx=0, loss=1.0, accuracy=400.0)
    assert record.accuracy == 400.0
    with pytest.raises(FrozenInstanceError):
        record.accuracy = 1.0


def test_a_changed_copy_leaves_the_original_as_it_was():
    record = batch(accuracy=50.0)
    changed = record._changed(accuracy=60.0, loss=2.0)
    assert (changed, record) == (batch(accuracy=60.0, loss=2.0), batch(accuracy=50.0))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (batch(loss=math.nan), batch(loss=1.0)),
        (batch(accuracy=None), batch(accuracy=0.0)),
        (batch(host_grad_norm=math.nan), batch(host_grad_norm=None)),
        (batch(loss=0.0), batch(loss=-0.0)),
        (RunInfo(run_id="a", config={"x": 1}), RunInfo(run_id="a", config={"x": True})),
        (RunInfo(run_id="a", config={"x": 1}), RunInfo(run_id="a", config={"x": 1.0})),
        (RunInfo(run_id="a", config={"x": math.nan}), RunInfo(run_id="a", config={"x": None})),
        (RunInfo(run_id="a", config={"x": math.nan}), RunInfo(run_id="a", config={"x": "nan"})),
        (KarnConfig().trigger, KarnConfig()),
    ],
    ids=lambda record: repr(record)[:60],
)
def test_what_is_stored_differently_is_not_equal(one, other):
    """NaN is not None, -0.0 is not 0.0, and in free-form values 1, 1.0 and True are three values."""
    assert one != other
    assert hash(one) != hash(other)


def test_nan_equals_nan_and_the_order_of_names_does_not_matter():
    assert batch(loss=math.nan) == batch(loss=math.nan)
    one, other = batch(seed_grad_norms={"a": 1, "b": 2}), batch(seed_grad_norms={"b": 2, "a": 1})
    assert one == other
    assert hash(one) == hash(other)


def test_a_record_is_no_other_thing():
    assert batch() != "batch"
    assert batch() != batch().to_plain()


@every_record
def test_every_record_is_frozen_and_slotted(cls):
    assert dataclasses.is_dataclass(cls)

    @settings(max_examples=5)
    @given(records(cls))
    def refuses(record):
        for field in fields(record):
            with pytest.raises(FrozenInstanceError):
                setattr(record, field.name, None)
        assert not hasattr(record, "__dict__")

    refuses()


@every_record
def test_every_field_is_documented_and_nothing_else(cls):
    """The Attributes section of the class docstring names each field once, in order, with a text."""
    section = re.search(r"^Attributes:\n(.*?)(?:\n\n|\Z)", inspect.getdoc(cls), flags=re.DOTALL | re.MULTILINE)
    assert section, "there is no Attributes section"
    documented = re.findall(r"^ {4}(\w+): \S", section[1], flags=re.MULTILINE)
    assert documented == [field.name for field in fields(cls)]


@every_record
def test_every_record_is_known_by_its_name_and_public(cls):
    """Stored records name their class: two classes of one name could not both be read."""
    assert Record.registry[cls.__name__] is cls
    assert cls.__module__.startswith("karn_wandb.")


def test_the_callers_collections_are_copied():
    """A change the caller makes afterwards does not reach the record, nor does one to its plain form."""
    norms, slots, hyperparameters = {"early": 1.0}, {"early": SlotSnapshot(slot_id="early", stage="TRAINING")}, {"sizes": [1]}
    host = HostSnapshot(epoch=1, seed_grad_norms=norms)
    epoch = EpochSnapshot(epoch=1, host=host, slots=slots)
    context = EpisodeContext(
        episode_id="e",
        timestamp=utc_now(),
        git_commit="",
        base_seed=0,
        torch_seed=0,
        numpy_seed=0,
        host_architecture="cnn_3block",
        host_params=1,
        slot_config={"early": 64},
        max_epochs=1,
        task_type="classification",
        hyperparameters=hyperparameters,
    )
    batches = [batch(seed_grad_norms=norms)]
    trace = DenseTrace(trigger_reason="manual", window_start_epoch=1, window_end_epoch=1, batch_metrics=batches)
    event = TelemetryEvent(event_type="PLATEAU_DETECTED", data=hyperparameters)
    before = [repr(record) for record in (host, epoch, context, trace, event)]

    norms["early"] = 2.0
    slots.clear()
    hyperparameters["sizes"].append(2)
    batches.clear()
    for record in (host, epoch, context, trace, event):
        record.to_plain().clear()
    epoch.to_plain()["slots"].clear()
    event.to_plain()["data"]["sizes"].append(3)

    assert [repr(record) for record in (host, epoch, context, trace, event)] == before


def test_a_none_that_is_the_default_is_not_stored_and_one_that_is_not_is():
    assert batch().to_plain() == {"epoch": 1, "batch_idx": 0, "loss": 1.0, "seed_grad_norms": {}}
    assert "counterfactual" in KarnConfig().to_plain()


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (
            {"epoch": 1, "batch_idx": 0, "loss": 1.0, "colour": 3},
            (
                "BatchMetrics has no field 'colour'. The record was written by another version: use a karn_wandb at least as new "
                "as the one that wrote it."
            ),
        ),
        (
            {"epoch": 1, "batch_idx": 0},
            (
                "BatchMetrics cannot be read; got BatchMetrics.__init__() missing 1 required positional argument: 'loss'. "
                "The stored record is damaged."
            ),
        ),
        (
            {"epoch": 1, "batch_idx": 0, "loss": 1.0, "seed_grad_norms": [1]},
            "BatchMetrics cannot be read; got 'list' object has no attribute 'items'. The stored record is damaged.",
        ),
        ({"epoch": 3.7, "batch_idx": 0, "loss": 1.0}, "BatchMetrics.epoch must be a whole number; got 3.7 (float)."),
        ({"epoch": 1, "batch_idx": 0, "loss": True}, "BatchMetrics.loss must be a number; got True (bool)."),
        (
            {"epoch": 1, "batch_idx": 0, "loss": 1.0, "accuracy": "nan"},
            "BatchMetrics.accuracy must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100.",
        ),
        ([], "a stored BatchMetrics must be a mapping; got []. The stored record is damaged."),
    ],
    ids=lambda v: repr(v)[:50],
)
def test_a_damaged_record_is_an_error_in_words(plain, message):
    with pytest.raises(RecordError) as raised:
        BatchMetrics.from_plain(plain)
    assert str(raised.value) == message


def test_a_damaged_part_names_the_part():
    with pytest.raises(RecordError) as raised:
        EpochSnapshot.from_plain({"epoch": 1, "host": 3})
    assert str(raised.value) == "a stored HostSnapshot must be a mapping; got 3. The stored record is damaged."


JUNK = (None, True, 0, -1, 3.7, math.inf, "", "nan", "x", [], [[]], [1], {}, {"$": "nan"}, {"$": "BatchMetrics"}, {"a": 1}, 2**64)


@every_record
def test_any_junk_in_any_field_is_a_record_error_or_the_same_value(cls):
    """Nothing else is raised, and what is accepted is stored again as it was read."""

    @settings(max_examples=3)
    @given(records(cls))
    def holds(record):
        plain = record.to_plain()
        for name in [field.name for field in fields(cls)]:
            for junk in JUNK:
                try:
                    read = cls.from_plain({**plain, name: junk})
                except RecordError:
                    continue
                assert cls.from_plain(msgspec.json.decode(stored(read))) == read

    holds()


def test_a_record_in_the_place_of_another_is_refused():
    with pytest.raises(RecordError) as raised:
        EpochSnapshot(epoch=1, host=batch())
    assert str(raised.value).startswith(
        "EpochSnapshot.host must be a HostSnapshot; got BatchMetrics(epoch=1, batch_idx=0, loss=1.0"
    )
    assert str(raised.value).endswith("... (BatchMetrics).")
