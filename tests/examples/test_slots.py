"""Slots: isolation while training, blending by alpha, legal lives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from examples.blueprints import BLUEPRINTS
from examples.host import ConvHost
from examples.slots import SeedSlot, cosine, linear
from karn_wandb import KarnError, SeedStage
from karn_wandb.records import LEGAL_TRANSITIONS

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def grown(stage: SeedStage) -> ConvHost:
    """A host whose middle slot holds a seed module that changes what passes through, in the given stage."""
    torch.manual_seed(0)
    model = ConvHost()
    slot = model.seed_slots["mid"]
    seed = BLUEPRINTS["conv_light"](slot.channels)
    for parameter in seed.parameters():
        torch.nn.init.normal_(parameter)
    slot.germinate("conv_light", seed)
    for following in (SeedStage.TRAINING, SeedStage.BLENDING, SeedStage.HOLDING):
        if slot.stage is not stage:
            slot.enter(following)
    return model


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
@pytest.mark.parametrize("channels", [4, 8, 32])
def test_every_blueprint_starts_as_the_identity_and_can_learn(blueprint, channels):
    seed = BLUEPRINTS[blueprint](channels)
    x = torch.randn(2, channels, 8, 8)
    assert_close(seed(x), x)
    seed(x).square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in seed.parameters())


def test_a_seed_module_in_training_changes_neither_output_nor_gradients_of_the_host():
    with_seed = grown(SeedStage.TRAINING)
    torch.manual_seed(0)
    alone = ConvHost()
    for model in (with_seed, alone):
        model(IMAGES).square().sum().backward()
    assert torch.equal(with_seed(IMAGES), alone(IMAGES))
    for mine, its in zip(with_seed.host_parameters(), alone.host_parameters(), strict=True):
        assert torch.equal(mine.grad, its.grad)
    assert all(p.grad is None for p in with_seed.seed_slots["mid"].seed.parameters())


def test_alpha_blends_between_without_and_with():
    model = grown(SeedStage.HOLDING)
    slot = model.seed_slots["mid"]
    x = torch.randn(2, slot.channels, 8, 8)
    with slot.force_alpha(0.25):
        assert_close(slot(x), x + 0.25 * (slot.seed(x) - x))
    with slot.force_alpha(0.0):
        assert torch.equal(slot(x), x)
    assert_close(slot(x), slot.seed(x))


def test_forced_alphas_are_nested_and_undone_even_when_something_raises():
    slot = grown(SeedStage.HOLDING).seed_slots["mid"]
    x = torch.randn(1, slot.channels, 4, 4)
    before = slot(x)
    with pytest.raises(ZeroDivisionError), slot.force_alpha(0.0), slot.force_alpha(0.5):
        raise ZeroDivisionError
    assert torch.equal(slot(x), before)


def test_alpha_goes_from_0_to_1_along_its_curve():
    slot = grown(SeedStage.BLENDING).seed_slots["mid"]
    alphas = []
    for _ in range(slot.blend_epochs):
        slot.begin_epoch()
        alphas.append(slot.alpha)
    assert alphas == [cosine(k / slot.blend_epochs) for k in range(1, slot.blend_epochs + 1)]
    assert alphas[-1] == 1.0
    assert linear(0.3) == 0.3


def test_a_pruned_slot_comes_back_empty_after_its_rest():
    slot = grown(SeedStage.TRAINING).seed_slots["mid"]
    for stage in (SeedStage.PRUNED, SeedStage.EMBARGOED, SeedStage.RESETTING, SeedStage.DORMANT):
        slot.enter(stage)
    assert (slot.seed, slot.seed_id, slot.blueprint_id, slot.alpha) == (None, None, None, 0.0)


def test_a_stage_cannot_be_jumped():
    with pytest.raises(KarnError, match="slot 'a' cannot go from DORMANT to FOSSILIZED"):
        SeedSlot("a", 4).enter(SeedStage.FOSSILIZED)


@given(st.lists(st.sampled_from(SeedStage), max_size=12))
def test_no_sequence_of_requests_leaves_the_legal_path(stages):
    slot = SeedSlot("a", 4)
    for stage in stages:
        before = slot.stage
        if stage in LEGAL_TRANSITIONS[before]:
            slot.enter(stage)
            assert slot.stage is stage
        else:
            with pytest.raises(KarnError):
                slot.enter(stage)
            assert slot.stage is before


def test_an_occupied_slot_refuses_another_seed_module_and_keeps_its_own():
    slot = grown(SeedStage.TRAINING).seed_slots["mid"]
    kept = slot.seed
    with pytest.raises(KarnError):
        slot.germinate("norm", torch.nn.Identity())
    assert slot.seed is kept
    assert slot.seed_id == "mid-1"


def test_a_pruned_seed_module_is_named_until_its_slot_is_free():
    slot = grown(SeedStage.TRAINING).seed_slots["mid"]
    slot.enter(SeedStage.PRUNED)
    assert (slot.seed, slot.seed_id, slot.blueprint_id) == (None, "mid-1", "conv_light")
