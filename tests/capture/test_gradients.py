"""Gradient norms: those of plain PyTorch in double precision, measured in two kernels and without reading a value."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from karn_wandb.capture.batches import PendingBatches, to_host
from karn_wandb.capture.gradients import GradientLayout, Layer, LayerNorms
from karn_wandb.capture.model import find_slots
from karn_wandb.records import SeedStage

FLOATS = st.floats(-1e4, 1e4, width=16)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])
GRADIENT = st.tuples(st.lists(FLOATS, max_size=4), DTYPES, st.booleans())
LAYER = st.lists(GRADIENT, max_size=3)


class Slot(nn.Module):
    """The least a slot may be."""

    def __init__(self, slot_id, seed=None):
        super().__init__()
        self.slot_id, self.seed, self.stage, self.alpha = slot_id, seed, SeedStage.TRAINING, 0.5

    @contextmanager
    def force_alpha(self, alpha):
        yield


class Host(nn.Module):
    """A layer `fc`, and slots."""

    def __init__(self, fc=None, **seeds):
        super().__init__()
        self.fc = nn.Linear(2, 2) if fc is None else fc
        self.seed_slots = nn.ModuleDict({name: Slot(name, seed) for name, seed in seeds.items()})


def parameter(values, dtype=None, *, has_grad=True):
    values = torch.as_tensor(values, dtype=dtype)
    made = nn.Parameter(torch.zeros_like(values))
    made.grad = values if has_grad else None
    return made


def parameters(*grads):
    """A layer whose parameters have these gradients."""
    return nn.ParameterList([parameter(grad) for grad in grads])


def layout_of(model):
    return GradientLayout.of(model, find_slots(model))


def landed(*measured):
    """The measurements on the host, layer by layer."""
    batches = [list(zip(norms.places, to_host(norms.vectors), strict=True)) for norms in measured]
    return LayerNorms.of(measured[0].layout, batches)


def norms_of(model):
    """Norm of the host (under None) and of each seed module."""
    return landed(layout_of(model).measure()).by_module()[0]


def end_to_end(tensors):
    """The definition: the norm of all elements laid end to end, in double precision."""
    return torch.cat([g.to_dense().double().flatten() for g in tensors]).norm().item()


def gradients(module):
    return [p.grad for p in module.parameters() if p.grad is not None and p.grad.numel()]


def train_step(model, inputs, scale=1.0):
    (model(inputs).square().mean() * scale).backward()


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5))


class TestNorms:
    @settings(max_examples=50, deadline=None)
    @given(st.lists(LAYER, max_size=3), LAYER, LAYER)
    def test_are_those_of_all_elements_laid_end_to_end(self, host, early, late):
        """Of modules and layers, whatever types are mixed, with gradients that are missing or empty."""

        def layer(drawn):
            return nn.ParameterList([parameter(values, dtype, has_grad=there) for values, dtype, there in drawn])

        model = Host(nn.ModuleList(map(layer, host)), early=layer(early), late=nn.Sequential(layer(late)))
        measured = layout_of(model).measure()
        modules = {None: model.fc, "early": model.seed_slots["early"].seed, "late": model.seed_slots["late"].seed}
        expected = {name: end_to_end(gradients(module)) for name, module in modules.items() if gradients(module)}
        if not expected:
            assert measured is None
            return
        layers = landed(measured)
        assert layers.by_module() == [{name: pytest.approx(norm, rel=1e-5) for name, norm in expected.items()}]
        named = dict(model.named_modules())
        for layer, norm, elements in zip(layers.layers, layers.norms[0], layers.elements[0], strict=True):
            found = gradients(named[layer.name])
            assert elements == sum(g.numel() for g in found)
            assert norm == pytest.approx(end_to_end(found) if found else 0.0, rel=1e-5)

    def test_agree_with_pytorch_s_own_after_a_backward_pass(self):
        model = cnn()
        train_step(model, torch.randn(7, 3, 6, 6))
        found = norms_of(model)
        assert found == {None: pytest.approx(nn.utils.clip_grad_norm_(model.parameters(), math.inf).item(), rel=1e-6)}

    def test_do_not_overflow_in_half_precision(self):
        model = Host(parameters(torch.full((4,), 60000.0, dtype=torch.float16)))
        assert norms_of(model) == {None: pytest.approx(119_999, rel=1e-3)}

    def test_keep_double_precision(self):
        model = Host(parameters(torch.tensor([1e100], dtype=torch.float64), torch.tensor([1.0])))
        assert norms_of(model) == {None: 1e100}

    def test_beyond_double_precision_are_infinite(self):
        assert norms_of(Host(parameters(*[torch.tensor([1e153], dtype=torch.float64)] * 400))) == {None: math.inf}

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_show_what_is_not_finite_where_it_is_and_only_there(self, bad):
        model = Host(parameters([1.0], [bad]), early=parameters([2.0]))
        found = norms_of(model)
        assert repr(found[None]) == repr(abs(bad))
        assert found["early"] == 2.0

    def test_take_repeated_entries_of_a_sparse_gradient_together_beside_dense_ones(self):
        embedding = nn.Embedding(4, 2, sparse=True)
        embedding(torch.tensor([1, 1, 3])).sum().backward()
        model = Host(nn.ModuleList([embedding, parameters([3.0, 4.0])]))
        assert norms_of(model) == {None: pytest.approx(end_to_end(gradients(model)))}
        layers = landed(layout_of(model).measure())
        assert layers.norms[0].tolist() == pytest.approx([math.sqrt(10), 5.0])
        assert layers.elements[0].tolist() == [8, 2]

    def test_of_an_empty_sparse_gradient_are_zero(self):
        embedding = nn.Embedding(4, 2, sparse=True)
        embedding(torch.zeros(0, dtype=torch.long)).sum().backward()
        assert norms_of(Host(embedding)) == {None: 0.0}

    def test_are_of_the_accumulated_gradient(self):
        model, first, second = cnn(), torch.randn(7, 3, 6, 6), torch.randn(7, 3, 6, 6)
        layout = layout_of(model)
        train_step(model, first)
        before = layout.measure()
        train_step(model, second)
        grown = end_to_end(gradients(model))
        layers = landed(before, layout.measure())
        assert layers.by_module()[1] == {None: pytest.approx(grown, rel=1e-5)}
        assert layers.by_module()[0][None] != pytest.approx(grown, rel=1e-2)

    def test_are_the_unscaled_ones_after_an_amp_step(self):
        """The scale is there before the step, and gone after it."""
        model, inputs = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(5, 8)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            train_step(model, inputs)
        expected = end_to_end(gradients(model))
        optimizer.zero_grad()
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(inputs).square().mean()
        scaler.scale(loss).backward()
        layout = layout_of(model)
        scaled = layout.measure()
        scaler.step(optimizer)
        found = landed(scaled, layout.measure()).by_module()
        assert found == [{None: pytest.approx(1024 * expected, rel=1e-3)}, {None: pytest.approx(expected, rel=1e-3)}]

    def test_change_no_gradient_and_are_not_changed_by_later_ones(self):
        grads = [torch.tensor([3.0, 4.0]), torch.tensor([3.0], dtype=torch.bfloat16)]
        model = Host(parameters(*[g.clone() for g in grads]))
        measured = layout_of(model).measure()
        assert all(torch.equal(p.grad, g) for p, g in zip(model.fc, grads, strict=True))
        model.fc[0].grad.zero_()
        assert landed(measured).by_module() == [{None: pytest.approx(math.sqrt(34))}]

    def test_hold_no_graph_when_gradients_have_one(self):
        model = Host()
        loss = model.fc(torch.ones(1, 2)).square().sum()
        for p, grad in zip(
            model.parameters(), torch.autograd.grad(loss, list(model.parameters()), create_graph=True), strict=True
        ):
            p.grad = grad
        (vector,) = layout_of(model).measure().vectors
        assert model.fc.weight.grad.requires_grad
        assert not vector.requires_grad


class TestLayout:
    def test_names_layers_as_pytorch_does_the_host_s_first(self):
        model = Host(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), early=nn.Sequential(nn.Linear(2, 1)), late=nn.Linear(1, 1))
        model.scale = nn.Parameter(torch.ones(1))
        assert layout_of(model).layers == (
            Layer("", None, "", 1),
            Layer("fc.0", None, "fc.0", 9),
            Layer("seed_slots.early.seed.0", "early", "0", 3),
            Layer("seed_slots.late.seed", "late", "", 2),
        )

    def test_of_a_seed_module_outside_the_model_is_named_as_if_it_were_in_it(self):
        layout = GradientLayout.of(nn.Linear(1, 1), {"early": Slot("early", nn.Sequential(nn.Linear(1, 1)))})
        assert [layer.name for layer in layout.layers] == ["", "seed_slots.early.seed.0"]

    def test_leaves_out_what_is_frozen_or_empty(self):
        model = Host(nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ParameterList([nn.Parameter(torch.zeros(0))])]))
        model.fc[0].requires_grad_(requires_grad=False)
        model.fc[1].bias.requires_grad_(requires_grad=False)
        assert layout_of(model).layers == (Layer("fc.1", None, "fc.1", 4),)
        assert layout_of(model).parameters == (model.fc[1].weight,)

    def test_gives_a_tied_weight_to_its_first_owner_and_to_the_host(self):
        model = Host(nn.ModuleDict({"embed": nn.Embedding(3, 2), "head": nn.Linear(2, 3)}), early=nn.Linear(2, 3))
        model.fc["head"].weight = model.seed_slots["early"].seed.weight = model.fc["embed"].weight
        for n, p in enumerate(model.parameters(), 1):
            p.grad = torch.full_like(p, float(n))
        assert layout_of(model).layers == (
            Layer("fc.embed", None, "fc.embed", 6),
            Layer("fc.head", None, "fc.head", 3),
            Layer("seed_slots.early.seed", "early", "", 3),
        )
        host = end_to_end([model.fc["embed"].weight.grad, model.fc["head"].bias.grad])
        seed = end_to_end([model.seed_slots["early"].seed.bias.grad])
        assert norms_of(model) == {None: pytest.approx(host), "early": pytest.approx(seed)}

    def test_fits_until_a_seed_module_comes_or_goes(self):
        model = Host(early=nn.Linear(1, 1), late=None)
        layout, slots = layout_of(model), find_slots(model)
        assert layout.fits(slots)
        slots["late"].seed = nn.Linear(1, 1)
        assert not layout.fits(slots)
        slots["late"].seed = None
        assert layout.fits(slots)
        assert not layout.fits(slots | {"mid": Slot("mid")})
        slots["early"].seed = nn.Linear(1, 1)
        assert not layout.fits(slots)
        assert not layout.fits({"late": slots["late"]})
        assert not layout.fits({"other": slots["early"], "late": slots["late"]})

    def test_of_a_model_without_gradients_measures_nothing(self):
        assert layout_of(Host()).measure() is None
        assert layout_of(Host(nn.ReLU())).measure() is None


class Kernels(TorchDispatchMode):
    """Notes what PyTorch runs."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


class TestHotPath:
    @pytest.mark.parametrize("missing", [False, True])
    def test_is_two_kernels_where_gradients_are_alike(self, missing):
        model = cnn()
        train_step(model, torch.randn(7, 3, 6, 6))
        if missing:
            model[0].bias.grad = None
        layout = layout_of(model)
        with Kernels() as kernels:
            layout.measure()
        assert kernels.names == ["_foreach_norm", "stack"]

    def test_runs_where_there_is_no_value_to_read(self):
        """On the meta device reading a value raises; measuring and adding do not."""
        with torch.device("meta"):
            model, loss = Host(cnn(), early=nn.Linear(2, 2)), torch.ones(())
            for p in model.parameters():
                p.grad = torch.ones_like(p)
        model.fc[0].weight.data = model.fc[0].weight.data.bfloat16()
        model.fc[0].weight.grad = torch.ones_like(model.fc[0].weight)
        pending, measured = PendingBatches(), layout_of(model).measure()
        pending.add(1, 0, {"loss": loss}, {"early": loss}, measured)
        assert [(v.device.type, v.dtype, len(v)) for v in measured.vectors] == [("meta", torch.float32, n) for n in (1, 7)]
        with pytest.raises(RuntimeError):
            float(loss)
        with pytest.raises(RuntimeError):
            float(measured.vectors[0][0])

    def test_keeps_each_device_s_norms_on_it(self):
        model = Host(nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1, device="meta")]))
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        measured = layout_of(model).measure()
        assert [(v.device.type, places) for v, places in zip(measured.vectors, measured.places, strict=True)] == [
            ("cpu", [0, 1]),
            ("meta", [2, 3]),
        ]

    def test_between_steps_of_a_compiled_model_breaks_no_graph_and_compiles_nothing_again(self):
        def graphs(*, measure):
            torch._dynamo.reset()
            torch._dynamo.utils.counters.clear()
            model = Host(cnn())
            optimizer, layout = torch.optim.SGD(model.parameters(), lr=0.01), layout_of(model)
            step, norms = torch.compile(lambda x: model.fc(x).square().mean(), backend="eager"), []
            for _ in range(3):
                optimizer.zero_grad()
                step(inputs).backward()
                if measure:
                    norms += landed(layout.measure()).by_module()
                    assert norms[-1] == {None: pytest.approx(end_to_end(gradients(model)), rel=1e-5)}
                optimizer.step()
            counters = torch._dynamo.utils.counters
            return counters["stats"]["unique_graphs"], counters["stats"]["calls_captured"], dict(counters["graph_break"])

        inputs = torch.randn(7, 3, 6, 6)
        assert graphs(measure=True) == graphs(measure=False)
        assert graphs(measure=True)[::2] == (1, {})


class TestLayerNorms:
    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(
            st.tuples(*[st.none() | st.lists(st.sampled_from([0.0, 0.0, 1.5, -3.0]), min_size=n, max_size=n) for n in (2, 1, 3)]),
            min_size=1,
            max_size=4,
        )
    )
    def test_give_root_mean_square_and_zero_batches_of_each_layer(self, drawn):
        """Two layers, of two parameters and of one; a gradient may be missing in some batches."""
        model = nn.Sequential(parameters(torch.zeros(2), torch.zeros(1)), parameters(torch.zeros(3)))
        layout, measured, seen = layout_of(model), [], {"0": [], "1": []}
        for batch in drawn:
            for p, values in zip(model.parameters(), batch, strict=True):
                p.grad = None if values is None else torch.tensor(values)
            norms = layout.measure()
            if norms is not None:
                measured.append(norms)
                for name, module in model.named_children():
                    seen[name].append([None if p.grad is None else p.grad.double() for p in module])
        if not measured:
            return
        rms, zeros = {}, {}
        for name, batches in seen.items():
            there = [g for batch in batches for g in batch if g is not None]
            if there:
                rms[name] = pytest.approx(torch.cat(there).square().mean().sqrt().item(), rel=1e-5)
            zero = sum(all(g is not None and not g.any() for g in batch) for batch in batches)
            if zero:
                zeros[name] = zero
        found = landed(*measured).statistics(3, range(5, 5 + len(measured)))
        assert (found.epoch, found.first_batch, found.last_batch, found.batches) == (3, 5, 4 + len(measured), len(measured))
        assert found.gradient_rms == rms
        assert found.zero_batches == zeros

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_show_layers_that_are_not_finite(self, bad):
        model = nn.Sequential(parameters([3.0, 4.0, 0.0, 0.0]), parameters([bad, 0.0]))
        found = landed(layout_of(model).measure()).statistics(1, [0])
        assert found.gradient_rms == {"0": 2.5, "1": pytest.approx(bad, nan_ok=True)}
        assert found.zero_batches == {}

    def test_are_told_apart_by_seed_module_and_batch(self):
        """As the top layers are collected from: by slot, named inside the seed module, without what has no gradient."""
        model = Host(parameters([9.0]), early=nn.Sequential(parameters([3.0], [4.0]), parameters([0.0])), late=parameters([2.0]))
        layout = layout_of(model)
        first = layout.measure()
        model.seed_slots["late"].seed[0].grad = None
        model.seed_slots["early"].seed[1][0].grad = None
        layers = landed(first, layout.measure())
        assert list(layers.by_seed_layer()) == [{"early": {"0": 5.0, "1": 0.0}, "late": {"": 2.0}}, {"early": {"0": 5.0}}]
        assert layers.by_module() == [{None: 9.0, "early": 5.0, "late": 2.0}, {None: 9.0, "early": 5.0}]
        assert layers.present.tolist() == [[True] * 4, [True, True, False, False]]
        assert list(layers.take([1]).by_seed_layer()) == [{"early": {"0": 5.0}}]
        assert np.array_equal(layers.take([1]).norms, layers.norms[1:])
