"""Gradients are counted by buckets of their bit patterns: exactly, over batches, without a value being read."""

import struct
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from karn_wandb.capture.histograms import ROW, GradientHistograms, _scattered
from karn_wandb.records import GradientHistogram

few = settings(max_examples=50, deadline=None)
singles = st.floats(width=32) | st.floats(-1, 1, width=32) | st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 2.0**-128, -(2.0**-128)])
SPECIAL = [0.0, -0.0, 0.0, 1e-45, -1e-45, -1e-45, float("nan"), float("inf"), -float("inf"), 1.0, -1.25, 3.4028235e38]


def counted(*batches):
    histograms = GradientHistograms()
    for batch in batches:
        histograms.add(batch)
    return histograms.take()


def expected(numbers):
    """The same by Python's struct, a number at a time."""
    bits = [struct.unpack("<I", struct.pack("<f", x))[0] for x in numbers]
    zeros = sum(b & 0x7FFFFFFF == 0 for b in bits)
    non_finite = sum(b >> 23 & 255 == 255 for b in bits)
    kept = [b for b in bits if b & 0x7FFFFFFF and b >> 23 & 255 != 255]
    fields = {"zeros": zeros, "non_finite": non_finite}
    for name, sign in (("positive", 0), ("negative", 1)):
        found = Counter(b >> 21 & 1023 for b in kept if b >> 31 == sign)
        if found:
            fields[f"{name}_from"] = min(found)
            fields[name] = tuple(found[k] for k in range(min(found), max(found) + 1))
    return GradientHistogram(**fields)


@few
@given(st.lists(st.lists(singles, min_size=1, max_size=30), min_size=1, max_size=4))
def test_every_element_is_in_the_bucket_of_its_bits_and_batches_add_up(batches):
    numbers = [x for batch in batches for x in batch]
    assert counted(*({"layer": [torch.tensor(batch)]} for batch in batches)) == {"layer": expected(numbers)}


def test_zeros_of_both_signs_and_numbers_that_are_not_finite_are_kept_apart_from_the_smallest():
    assert counted({"layer": [torch.tensor(SPECIAL)]}) == {
        "layer": GradientHistogram(negative=(2, *[0] * 508, 1), positive=(1, *[0] * 507, 1, *[0] * 510, 1), zeros=3, non_finite=3)
    }


def test_each_layer_has_its_own_counts_however_many_tensors_of_whatever_shape_it_has():
    weight, bias, other = torch.randn(3, 4, 5), torch.randn(7), torch.randn(6, 2).t()
    strided = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert counted({"a": [weight, bias], "b": [other], "c": [strided, torch.tensor(2.0)]}) == {
        "a": expected([*weight.flatten().tolist(), *bias.tolist()]),
        "b": expected(other.flatten().tolist()),
        "c": expected([*strided.flatten().tolist(), 2.0]),
    }


def test_layers_may_come_and_go_between_batches():
    one = torch.ones(2)
    taken = counted({"host": [one]}, {"host": [one], "seed": [one]}, {"host": [one]})
    assert {layer: histogram.positive for layer, histogram in taken.items()} == {"host": (6,), "seed": (2,)}


def test_a_layer_without_elements_is_missing_not_zero():
    assert counted({}) == {}
    assert counted({"none": [], "empty": [torch.empty(0, 3)], "some": [torch.zeros(2), torch.empty(0)]}) == {
        "some": GradientHistogram(zeros=2)
    }


def test_taking_starts_over():
    histograms = GradientHistograms()
    histograms.add({"layer": [torch.zeros(3)]})
    assert histograms.take()["layer"].zeros == 3
    assert histograms.take() == {}
    histograms.add({"layer": [torch.zeros(2)]})
    assert histograms.take()["layer"].zeros == 2


def test_the_gradients_are_unharmed_also_a_single_one():
    gradient = torch.tensor(SPECIAL)
    before = gradient.view(torch.int32).clone()
    counted({"layer": [gradient]})
    assert torch.equal(gradient.view(torch.int32), before)


def test_later_changes_of_a_gradient_change_no_count():
    histograms, gradient = GradientHistograms(), torch.ones(3)
    histograms.add({"layer": [gradient]})
    gradient.zero_()
    assert histograms.take()["layer"].positive == (3,)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_count_as_their_values_in_single_precision(dtype):
    gradient = torch.cat([torch.randn(500, dtype=torch.float64) ** 5, torch.tensor([0.0, -0.0, 6e-8, float("inf")])]).to(dtype)
    assert counted({"a": [gradient]}) == {"a": expected(gradient.float().tolist())}
    mixed = torch.randn(5)
    assert counted({"a": [gradient], "b": [mixed]})["b"] == expected(mixed.tolist())


def test_double_precision_beyond_single_counts_as_infinite_or_zero():
    gradient = torch.tensor([1e300, -1e39, 1e-300, -1e-46, 1.0], dtype=torch.float64)
    assert counted({"layer": [gradient]})["layer"] == GradientHistogram(positive=(1,), positive_from=508, zeros=2, non_finite=2)


def test_a_sparse_gradient_counts_by_its_stored_values_added_up():
    embedding = torch.nn.Embedding(1000, 2, sparse=True)
    embedding(torch.tensor([3, 3, 5])).sum().backward()
    assert counted({"embedding": [embedding.weight.grad]})["embedding"] == expected([2.0, 2.0, 1.0, 1.0])


def test_a_complex_gradient_counts_by_both_parts():
    gradient = torch.tensor([1 - 2j, 0.5j])
    assert counted({"layer": [gradient.conj()]})["layer"] == expected([1.0, 2.0, 0.0, -0.5])


def test_gradients_that_have_a_gradient_themselves_are_counted():
    weight = torch.ones(3, requires_grad=True)
    (gradient,) = torch.autograd.grad((weight**3).sum(), weight, create_graph=True)
    assert counted({"layer": [gradient]})["layer"] == expected([3.0] * 3)


def test_counting_as_other_devices_do_is_counting_as_the_cpu_does():
    places = torch.randint(0, 3 * ROW, (1000,), dtype=torch.int32)
    assert torch.equal(_scattered(places, 3 * ROW), torch.bincount(places, minlength=3 * ROW))


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(mode=True)
    yield
    torch.use_deterministic_algorithms(mode=False)


def test_deterministic_algorithms_are_enough(deterministic):
    gradient = torch.randn(50)
    assert counted({"layer": [gradient]}) == {"layer": expected(gradient.tolist())}
    assert _scattered(torch.zeros(4, dtype=torch.int32), 2).tolist() == [4, 0]


def test_no_value_is_read_while_gradients_are_added():
    """Meta tensors have none: reading one, or a shape that depends on one, raises."""
    histograms = GradientHistograms()
    gradients = [torch.empty(3, 4, device="meta"), torch.empty(5, dtype=torch.bfloat16, device="meta")]
    for _ in range(2):
        histograms.add({"a": gradients, "b": gradients[:1]})


def test_a_layer_that_lives_on_two_devices_is_counted_on_each_and_taken_as_one():
    histograms, cpu, meta = GradientHistograms(), torch.device("cpu"), torch.device("meta")
    histograms.add({"layer": [torch.ones(2), torch.ones(3, device=meta)]})
    assert list(histograms._rows) == [(cpu, ("layer",)), (meta, ("layer",))]
    histograms._rows[meta, ("layer",)] = histograms._rows[cpu, ("layer",)].clone()  # meta tensors have no values to take
    assert histograms.take()["layer"].positive == (4,)


class Launches(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_all_layers_are_put_together_and_counted_at_once():
    gradients = {str(i): [torch.ones(5), torch.ones(2)] for i in range(9)}
    histograms = GradientHistograms()
    with Launches() as launches:
        histograms.add(gradients)
    assert [launches.names.count(name) for name in ("cat", "bitwise_right_shift", "_foreach_add_", "bincount")] == [1] * 4
    with Launches() as launches:
        histograms.take()
    assert launches.names.count("cat") == 1
