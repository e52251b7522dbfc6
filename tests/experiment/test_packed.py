"""A packed run: the same events, the same facts and the same columns as of the events in memory."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from logged import MATRIX, context, epoch, event, outcome, stamped
from strategies import event_sequences

from karn_wandb.experiment.packed import pack, unpack
from karn_wandb.experiment.telemetry import Held
from karn_wandb.pipeline.history import went_back
from karn_wandb.records import RunInfo, SeedStage, SlotSnapshot

SLOT = SlotSnapshot("early", SeedStage.TRAINING, alpha=0.5)
EVENTS = stamped(
    event("TRAINING_STARTED", RunInfo("r", config={"lr": 0.1, "nan": float("nan"), "big": 2**63, "list": [1, {"a": None}]})),
    context(),
    epoch(2, slots=[SLOT], val_accuracy=50.0, val_loss=float("inf"), seed_grad_norms={"early": float("nan")}),
    epoch(1, val_accuracy=40.0, host_params=100),
    event("COUNTERFACTUAL_MATRIX_COMPUTED", MATRIX),
    outcome(epochs=2, dropped_records=3, final_loss=float("-inf")),
    epoch(1, (1, 0), scoped=True),
)


def packed(events):
    return unpack(pack(Held(events), {}))


@settings(max_examples=40)
@given(event_sequences())
def test_any_events_come_back_with_all_that_is_made_of_them(events):
    held, found = Held(events), packed(events)
    assert found == events
    assert len(found) == len(events)
    assert repr(found.facts) == repr(held.facts)  # NaN is NaN there
    assert repr(found.epochs().to_pydict()) == repr(held.epochs().to_pydict())
    assert found.epochs().schema == held.epochs().schema
    for last in (False, True):
        assert list(found.matrices(last=last)) == list(held.matrices(last=last))


def test_the_facts_of_a_run_come_back():
    held, found = Held(EVENTS), packed(EVENTS)
    assert repr(found.facts) == repr(held.facts)
    assert (found.facts.dropped, found.facts.concluded, found.facts.info.run_id) == (3, False, "r")
    assert [(e.env_id, e.results.get("epochs")) for e in found.facts.episodes] == [(0, 2), (1, 1)]


def test_columns_are_read_alone():
    found = packed(EVENTS)
    assert found.epochs(["val_accuracy", "none"]).to_pydict() == {
        "env_id": [0, 0, 1],
        "episode_idx": [0, 0, 0],
        "epoch": [1, 2, 1],
        "val_accuracy": [40.0, 50.0, None],
    }
    assert found.epochs(["val_accuracy"]).equals(Held(EVENTS).epochs(["val_accuracy"]))


def test_the_last_evaluations_are_those_of_the_last_epoch_and_of_the_last_with_values():
    def at(number, where=(0, 0), values=MATRIX.shapley_values):
        return event("COUNTERFACTUAL_MATRIX_COMPUTED", replace(MATRIX, epoch=number, shapley_values=values), *where)

    events = stamped(at(1), at(3), at(3), at(2), at(5, values=None), at(4, values={}), at(7, (1, 0)), at(6, (1, 0)))
    for telemetry in (Held(events), packed(events)):
        assert [(env, matrix.epoch) for env, _, matrix in telemetry.matrices(last=True)] == [(0, 3), (0, 3), (0, 5), (1, 7)]
        assert [matrix.epoch for _, _, matrix in telemetry.matrices()] == [1, 3, 3, 2, 5, 4, 7, 6]


def test_what_was_superseded_is_in_the_events_and_in_no_column():
    events = stamped(context(), epoch(1), epoch(2), went_back(0, 0, 1, scoped=False), epoch(2, val_accuracy=1.0))
    found = packed(events)
    assert found == events
    assert found.epochs()["val_accuracy"].to_pylist() == [None, 1.0]


def test_the_file_can_be_looked_at():
    """With any reader of Parquet: a row an event, its measurements beside it."""
    table = pq.read_table(pa.BufferReader(pack(Held(EVENTS), {}))).sort_by("place")
    assert table["event_type"].to_pylist()[:3] == ["TRAINING_STARTED", "EPISODE_STARTED", "EPOCH_COMPLETED"]
    assert table["slot.early.alpha"].to_pylist() == [None, None, 0.5, None, None, None, None]


def test_the_same_events_are_the_same_bytes():
    assert pack(Held(EVENTS), {"a": 1}) == pack(Held(tuple(EVENTS)), {"a": 1})


def test_two_packed_runs_are_equal_when_their_events_are():
    assert packed(EVENTS) == packed(EVENTS)
    assert packed(EVENTS) != packed(EVENTS[:-1])
    assert packed(EVENTS) != packed(stamped(*EVENTS[::-1]))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"karn-crc32:00000000"])
def test_what_was_not_packed_is_refused(content):
    with pytest.raises(ValueError, match="its checksum does not fit"):
        unpack(content)
