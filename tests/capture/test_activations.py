"""Activations are measured as plain PyTorch would, over the calls that count, and leave the model as it was."""

import copy
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._dynamo.utils import counters

from karn_wandb.capture.activations import ActivationProbe

EVERYTHING = 10**9


def probing(model, sample=EVERYTHING):
    probe = ActivationProbe(model, sample)
    probe.install()
    probe.active = True
    return probe


class Given(nn.Module):
    """A leaf module that puts out what it is given."""

    def forward(self, output):
        return output


def probed(*outputs, sample=EVERYTHING, model=None):
    """Statistics of a leaf module that puts these out."""
    model = model or Given()
    probe = probing(model, sample)
    for output in outputs:
        model(output)
    return probe.take().get("")


def fired(statistics):
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(statistics.fired), dtype=np.uint8))
    assert not bits[statistics.units :].any()
    return bits[: statistics.units].astype(bool).tolist()


def same_as_torch(statistics, numbers, units):
    """`numbers` are all elements, `units` the same as [units, elements of each]."""
    numbers = numbers.double()
    assert statistics.count == numbers.numel()
    assert statistics.mean == pytest.approx(numbers.mean().item(), rel=1e-5, abs=1e-6)
    assert statistics.std == pytest.approx(numbers.std(correction=0).item(), rel=1e-4, abs=1e-6)
    assert fired(statistics) == (units > 0).any(1).tolist()
    assert statistics.dead == (~(units > 0).any(1)).sum()


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(45, 11),
        nn.ReLU(),
        nn.Linear(11, 4),
    )


def outputs_of(model, *batches):
    """Outputs of each module of a sequence in training mode, all batches joined."""
    outputs = {}
    for output in batches:
        for name, module in model.named_children():
            output = module(output)  # noqa: PLW2901 -- each module's output is the next one's input
            outputs.setdefault(name, []).append(output.detach().clone())
    return {name: torch.cat(parts) for name, parts in outputs.items()}


def test_mean_spread_and_dead_units_of_a_network_are_those_of_all_its_outputs():
    torch.manual_seed(0)
    model = cnn()
    with torch.no_grad():
        model[0].bias[2] = -100.0
        model[1].weight[2] = 0
        model[5].bias[3:6] = -100.0
    batches = [torch.randn(n, 3, 8, 8) for n in (4, 7, 2)]
    expected = outputs_of(copy.deepcopy(model), *batches)
    probe = probing(model)
    for x in batches:
        model(x).sum().backward()
    taken = probe.take()
    assert taken.keys() == expected.keys()
    for name, output in expected.items():
        same_as_torch(taken[name], output, output.transpose(0, 1).flatten(1))
    assert [taken[name].units for name in "01234567"] == [5, 5, 5, 5, 45, 11, 11, 4]
    assert (taken["2"].dead, taken["6"].dead >= 3) == (1, True)


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    offset=st.sampled_from([0.0, 1000.0, -3.0]),
)
def test_batches_of_any_size_add_up(sizes, seed, offset):
    generator = torch.Generator().manual_seed(seed)
    batches = [torch.randn(n, 3, 5, generator=generator, dtype=torch.float64) + offset * (n % 2) for n in sizes]
    everything = torch.cat(batches)
    statistics = probed(*batches)
    same_as_torch(statistics, everything, everything.flatten(0, 1).t())


def test_a_spread_far_smaller_than_the_mean_is_not_cancelled():
    batches = [1e4 + torch.randn(50, 8) * 0.05 for _ in range(20)]
    assert probed(*batches).std == pytest.approx(torch.cat(batches).double().std(correction=0).item(), rel=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_measured_in_at_least_single(dtype):
    output = (torch.randn(64, 32) * 300).to(dtype)
    same_as_torch(probed(output), output, output.t())


def test_what_is_not_finite_shows_and_a_unit_that_is_not_a_number_is_not_dead():
    output = torch.tensor([[float("nan"), -1.0, float("nan")], [2.0, -1.0, -1.0]])
    statistics = probed(output, torch.zeros(1, 3))
    assert math.isnan(statistics.mean)
    assert math.isnan(statistics.std)
    assert (statistics.count, fired(statistics)) == (9, [True, False, True])
    assert probed(torch.tensor([[float("inf"), 1.0]])).mean == math.inf


def test_an_empty_batch_says_nothing():
    assert probed(torch.empty(0, 3)) is None
    assert probed(torch.empty(0, 3), torch.ones(2, 3), torch.empty(2, 0)).count == 6


@pytest.mark.parametrize(("sample", "examples"), [(1, 1), (23, 1), (24, 2), (60, 5), (71, 5), (72, 6), (10**6, 20)])
def test_a_sample_is_the_first_examples(sample, examples):
    output = torch.randn(20, 3, 4)
    first = output[:examples]
    same_as_torch(probed(output, sample=sample), first, first.flatten(0, 1).t())


def test_a_unit_is_dead_when_no_batch_since_the_last_taking_made_it_fire():
    model = Given()
    probe = probing(model)
    for unit in (2, 9, 2):
        model(torch.nn.functional.one_hot(torch.tensor([unit]), 10).float())
    taken = probe.take()[""]
    assert (taken.units, taken.dead, taken.fired) == (10, 8, "2040")
    assert probe.take() == {}
    model(-torch.ones(1, 10))
    assert probe.take()[""].dead == 10


IMAGE, SEQUENCE = (2, 3, 4, 5), (2, 4, 6)


@pytest.mark.parametrize(
    ("module", "shape", "units"),
    [
        (nn.Conv1d(4, 7, 1), SEQUENCE, 7),
        (nn.ConvTranspose2d(3, 7, 1), IMAGE, 7),
        (nn.BatchNorm1d(4), SEQUENCE, 4),
        (nn.BatchNorm1d(6), (2, 6), 6),
        (nn.InstanceNorm2d(3), IMAGE, 3),
        (nn.GroupNorm(1, 4), SEQUENCE, 4),
        (nn.MaxPool1d(2), SEQUENCE, 4),
        (nn.AdaptiveAvgPool2d(1), IMAGE, 3),
        (nn.Linear(6, 9), SEQUENCE, 9),
        (nn.Linear(5, 9), IMAGE, 9),
        (nn.LayerNorm(6), SEQUENCE, 6),
        (nn.LayerNorm(5), IMAGE, 5),
        (nn.GELU(), (2, 8), 8),
        (nn.GELU(), SEQUENCE, 6),
        (nn.GELU(), IMAGE, 3),
    ],
)
def test_units_are_channels_or_features_as_the_module_has_them(module, shape, units):
    assert probed(torch.randn(shape), model=module).units == units


def test_an_activation_function_has_the_units_of_the_module_before_it():
    conv = nn.Sequential(nn.Conv1d(4, 7, 1), nn.ReLU(), nn.Dropout(0.5))
    mixed = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Linear(5, 6), nn.GELU(), nn.Identity())
    for model, shape, units in ((conv, SEQUENCE, [7, 7, 7]), (mixed, IMAGE, [3, 2, 2, 6, 6, 6])):
        probe = probing(model)
        for _ in range(2):
            model(torch.randn(shape))
            assert [statistics.units for statistics in probe.take().values()] == units


def test_an_embedding_is_measured_by_its_features():
    assert probed(torch.tensor([[1, 2, 3]]), model=nn.Embedding(10, 6)).units == 6


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()
        self.again = self.relu

    def forward(self, x):
        return self.again(self.relu(x)[:, :2])


def test_a_module_called_more_than_once_adds_up_and_units_have_one_index_whatever_the_width():
    model = Shared()
    probe = probing(model)
    model(torch.tensor([[-1.0, 2.0, 3.0, -4.0]]))
    model(torch.tensor([[-1.0, -2.0]]))
    (taken,) = probe.take().items()
    name, statistics = taken
    assert name == "relu"
    assert (statistics.count, statistics.mean) == (4 + 2 + 2 + 2, pytest.approx((2 + 3 + 2) / 10))
    assert fired(statistics) == [False, True, True, False]


def test_only_training_while_active_counts():
    model = Given()
    probe = probing(model)
    probe.active = False
    model(torch.ones(1, 2))
    probe.active = True
    model.eval()
    model(torch.ones(1, 2))
    assert probe.take() == {}
    model.train()
    model(torch.ones(1, 2))
    assert probe.take()[""].count == 2


def test_a_frozen_part_in_evaluation_mode_does_not_count():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].eval()
    probe = probing(model)
    model(torch.ones(1, 2))
    assert list(probe.take()) == ["1"]


@pytest.mark.parametrize(
    "output",
    [
        torch.ones(2, 2, dtype=torch.int64),
        torch.ones(2, 2, dtype=torch.bool),
        torch.ones(2, 2, dtype=torch.complex64),
        torch.ones(2, 2).to_sparse(),
        torch.tensor(1.0),
        torch.ones(3),
        (torch.ones(2, 2), None),
        None,
    ],
    ids=repr,
)
def test_outputs_without_units_of_numbers_are_passed_over(output):
    assert probed(output) is None


def test_outputs_and_gradients_are_unchanged():
    torch.manual_seed(0)
    model, x = cnn(), torch.randn(4, 3, 8, 8)
    twin = copy.deepcopy(model)
    probe = probing(model)
    assert torch.equal(model(x), twin(x))
    model(x).sum().backward()
    twin(x).sum().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert not any(tensor.requires_grad for layer in probe._layers.values() for tensor in layer.measured.tensors())


def test_a_later_change_in_place_changes_nothing():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    with torch.no_grad():
        model[0].weight.copy_(-torch.eye(2))
        model[0].bias.zero_()
    probe = probing(model)
    model(torch.ones(1, 2))
    assert [statistics.mean for statistics in probe.take().values()] == [-1.0, 0.0]


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_removing_leaves_no_hook_and_keeps_what_was_measured():
    model = cnn()
    probe = probing(model)
    assert hooks(model) == 8
    model(torch.randn(2, 3, 8, 8))
    probe.remove()
    assert hooks(model) == 0
    model(torch.randn(2, 3, 8, 8))
    assert probe.take()["7"].count == 8
    probe.remove()


def test_other_peoples_hooks_stay():
    model = nn.Linear(2, 2)
    called = []
    model.register_forward_hook(lambda *_: called.append(1))
    probing(model).remove()
    model(torch.ones(1, 2))
    assert called == [1]


def test_a_model_that_has_grown_is_installed_again_without_a_second_hook():
    model = nn.ModuleDict({"host": nn.Linear(2, 2), "slot": nn.Identity()})
    probe = probing(model)
    for module in model.values():
        module(torch.ones(1, 2))
    model["slot"] = nn.Linear(2, 3)
    probe.install()
    for module in model.values():
        module(torch.ones(1, 2))
    assert hooks(model) == 2
    assert {name: statistics.count for name, statistics in probe.take().items()} == {"host": 4, "slot": 3}


def test_a_model_with_hooks_is_copied_and_pickled_and_the_copy_measures_for_itself():
    model = nn.Sequential(nn.Linear(2, 2))
    probe = probing(model)
    stored = io.BytesIO()
    torch.save(model, stored)
    stored.seek(0)
    for twin in (copy.deepcopy(model), torch.load(stored, weights_only=False)):
        twin(torch.ones(1, 2))
    assert probe.take() == {}


def test_no_value_is_read_in_training():
    """Meta tensors have none: reading one raises."""
    model = cnn().to("meta")
    probing(model)
    for _ in range(2):
        model(torch.empty(4, 3, 8, 8, device="meta")).sum().backward()


def test_a_model_that_is_moved_goes_on_being_measured():
    model = nn.Linear(2, 2)
    probing(model)
    model(torch.ones(1, 2))
    model.to("meta")
    model(torch.ones(1, 2, device="meta"))


def test_many_calls_before_they_are_taken_and_many_takes_need_no_new_memory():
    """What is kept lies in memory that was there: kept pieces would split what forward passes take turns in."""
    model = nn.Linear(2, 3)
    probe = probing(model)
    inputs = torch.randn(40, 5, 2)
    places = set()
    for calls in (1, 40, 3, 40):
        outputs = torch.cat([model(x) for x in inputs[:calls]]).detach()
        places.add(probe._layers[""].measured.tensors()[0].data_ptr())
        found = probe.take()[""]
        assert found.count == outputs.numel()
        assert found.mean == pytest.approx(outputs.mean().item(), abs=1e-6)
        assert found.std == pytest.approx(outputs.std(correction=0).item(), rel=1e-5)
    assert len(places) == 2  # enlarged once, for 40


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    counters.clear()
    yield counters
    torch._dynamo.reset()


@pytest.mark.parametrize("when", ["never", "before compiling", "after compiling"])
def test_a_compiled_training_step_is_one_graph_with_and_without_the_probe_and_measures_nothing(dynamo, when):
    model, x = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), torch.ones(4, 6)
    probe = ActivationProbe(model)
    probe.active = True
    if when == "before compiling":
        probe.install()
    compiled = torch.compile(model, backend="eager")
    compiled(x).sum().backward()
    if when == "after compiling":
        probe.install()
    for active in (True, False, True):
        probe.active = active
        compiled(x).sum().backward()
    assert dynamo["stats"]["unique_graphs"] == 1
    assert not dynamo["graph_break"]
    assert not dynamo["recompiles"]
    assert probe.take() == {}
    explanation = torch._dynamo.explain(model)(x)
    assert (explanation.graph_break_count, explanation.op_count) == (0, 3)
