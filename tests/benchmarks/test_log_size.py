"""The program that measures record logs logs what it says; their sizes are not tested, but that packing helps."""

import pytest

from benchmarks.log_size import by_slots, events_of, sizes
from karn_wandb.records import BatchMetrics, EpochSnapshot

pytestmark = pytest.mark.offline


def test_a_log_has_its_batches_epochs_and_slots():
    events = events_of(slots=2, epochs=3, batches=4)
    assert sum(isinstance(event.data, BatchMetrics) for event in events) == 12
    assert [list(event.data.slots) for event in events if isinstance(event.data, EpochSnapshot)] == [["slot_0", "slot_1"]] * 3


def test_a_packed_log_is_smaller():
    plain, packed = sizes(events_of(slots=1, epochs=3, batches=4))
    assert packed < plain / 2


def test_there_is_a_row_for_each_number_of_slots():
    assert [(row[0], len(row)) for row in by_slots(epochs=1, batches=1)] == [(slots, 7) for slots in "01248"]
