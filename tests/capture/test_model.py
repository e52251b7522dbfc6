"""A model seen from outside: found by structure, each parameter counted once, the norm of a group as PyTorch has it."""

import math
from contextlib import contextmanager
from enum import IntEnum

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from karn_wandb.capture import AttachedModel, HostLike, SlotLike
from karn_wandb.capture.model import find_slots, gradient_norm, owned_parameters, slot_snapshot, slot_width
from karn_wandb.errors import RecordError, UsageError
from karn_wandb.records import HostSnapshot, SeedStage, SlotSnapshot


class Slot(nn.Module):
    """The least a slot may be."""

    def __init__(self, slot_id="early", seed=None, stage=SeedStage.TRAINING, alpha=0.5):
        super().__init__()
        self.slot_id, self.seed, self.stage, self.alpha = slot_id, seed, stage, alpha

    @contextmanager
    def force_alpha(self, alpha):
        yield


class Host(nn.Module):
    """A layer of 6 parameters, and slots."""

    def __init__(self, **seeds):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.seed_slots = nn.ModuleDict({name: Slot(name, seed) for name, seed in seeds.items()})


def parameter(grad, dtype=None):
    made = nn.Parameter(torch.zeros_like(torch.as_tensor(grad, dtype=dtype)))
    made.grad = torch.as_tensor(grad, dtype=dtype)
    return made


class TestGradientNorm:
    @given(
        st.lists(
            st.tuples(
                st.lists(st.floats(-1e4, 1e4, width=32), max_size=5),
                st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
                st.booleans(),
            ),
            max_size=5,
        )
    )
    def test_is_that_of_all_gradients_laid_end_to_end(self, drawn):
        """Against the definition in double precision; values that half precision cannot hold are rounded before."""
        parameters, flat = [], [torch.zeros(0, dtype=torch.float64)]
        for values, dtype, has_grad in drawn:
            made = parameter(torch.tensor(values, dtype=dtype)) if has_grad else nn.Parameter(torch.zeros(3))
            parameters.append(made)
            flat += [made.grad.double()] if has_grad else []
        norm = gradient_norm(parameters)
        if len(flat) == 1:
            assert norm is None
        else:
            assert norm.item() == pytest.approx(torch.cat(flat).norm().item(), rel=1e-5)

    def test_agrees_with_pytorch_s_own_after_a_backward_pass(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5))
        model(torch.randn(7, 3, 6, 6)).square().mean().backward()
        measured = gradient_norm(model.parameters())
        assert measured.item() == pytest.approx(nn.utils.clip_grad_norm_(model.parameters(), math.inf).item(), rel=1e-6)
        assert not measured.requires_grad

    def test_does_not_overflow_in_half_precision(self):
        big = parameter([60000.0, 60000.0, 60000.0, 60000.0], dtype=torch.float16)
        assert gradient_norm([big]).item() == pytest.approx(119_999, rel=1e-3)

    def test_keeps_double_precision(self):
        assert gradient_norm([parameter([1e100], torch.float64), parameter([1.0], torch.float32)]).item() == 1e100

    def test_takes_repeated_entries_of_a_sparse_gradient_together(self):
        embedding = nn.Embedding(4, 2, sparse=True)
        embedding(torch.tensor([1, 1, 3])).sum().backward()
        assert gradient_norm(embedding.parameters()).item() == pytest.approx(math.sqrt(2 * 2**2 + 2 * 1))

    def test_of_an_empty_sparse_gradient_is_zero(self):
        embedding = nn.Embedding(4, 2, sparse=True)
        embedding(torch.zeros(0, dtype=torch.long)).sum().backward()
        assert gradient_norm(embedding.parameters()).item() == 0.0

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_shows_what_is_not_finite(self, bad):
        assert not math.isfinite(gradient_norm([parameter([1.0]), parameter([bad])]).item())

    def test_is_not_there_without_gradients(self):
        assert gradient_norm([]) is None
        assert gradient_norm(nn.Linear(2, 2).parameters()) is None

    def test_changes_no_gradient(self):
        grads = [torch.tensor([1.0, 2.0]), torch.tensor([3.0], dtype=torch.bfloat16)]
        parameters = [parameter(g.clone()) for g in grads]
        gradient_norm(parameters)
        assert all(torch.equal(p.grad, g) and p.grad.dtype is g.dtype for p, g in zip(parameters, grads, strict=True))

    def test_reads_no_value(self):
        """On the meta device there are no values: reading one raises."""
        grads = [torch.ones(3, device="meta"), torch.ones(2, device="meta", dtype=torch.bfloat16)]
        norm = gradient_norm([parameter(g) for g in grads])
        assert (norm.device.type, norm.shape) == ("meta", ())
        with pytest.raises(RuntimeError):
            norm.item()


class TestParameters:
    def test_host_and_seed_modules_are_counted_apart(self):
        host = Host(early=nn.Linear(2, 1), late=None)
        host.seed_slots["early"].stage = SeedStage.FOSSILIZED
        assert AttachedModel(host).parameter_counts() == {
            "host_params": 6,
            "total_seed_params": 3,
            "total_params": 9,
            "fossilized_params": 3,
        }

    def test_a_model_without_slots_is_a_host_alone(self):
        attached = AttachedModel(nn.Linear(2, 2))
        assert attached.slots == {}
        assert attached.slot_snapshots() == {}
        counts = attached.parameter_counts()
        assert counts == {"host_params": 6, "total_seed_params": 0, "total_params": 6, "fossilized_params": 0}

    @settings(max_examples=50)
    @given(st.permutations(range(4)), st.sets(st.integers(0, 3)), st.sets(st.integers(0, 3)))
    def test_each_parameter_is_counted_once_whoever_shares_it(self, order, early, late):
        """Shared ones belong to the host, those that seed modules share to the first."""
        pool = [nn.Parameter(torch.zeros(10**n)) for n in range(4)]  # a digit each, so that a sum shows which are in it
        seeds = {"early": nn.ParameterList([pool[n] for n in early]), "late": nn.ParameterList([pool[n] for n in late])}
        host = Host(**seeds)
        host.fc = nn.ParameterList([pool[order[0]], pool[order[1]], pool[order[0]]])
        attached, mine = AttachedModel(host), {order[0], order[1]}
        counts = attached.parameter_counts()
        assert counts["host_params"] == sum(10**n for n in mine)
        assert counts["total_seed_params"] == sum(10**n for n in (early | late) - mine)
        assert counts["total_params"] == sum(p.numel() for p in host.parameters())
        snapshots = attached.slot_snapshots()
        assert snapshots["early"].seed_params == sum(10**n for n in early - mine)
        assert snapshots["late"].seed_params == sum(10**n for n in late - early - mine)
        assert HostSnapshot(epoch=1, **counts).total_params == counts["total_params"]

    def test_a_seed_module_that_is_not_registered_in_the_model_is_counted_too(self):
        slot = Slot(seed=nn.Linear(2, 1))
        counts = AttachedModel(nn.Linear(2, 2), slots={"early": slot}).parameter_counts()
        assert (counts["host_params"], counts["total_seed_params"]) == (6, 3)

    def test_are_found_with_their_first_owner_the_host_s_first(self):
        host = Host(early=nn.Sequential(nn.Linear(2, 2)), late=nn.Linear(2, 2))
        early, late = host.seed_slots["early"].seed[0], host.seed_slots["late"].seed
        early.weight, late.bias = host.fc.weight, early.bias
        assert list(owned_parameters(host, find_slots(host))) == [
            (None, "fc", "fc", host.fc.weight),
            (None, "fc", "fc", host.fc.bias),
            ("early", "seed_slots.early.seed.0", "0", early.bias),
            ("late", "seed_slots.late.seed", "", late.weight),
        ]

    def test_what_grows_and_goes_is_seen_without_attaching_again(self):
        host = Host(early=None)
        attached = AttachedModel(host)
        assert attached.parameter_counts()["total_seed_params"] == 0
        host.seed_slots["early"].seed = nn.Linear(2, 1)
        assert attached.parameter_counts()["total_seed_params"] == 3
        host.seed_slots["early"].seed = None
        assert attached.parameter_counts()["total_seed_params"] == 0


class TestSlots:
    def test_are_found_by_structure(self):
        host = Host(early=None)
        assert isinstance(host, HostLike)
        assert isinstance(host.seed_slots["early"], SlotLike)
        assert set(find_slots(host)) == {"early"}

    def test_that_are_given_win(self):
        assert set(find_slots(Host(early=None), {"x": Slot("other")})) == {"other"}

    def test_of_a_model_that_has_none_are_none(self):
        assert find_slots(Host()) == {}
        assert find_slots(Host(early=None), {}) == {}

    @pytest.mark.parametrize(
        ("slots", "message"),
        [
            (
                {"fc": nn.Dropout()},
                "'fc' is no slot; got a Dropout without slot_id, alpha, stage, seed, force_alpha. "  # noqa: ISC004 -- one text
                "A slot has slot_id, alpha, stage, seed and force_alpha(alpha).",
            ),
            ([Slot()], "slots must be a mapping; got a list. Pass {name: slot} or an nn.ModuleDict."),
            ({"a": Slot("x"), "b": Slot("x")}, "two slots have the slot_id 'x'. Give each slot its own."),
        ],
        ids=["no slot", "no mapping", "one name twice"],
    )
    def test_that_are_none_are_refused(self, slots, message):
        with pytest.raises(UsageError) as caught:
            AttachedModel(nn.Linear(2, 2), slots)
        assert str(caught.value) == message

    def test_say_their_state(self):
        slot = Slot("early", nn.Linear(2, 1), SeedStage.BLENDING, 0.25)
        assert slot_snapshot(slot, 3) == SlotSnapshot("early", SeedStage.BLENDING, seed_params=3, alpha=0.25)
        slot.seed_id, slot.blueprint_id, slot.epochs_in_stage = "s1", "norm", 4
        assert slot_snapshot(slot, 3) == SlotSnapshot("early", SeedStage.BLENDING, 4, "s1", "norm", 3, 0.25)

    def test_that_are_empty_have_neither_alpha_nor_seed_module(self):
        slot = Slot("early", None, SeedStage.PRUNED, 0.25)
        slot.seed_id = slot.blueprint_id = "left over"
        assert slot_snapshot(slot, 0) == SlotSnapshot("early", SeedStage.PRUNED)

    def test_may_use_an_enum_of_their_own_with_the_same_integers(self):
        other = IntEnum("other", {stage.name: int(stage) for stage in SeedStage})
        assert slot_snapshot(Slot(stage=other.HOLDING), 0).stage is SeedStage.HOLDING

    @pytest.mark.parametrize("stage", [5, "TRAINING", None])
    def test_in_no_stage_are_refused(self, stage):
        with pytest.raises(UsageError) as caught:
            AttachedModel(nn.Linear(2, 2), {"early": Slot(stage=stage)}).slot_snapshots()
        assert str(caught.value) == f"slot 'early' is in no stage; got {stage!r}. Its stage is a karn_wandb.SeedStage."

    def test_with_an_impossible_alpha_are_refused(self):
        with pytest.raises(RecordError) as caught:
            slot_snapshot(Slot(alpha=1.2), 0)
        assert str(caught.value) == "SlotSnapshot.alpha must be between 0 and 1; got 1.2."

    def test_say_their_width_or_zero(self):
        slot = Slot()
        assert slot_width(slot) == 0
        slot.channels = 64
        assert slot_width(slot) == 64


@settings(max_examples=20)
@given(st.sampled_from(SeedStage))
def test_fossilized_parameters_are_those_of_fossilized_seed_modules(stage):
    host = Host(early=nn.Linear(2, 1), late=nn.Linear(2, 2))
    host.seed_slots["early"].stage = stage
    expected = 3 if stage is SeedStage.FOSSILIZED else 0
    assert AttachedModel(host).parameter_counts()["fossilized_params"] == expected
