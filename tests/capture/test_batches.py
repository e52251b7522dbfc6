"""Batches on the device: brought to the host together, unharmed by what happens to the tensors meanwhile."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from karn_wandb.capture import PendingBatches, batches
from karn_wandb.capture.batches import Flushed, to_host
from karn_wandb.capture.gradients import GradientLayout
from karn_wandb.errors import RecordError
from karn_wandb.records import BatchMetrics, LayerStatistics

DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64])


def tensor(value, dtype=torch.float32):
    return torch.tensor(value, dtype=dtype)


@pytest.fixture
def pending():
    return PendingBatches(interval=4)


def a_layer(*grads, device=None):
    """A layer whose parameters have these gradients."""
    made = nn.ParameterList([torch.zeros(len(grad), device=device) for grad in grads])
    for p, grad in zip(made, grads, strict=True):
        p.grad = torch.tensor(grad, device=device)
    return made


class Slot(nn.Module):
    """As much of a slot as is asked here."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed


@pytest.fixture
def model():
    """A host with norm 5 and two seed modules, one of them without a gradient."""
    early, late = Slot(a_layer([2.0])), Slot(nn.Linear(1, 1))
    return nn.ModuleDict({"host": a_layer([3.0], [4.0]), "early": early, "late": late})


@pytest.fixture
def layout(model):
    return GradientLayout.of(model, {name: model[name] for name in ("early", "late")})


def test_batches_become_records_in_order_when_flushed(pending):
    for index in range(5):
        assert pending.due == (index >= 4)
        pending.add(1, index, {"loss": tensor(float(index)), "accuracy": None}, {"early": tensor(0.5)})
    expected = tuple(BatchMetrics(1, i, float(i), seed_grad_norms={"early": 0.5}) for i in range(5))
    assert pending.flush() == Flushed(batches=expected)
    assert not pending.due
    assert pending.flush() == Flushed()


def test_every_field_finds_its_place_tensors_and_numbers_mixed(pending, layout):
    values = {
        "loss": tensor(0.5, torch.bfloat16),
        "accuracy": 50,
        "host_grad_norm": tensor([[2.0]], torch.float64),
        "isolation_leakage": tensor(0),
    }
    pending.add(3, 7, values, {"a": 1.5, "b": tensor(2.5), "c": None})
    pending.add(3, 8, {"loss": 1.0}, {})
    pending.add(3, 9, {"loss": tensor(1.0), "isolation_leakage": tensor(0.25)}, {}, layout.measure())
    assert pending.flush().batches == (
        BatchMetrics(3, 7, 0.5, 50.0, 2.0, {"a": 1.5, "b": 2.5}, 0.0),
        BatchMetrics(3, 8, 1.0),
        BatchMetrics(3, 9, 1.0, None, 5.0, {"early": 2.0}, 0.25),
    )


def test_the_values_are_those_of_the_moment_they_were_logged(pending):
    loss = tensor(1.0)
    pending.add(1, 0, {"loss": loss}, {"early": loss})
    loss.fill_(9.0)
    assert pending.flush().batches == (BatchMetrics(1, 0, 1.0, seed_grad_norms={"early": 1.0}),)


def test_a_loss_s_graph_is_let_go(pending):
    weight = torch.ones(3, requires_grad=True)
    pending.add(1, 0, {"loss": (weight * 2).sum()}, {})
    (held,) = pending._waiting
    assert held.tensor.grad_fn is None


def test_all_numbers_of_a_device_come_in_one_copy(pending, layout, monkeypatch):
    copied = []
    cat = torch.cat
    monkeypatch.setattr(batches.torch, "cat", lambda tensors: (copied.append(len(tensors)), cat(tensors))[1])
    for index in range(3):
        values = {"loss": tensor(1.0), "accuracy": tensor(50)}
        pending.add(1, index, values, {"early": tensor(1.0, torch.float64)}, layout.measure())
    pending.flush()
    assert copied == [4]  # the single numbers, already joined, and a vector of norms for each batch


def test_truth_counts_as_one(pending):
    """The accuracy of a batch of one example may be a bool."""
    pending.add(1, 0, {"loss": tensor(1) > 0, "isolation_leakage": tensor(1) < 0}, {})
    assert pending.flush().batches == (BatchMetrics(1, 0, 1.0, isolation_leakage=0.0),)


class Reads(TorchDispatchMode):
    """Counts how often a tensor's value is asked for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*args, **(kwargs or {}))


def test_adding_reads_no_value_in_the_host_s_memory_either(pending, layout):
    with Reads() as reads:
        float(tensor(1.0))
        pending.add(1, 0, {"loss": tensor(0.5), "accuracy": tensor(50)}, {"early": tensor(1.0)}, layout.measure())
    assert reads.count == 1


def test_adding_reads_no_value(pending):
    """On the meta device there are no values: reading one raises."""
    layout = GradientLayout.of(a_layer([1.0], [2.0], device="meta"), {})
    for index in range(3):
        values = {"loss": torch.ones((), device="meta")}
        pending.add(1, index, values, {"early": torch.ones(1, device="meta")}, layout.measure())
    measured = [batch.gradients for batch in pending._pending]
    for tensor in (*(held.tensor for held in pending._waiting), *(v for norms in measured for v in norms.vectors)):
        with pytest.raises(RuntimeError):
            float(tensor.sum())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.lists(st.floats(width=16), max_size=3), DTYPES), max_size=8))
def test_values_come_exactly_whatever_types_are_mixed(drawn):
    def made(values, dtype):
        fit = values if dtype.is_floating_point else [int(v) for v in values if math.isfinite(v)]
        return torch.tensor(fit[0] if len(fit) == 1 else fit, dtype=dtype)

    tensors = [made(values, dtype) for values, dtype in drawn]
    arrays = to_host(tensors)
    assert [a.dtype for a in arrays] == [np.float64] * len(tensors)
    assert [list(map(repr, a.tolist())) for a in arrays] == [[repr(float(v)) for v in t.reshape(-1).tolist()] for t in tensors]


def test_whole_numbers_are_exact_beside_single_precision():
    large, single = to_host([tensor(2**53 - 1, torch.int64), tensor(0.5)])
    assert (large.item(), single.item()) == (2.0**53 - 1, 0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_values_come_from_cuda_beside_those_of_the_cpu():
    tensors = [torch.arange(3.0, device="cuda"), tensor(5.0), tensor(7, torch.int64).cuda()]
    assert [a.tolist() for a in to_host(tensors)] == [[0.0, 1.0, 2.0], [5.0], [7.0]]


def test_a_tensor_of_several_elements_is_refused_at_once(pending):
    with pytest.raises(RecordError) as caught:
        pending.add(1, 0, {"loss": torch.ones(2, 3)}, {})
    assert str(caught.value) == "loss must be one number; got a tensor of shape (2, 3). Take its mean."
    assert pending.flush() == Flushed()


class TestGradients:
    def test_that_are_given_win_over_those_measured(self, pending, layout):
        pending.add(1, 0, {"loss": 1.0, "host_grad_norm": tensor(7.0)}, {"late": 8.0}, layout.measure())
        pending.add(1, 1, {"loss": 1.0, "host_grad_norm": None}, {"early": 9.0, "late": None}, layout.measure())
        assert pending.flush().batches == (
            BatchMetrics(1, 0, 1.0, None, 7.0, {"early": 2.0, "late": 8.0}),
            BatchMetrics(1, 1, 1.0, None, 5.0, {"early": 9.0}),
        )

    def test_that_are_missing_are_none(self, pending, model, layout):
        pending.add(1, 0, {"loss": 1.0}, {}, None)
        for p in model["host"]:
            p.grad = None
        pending.add(1, 1, {"loss": 1.0}, {}, layout.measure())
        found = pending.flush()
        assert found.batches == (BatchMetrics(1, 0, 1.0), BatchMetrics(1, 1, 1.0, None, None, {"early": 2.0}))
        assert found.layers == (LayerStatistics(1, 1, 1, 1, gradient_rms={"early.seed": 2.0}),)

    def test_are_summed_up_by_epoch(self, pending, model, layout):
        for epoch, index in ((1, 8), (1, 9), (2, 0), (2, 1)):
            model["early"].seed[0].grad = tensor([2.0 * (epoch == 1)])
            pending.add(epoch, index, {"loss": 1.0}, {}, None if index == 9 else layout.measure())
        host = {"host": math.sqrt(12.5)}
        found = pending.flush()
        assert found.layers == (
            LayerStatistics(1, 8, 8, 1, gradient_rms=host | {"early.seed": 2.0}),
            LayerStatistics(2, 0, 1, 2, gradient_rms=host | {"early.seed": 0.0}, zero_batches={"early.seed": 2}),
        )
        assert [list(norms.by_seed_layer()) for norms in found.layer_norms] == [
            [{"early": {"": 2.0}}],
            [{"early": {"": 0.0}}, {"early": {"": 0.0}}],
        ]

    def test_of_a_seed_module_and_of_its_successor_are_kept_apart(self, pending, model, layout):
        pending.add(1, 0, {"loss": 1.0}, {}, layout.measure())
        model["early"].seed = a_layer([6.0], [8.0])
        later = GradientLayout.of(model, {"early": model["early"]})
        pending.add(1, 1, {"loss": 1.0}, {}, later.measure())
        found = pending.flush()
        assert [batch.seed_grad_norms for batch in found.batches] == [{"early": 2.0}, {"early": 10.0}]
        assert [(s.first_batch, s.gradient_rms["early.seed"]) for s in found.layers] == [(0, 2.0), (1, math.sqrt(50))]

    def test_of_refused_batches_are_left_out(self, pending, layout):
        for index, accuracy in enumerate((50.0, math.nan, 60.0)):
            pending.add(1, index, {"loss": 1.0, "accuracy": accuracy}, {}, layout.measure())
        pending.add(-1, 3, {"loss": 1.0}, {}, layout.measure())
        found = pending.flush()
        assert [(s.first_batch, s.last_batch, s.batches) for s in found.layers] == [(0, 2, 2)]
        assert found.layer_norms[0].norms.shape == (2, 2 + 1)


class TestBadValues:
    def test_are_reported_with_epoch_and_batch_and_cost_no_other_batch(self, pending):
        for index, accuracy in enumerate((50.0, math.nan, 60.0)):
            pending.add(3, 17 + index, {"loss": tensor(1.0), "accuracy": tensor(accuracy)}, {})
        found = pending.flush()
        assert str(found.refused) == (
            "BatchMetrics.accuracy must be between 0 and 100 (epoch 3, batch 18); got nan. Accuracies are percentages, 0 to 100."
        )
        assert found.batches == (BatchMetrics(3, 17, 1.0, 50.0), BatchMetrics(3, 19, 1.0, 60.0))
        assert pending.flush() == Flushed()

    def test_are_counted_when_there_are_several(self, pending):
        for index, accuracy in enumerate((101.0, 50.0, -1.0, math.inf)):
            pending.add(1, index, {"loss": 1.0, "accuracy": accuracy}, {})
        found = pending.flush()
        assert isinstance(found.refused, RecordError)
        assert str(found.refused) == (
            "BatchMetrics.accuracy must be between 0 and 100 (epoch 1, batch 0); got 101.0. "
            "Accuracies are percentages, 0 to 100. 2 later batches were refused, too."
        )
        assert found.batches == (BatchMetrics(1, 1, 1.0, 50.0),)

    def test_are_those_that_are_no_numbers_too(self, pending):
        pending.add(1, 0, {"loss": "low"}, {})
        assert str(pending.flush().refused) == "BatchMetrics.loss must be a number (epoch 1, batch 0); got 'low' (str)."

    def test_are_not_nan_losses_or_norms_which_are_observations(self, pending):
        pending.add(1, 0, {"loss": tensor(math.nan), "host_grad_norm": tensor(math.inf)}, {"early": tensor(-math.inf)})
        expected = (BatchMetrics(1, 0, math.nan, None, math.inf, {"early": -math.inf}),)
        assert pending.flush() == Flushed(batches=expected)
