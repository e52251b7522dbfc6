"""Batches on the device: brought to the host together, unharmed by what happens to the tensors meanwhile."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.capture import PendingBatches, batches
from karn_wandb.capture.batches import to_host
from karn_wandb.errors import RecordError
from karn_wandb.records import BatchMetrics


def tensor(value, dtype=torch.float32):
    return torch.tensor(value, dtype=dtype)


@pytest.fixture
def emitted():
    return []


@pytest.fixture
def pending(emitted):
    return PendingBatches(emitted.append, interval=4)


def test_batches_become_records_in_order_when_there_are_enough(pending, emitted):
    for index in range(9):
        pending.add(1, index, {"loss": tensor(float(index)), "accuracy": None}, {"early": tensor(0.5)})
        assert len(emitted) == 4 * ((index + 1) // 4)
    pending.flush()
    assert emitted == [BatchMetrics(1, i, float(i), seed_grad_norms={"early": 0.5}) for i in range(9)]
    pending.flush()
    assert len(emitted) == 9


def test_every_field_finds_its_place_tensors_and_numbers_mixed(pending, emitted):
    values = {
        "loss": tensor(0.5, torch.bfloat16),
        "accuracy": 50,
        "host_grad_norm": tensor([[2.0]], torch.float64),
        "isolation_leakage": tensor(0),
    }
    pending.add(3, 7, values, {"a": 1.5, "b": tensor(2.5), "c": None})
    pending.add(3, 8, {"loss": 1.0}, {})
    pending.flush()
    assert emitted == [BatchMetrics(3, 7, 0.5, 50.0, 2.0, {"a": 1.5, "b": 2.5}, 0.0), BatchMetrics(3, 8, 1.0)]


def test_the_values_are_those_of_the_moment_they_were_logged(pending, emitted):
    loss = tensor(1.0)
    pending.add(1, 0, {"loss": loss}, {"early": loss})
    loss.fill_(9.0)
    pending.flush()
    assert emitted == [BatchMetrics(1, 0, 1.0, seed_grad_norms={"early": 1.0})]


def test_a_loss_s_graph_is_let_go(pending):
    weight = torch.ones(3, requires_grad=True)
    pending.add(1, 0, {"loss": (weight * 2).sum()}, {})
    (held,) = pending._pending[0].tensors()
    assert held.grad_fn is None


def test_all_tensors_of_one_kind_come_in_one_copy(pending, monkeypatch):
    stacked = []
    stack = torch.stack
    monkeypatch.setattr(batches.torch, "stack", lambda tensors: (stacked.append(len(tensors)), stack(tensors))[1])
    for index in range(3):
        pending.add(1, index, {"loss": tensor(1.0), "accuracy": tensor(50.0)}, {"early": tensor(1.0, torch.float64)})
    pending.flush()
    assert stacked == [6, 3]


def test_adding_reads_no_value(pending):
    """On the meta device there are no values: reading one raises."""
    for index in range(3):
        pending.add(1, index, {"loss": torch.ones((), device="meta")}, {"early": torch.ones(1, device="meta")})
    with pytest.raises(RuntimeError):
        next(pending._pending[0].tensors()).item()


@given(st.lists(st.tuples(st.floats(width=32), st.sampled_from([torch.float32, torch.float64, torch.int64])), max_size=8))
def test_values_come_exactly_whatever_types_are_mixed(drawn):
    finite = [(value if math.isfinite(value) or dtype.is_floating_point else 0.0, dtype) for value, dtype in drawn]
    tensors = [tensor(value if dtype.is_floating_point else int(math.fmod(value, 2**62)), dtype) for value, dtype in finite]
    assert list(map(repr, to_host(tensors))) == [repr(t.item()) for t in tensors]


def test_a_tensor_of_several_elements_is_refused_at_once(pending, emitted):
    with pytest.raises(RecordError) as caught:
        pending.add(1, 0, {"loss": torch.ones(2, 3)}, {})
    assert str(caught.value) == "loss must be one number; got a tensor of shape (2, 3). Take its mean."
    pending.flush()
    assert emitted == []


class TestBadValues:
    def test_are_reported_with_epoch_and_batch_and_cost_no_other_batch(self, pending, emitted):
        for index, accuracy in enumerate((50.0, math.nan, 60.0)):
            pending.add(3, 17 + index, {"loss": tensor(1.0), "accuracy": tensor(accuracy)}, {})
        with pytest.raises(RecordError) as caught:
            pending.flush()
        assert str(caught.value) == (
            "BatchMetrics.accuracy must be between 0 and 100 (epoch 3, batch 18); got nan. Accuracies are percentages, 0 to 100."
        )
        assert emitted == [BatchMetrics(3, 17, 1.0, 50.0), BatchMetrics(3, 19, 1.0, 60.0)]
        pending.flush()
        assert len(emitted) == 2

    def test_are_counted_when_there_are_several(self, pending, emitted):
        for index, accuracy in enumerate((101.0, 50.0, -1.0)):
            pending.add(1, index, {"loss": 1.0, "accuracy": accuracy}, {})
        with pytest.raises(RecordError) as caught:
            pending.add(1, 3, {"loss": 1.0, "accuracy": math.inf}, {})
        assert str(caught.value) == (
            "BatchMetrics.accuracy must be between 0 and 100 (epoch 1, batch 0); got 101.0. "
            "Accuracies are percentages, 0 to 100. 2 later batches were refused, too."
        )
        assert emitted == [BatchMetrics(1, 1, 1.0, 50.0)]

    def test_are_those_that_are_no_numbers_too(self, pending):
        pending.add(1, 0, {"loss": "low"}, {})
        with pytest.raises(RecordError) as caught:
            pending.flush()
        assert str(caught.value) == "BatchMetrics.loss must be a number (epoch 1, batch 0); got 'low' (str)."

    def test_are_not_nan_losses_or_norms_which_are_observations(self, pending, emitted):
        pending.add(1, 0, {"loss": tensor(math.nan), "host_grad_norm": tensor(math.inf)}, {"early": tensor(-math.inf)})
        pending.flush()
        assert emitted == [BatchMetrics(1, 0, math.nan, None, math.inf, {"early": -math.inf})]
