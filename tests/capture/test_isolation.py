"""Isolation leakage: exactly 0 where nothing crosses, the gradient's norm where something does, None where nobody looked."""

import copy
import io
import math
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from examples.blueprints import BLUEPRINTS
from examples.host import ConvHost
from examples.train import Optimizers, Recipe
from karn_wandb.capture.isolation import IsolationProbe
from karn_wandb.capture.model import gradient_norm
from karn_wandb.records import SeedStage


class Slot(nn.Module):
    """A slot that leaks: the seed module's gradient goes back into x."""

    def __init__(self, seed=None, stage=SeedStage.TRAINING, alpha=0.5, slot_id="early"):
        super().__init__()
        self.slot_id, self.seed, self.stage, self.alpha = slot_id, seed, stage, alpha
        self.isolation_monitor = None

    @contextmanager
    def force_alpha(self, alpha):
        yield

    def forward(self, x):
        return x if self.seed is None else x + self.alpha * self.seed(x)


class StraightThrough(Slot):
    """The original project's isolation: the seed module learns, the host does not notice."""

    def forward(self, x):
        seeded = self.seed(x.detach())
        return x + (seeded - seeded.detach())


class ByKeyword(Slot):
    """Its seed module takes its input by keyword."""

    def forward(self, x):
        return x + self.alpha * self.seed(input=x)


class Host(nn.Module):
    """A layer, the slots, and a layer."""

    def __init__(self, *slots, width=3):
        super().__init__()
        self.before, self.after = nn.Linear(width, width), nn.Linear(width, 2)
        self.seed_slots = nn.ModuleDict({slot.slot_id: slot for slot in slots})

    def forward(self, x):
        x = self.before(x)
        for slot in self.seed_slots.values():
            x = slot(x)
        return self.after(x)

    def loss(self, x):
        return self(x).square().sum()


class Leakage:
    """A monitor of the simple kind."""

    def __init__(self, says):
        self.says = says

    def leakage(self):
        return self.says


class OldMonitor:
    """The original project's monitor as it first was: numbers only."""

    def check_isolation(self):
        return False, {"host_grad_norm": 2.0, "seed_grad_norm": 9.0}


class NewMonitor(OldMonitor):
    """The same as it is now: tensors, squared, and None without gradients."""

    def __init__(self, squared):
        self.squared = squared

    def check_isolation(self):
        raise AssertionError("this one makes the device wait")

    def check_isolation_async(self):
        return {"_async": True, "_host_norm_sq": self.squared, "_seed_norm_sq": torch.tensor(81.0)}


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


@contextmanager
def watching(model, slots=None):
    probe = IsolationProbe(model.seed_slots if slots is None else slots, model)
    probe.install()
    try:
        yield probe
    finally:
        probe.remove()


def images(count=4):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(count))


def leaked(model, *batches):
    """The reading after a backward pass of each batch, as a number."""
    with watching(model) as probe:
        for batch in batches or (images(),):
            model.loss(batch).backward()
        measured = probe.measure()
    return None if measured is None else measured.item()


def by_hand(model, slot, x):
    """Norm of the gradient that the slot's seed module hands back: taken at a separate input of its own."""
    through = model.before(x)
    own = through.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.after(through + slot.alpha * slot.seed(own)).square().sum(), own)
    return gradient.norm().item()


class TestWhatFlowsBackIntoTheHost:
    @settings(max_examples=25, deadline=None)
    @given(st.floats(0, 2), st.integers(1, 6))
    def test_of_a_leaky_slot_is_the_gradient_by_the_seed_module_s_path_alone(self, alpha, count):
        model = Host(slot := Slot(nn.Sequential(nn.Linear(3, 3), nn.Tanh()), alpha=alpha))
        assert leaked(model, images(count)) == pytest.approx(by_hand(model, slot, images(count)), rel=1e-5)

    def test_of_a_leaky_slot_is_not_zero(self):
        assert leaked(Host(Slot(nn.Linear(3, 3)))) > 0.01

    def test_of_a_straight_through_slot_is_exactly_zero(self):
        model = Host(StraightThrough(nn.Linear(3, 3)))
        assert leaked(model) == 0.0
        assert gradient_norm(model.seed_slots["early"].seed.parameters()) > 0

    def test_of_two_seed_modules_and_several_batches_is_their_norm_together(self):
        seeds = [nn.Linear(3, 3), nn.Linear(3, 3)]
        model = Host(*(Slot(seed, slot_id=name) for name, seed in zip("ab", seeds, strict=True)))
        both = leaked(model, images(2), images(5))
        each = []
        for isolated, other in ("ab", "ba"):
            model.seed_slots[other].stage = SeedStage.BLENDING
            each += [leaked(model, images(2)), leaked(model, images(5))]
            model.seed_slots[other].stage = model.seed_slots[isolated].stage
        assert both == pytest.approx(math.hypot(*each), rel=1e-5)

    def test_is_seen_when_the_input_comes_by_keyword(self):
        torch.manual_seed(1)
        seed = nn.Linear(3, 3)
        positional, keyword = Host(Slot(seed)), Host(ByKeyword(seed))
        keyword.load_state_dict(positional.state_dict())
        assert leaked(keyword) == pytest.approx(leaked(positional))

    def test_of_a_sparse_input_is_not_known(self):
        """It has no alias; training goes on, and nothing is said."""

        class Sparse(Slot):
            def forward(self, x):
                return x + torch.sparse.mm(self.seed(x.to_sparse()), torch.eye(3))

        assert leaked(Host(Sparse(nn.Identity()))) is None

    def test_is_nan_when_the_gradient_is(self):
        model = Host(Slot(nn.Linear(3, 3)))
        assert math.isnan(leaked(model, torch.full((1, 3), math.nan)))


class TestWhatReachesASeedModuleThatDoesNotTrainYet:
    def test_is_the_norm_of_its_parameters_gradient(self):
        model = Host(slot := StraightThrough(nn.Linear(3, 3), SeedStage.GERMINATED))
        assert leaked(model) == pytest.approx(gradient_norm(slot.seed.parameters()).item()) != 0

    def test_counts_together_with_what_flows_back(self):
        model = Host(slot := Slot(nn.Linear(3, 3), SeedStage.GERMINATED))
        back = by_hand(model, slot, images())
        measured = leaked(model)
        reached = gradient_norm(slot.seed.parameters()).item()
        assert measured == pytest.approx(math.hypot(back, reached), rel=1e-5)

    def test_is_exactly_zero_when_it_is_frozen_and_isolated(self):
        model = Host(StraightThrough(nn.Linear(3, 3).requires_grad_(requires_grad=False), SeedStage.GERMINATED))
        assert leaked(model) == 0.0

    def test_leaves_out_parameters_it_shares_with_the_host(self):
        model = Host(slot := StraightThrough(nn.Linear(3, 3), SeedStage.GERMINATED))
        slot.seed.weight = model.before.weight
        assert leaked(model) == pytest.approx(slot.seed.bias.grad.norm().item())


class TestTheExamplesSlots:
    """Isolated by construction: what passes through is x itself, and the seed module learns by rehearsal."""

    RECIPE = Recipe(epochs=2, width=4)

    def step(self, stage, *, watched=True):
        torch.manual_seed(0)
        model = ConvHost(self.RECIPE.width)
        for slot in model.slots():
            slot.germinate("norm", BLUEPRINTS["norm"](slot.channels))
            for following in (SeedStage.TRAINING, SeedStage.BLENDING):
                if slot.stage < stage:
                    slot.enter(following)
        optimizers = Optimizers(model, self.RECIPE, 5)
        probe = IsolationProbe(model.seed_slots, model)
        if watched:
            probe.install()
        optimizers.step(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]))
        return model, probe.measure()

    def test_read_exactly_zero_after_a_rehearsal(self):
        """The rehearsal runs the seed module with gradients on; taken for its parameters alone they do not reach x."""
        model, measured = self.step(SeedStage.TRAINING)
        assert measured.item() == 0.0
        assert all(gradient_norm(slot.seed.parameters()) > 0 for slot in model.slots())

    def test_read_nothing_while_the_seed_modules_do_not_run_or_are_blended_in(self):
        assert self.step(SeedStage.GERMINATED)[1] is None
        assert self.step(SeedStage.BLENDING)[1] is None

    def test_would_read_more_if_the_rehearsal_s_gradient_were_taken_for_everything(self):
        model, _ = self.step(SeedStage.TRAINING, watched=False)
        slot = next(iter(model.slots()))
        with watching(model) as probe, slot.force_alpha(1.0):
            model(torch.randn(2, 3, 32, 32)).sum().backward()
            assert probe.measure().item() > 0

    def test_train_the_same_to_the_bit_when_watched(self):
        (watched, _), (alone, _) = self.step(SeedStage.TRAINING), self.step(SeedStage.TRAINING, watched=False)
        assert all(torch.equal(p, q) for p, q in zip(watched.parameters(), alone.parameters(), strict=True))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("slot", [Slot, StraightThrough])
def test_the_gradients_are_the_same_to_the_bit_with_the_probe(slot, inplace):
    """Also of a seed module that works in place, on its own values."""
    gradients = []
    for look in (leaked, lambda model: model.loss(images()).backward()):
        torch.manual_seed(0)
        model = Host(slot(nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=inplace), nn.Linear(3, 3))))
        look(model)
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(p, q) for p, q in zip(*gradients, strict=True))


class TestNothingIsSaid:
    @pytest.mark.parametrize("stage", set(SeedStage) - {SeedStage.GERMINATED, SeedStage.TRAINING})
    def test_when_no_seed_module_is_isolated(self, stage):
        assert leaked(Host(Slot(nn.Linear(3, 3), stage))) is None

    def test_when_there_are_no_slots_or_no_seed_modules(self):
        assert leaked(Host()) is None
        assert leaked(Host(Slot(None))) is None

    def test_when_no_batch_came_by(self):
        with watching(Host(Slot(nn.Linear(3, 3)))) as probe:
            assert probe.measure() is None

    def test_of_a_batch_twice(self):
        model = Host(Slot(nn.Linear(3, 3)))
        with watching(model) as probe:
            model.loss(images()).backward()
            assert probe.measure() is not None
            assert probe.measure() is None

    def test_of_evaluation(self):
        model = Host(Slot(nn.Linear(3, 3)))
        with watching(model) as probe:
            with torch.no_grad():
                model(images())
            with torch.inference_mode():
                model(images())
            model.eval()
            model.loss(images()).backward()
            assert probe.measure() is None

    def test_before_it_is_installed_and_after_it_is_removed(self):
        model = Host(slot := Slot(nn.Linear(3, 3)))
        probe = IsolationProbe(model.seed_slots)
        for _ in range(2):
            model.loss(images()).backward()
            assert probe.measure() is None
            assert not slot.seed._forward_pre_hooks
            probe.install()
            assert slot.seed._forward_pre_hooks
            probe.remove()


class TestSeedModulesComeAndGo:
    def test_a_new_one_is_seen_after_refresh_and_the_old_one_is_let_go(self):
        model = Host(slot := Slot(old := nn.Linear(3, 3)))
        with watching(model) as probe:
            slot.seed = nn.Linear(3, 3)
            probe.refresh()
            assert not old._forward_pre_hooks
            model.loss(images()).backward()
            assert probe.measure().item() == pytest.approx(by_hand(model, slot, images()), rel=1e-5)

    def test_a_new_one_is_seen_from_the_measure_after_it_on(self):
        model = Host(slot := Slot(None))
        with watching(model) as probe:
            slot.seed = nn.Linear(3, 3)
            model.loss(images()).backward()
            assert probe.measure() is None
            model.loss(images()).backward()
            assert probe.measure().item() > 0

    def test_one_that_is_pruned_keeps_no_hook(self):
        model = Host(slot := Slot(old := nn.Linear(3, 3)))
        with watching(model) as probe:
            slot.seed, slot.stage = None, SeedStage.PRUNED
            probe.refresh()
            assert not old._forward_pre_hooks
            assert probe.measure() is None

    def test_refreshing_again_adds_no_second_hook(self):
        model = Host(slot := Slot(nn.Linear(3, 3)))
        with watching(model) as probe:
            probe.refresh()
            probe.install()
            assert len(slot.seed._forward_pre_hooks) == 1


class TestCopies:
    def test_a_copied_model_has_no_part_in_the_reading(self):
        model = Host(Slot(nn.Linear(3, 3)))
        with watching(model) as probe:
            copied = copy.deepcopy(model)
            copied.loss(images()).backward()
            assert probe.measure() is None

    def test_a_seed_module_that_is_saved_whole_takes_nothing_else_along_and_runs_when_loaded(self):
        model = Host(slot := Slot(nn.Linear(3, 3)), width=3)
        model.ballast = nn.Linear(500, 500)
        slot.host = [model]
        with watching(model):
            torch.save(slot.seed, file := io.BytesIO())
        assert len(file.getvalue()) < 10_000
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        assert torch.equal(loaded(images()), slot.seed(images()))


def test_compiled_models_are_not_monitored_and_their_graph_is_not_broken():
    model = Host(Slot(nn.Linear(3, 3)))
    with watching(model) as probe:
        explained = torch._dynamo.explain(model)(images())
        assert (explained.graph_count, explained.graph_break_count) == (1, 0)
        torch.compile(model, backend="eager", fullgraph=True)(images()).sum().backward()
        assert probe.measure() is None
        model.loss(images()).backward()
        assert probe.measure().item() > 0
    torch._dynamo.reset()


@pytest.mark.parametrize("stage", [SeedStage.GERMINATED, SeedStage.TRAINING])
@pytest.mark.parametrize("slot", [Slot, StraightThrough])
def test_no_value_is_read_on_the_hot_path(slot, stage):
    """Meta tensors have none."""
    with torch.device("meta"):
        model = Host(slot(nn.Linear(3, 3), stage), Slot(nn.Linear(3, 3), stage, slot_id="late"))
        batch = torch.randn(4, 3)
    with watching(model) as probe:
        model.loss(batch).backward()
        measured = probe.measure()
    assert measured.is_meta
    assert measured.shape == ()
    assert not measured.requires_grad


class TestMonitorsOfTheProjectItself:
    @pytest.mark.parametrize(
        ("monitor", "reading"),
        [
            (Leakage(torch.tensor(3.0, requires_grad=True)), 3.0),
            (Leakage(0.0), 0.0),
            (Leakage(None), None),
            (OldMonitor(), 2.0),
            (NewMonitor(torch.tensor(16.0)), 4.0),
            (NewMonitor(None), None),
        ],
    )
    @pytest.mark.parametrize("owner", ["host", "slot"])
    def test_are_asked_instead(self, owner, monitor, reading):
        """The newer one for its tensors: its other method would make the device wait."""
        model = Host(slot := Slot(nn.Linear(3, 3)))
        (model if owner == "host" else slot).isolation_monitor = monitor
        assert leaked(model) == reading

    def test_of_one_slot_count_together_with_what_is_measured_at_the_others(self):
        model = Host(Slot(nn.Linear(3, 3), slot_id="a"), Slot(nn.Linear(3, 3), slot_id="b"))
        model.seed_slots["a"].isolation_monitor = Leakage(0.0)
        only_b = leaked(model)
        model.seed_slots["a"].isolation_monitor = Leakage(3.0)
        assert leaked(model) == pytest.approx(math.hypot(3.0, only_b), rel=1e-5)
        assert only_b > 0

    @pytest.mark.parametrize("owner", ["host", "slot"])
    def test_are_not_asked_while_nothing_is_isolated(self, owner):
        model = Host(slot := Slot(nn.Linear(3, 3), SeedStage.BLENDING))
        (model if owner == "host" else slot).isolation_monitor = Leakage(3.0)
        assert leaked(model) is None

    def test_that_cannot_be_asked_leave_the_measuring_to_the_probe(self):
        model = Host(slot := Slot(nn.Linear(3, 3)))
        measured = leaked(model)
        model.isolation_monitor = slot.isolation_monitor = object()
        assert leaked(model) == measured > 0

    def test_give_readings_that_carry_no_graph(self):
        model = Host(slot := Slot(nn.Linear(3, 3)))
        slot.isolation_monitor = Leakage(torch.tensor(3.0, requires_grad=True))
        with watching(model) as probe:
            assert not probe.measure().requires_grad
