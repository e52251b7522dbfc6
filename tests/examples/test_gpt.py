"""The language model: it sees no later character, nor do its seed modules; until blending it is the host alone."""

from __future__ import annotations

import pytest
import torch

from examples.gpt import GPT
from examples.tasks import TEXT
from examples.text_blueprints import BLUEPRINTS
from examples.train import Optimizers, Recipe
from karn_wandb.records import SeedStage

VOCABULARY, WIDTH, CONTEXT = 11, 16, 12
RECIPE = Recipe(epochs=2, lr=0.01, label_smoothing=0.0)
STEPS = 4


def made(width=WIDTH):
    torch.manual_seed(0)
    return GPT(VOCABULARY, width, context=CONTEXT)


def grown(blueprint, stage=SeedStage.TRAINING):
    """With a seed module of this blueprint in every slot, which does something; without any for None."""
    model = made()
    for slot in model.slots() if blueprint else ():
        seed = BLUEPRINTS[blueprint](slot.channels)
        slot.germinate(blueprint, seed)
        for following in (SeedStage.TRAINING, SeedStage.BLENDING, SeedStage.HOLDING):
            if slot.stage is not stage:
                slot.enter(following)
    return model


def tokens(n=3):
    return torch.randint(VOCABULARY, (n, CONTEXT), generator=torch.Generator().manual_seed(1))


def count(parameters):
    return sum(p.numel() for p in parameters)


@pytest.mark.parametrize("blueprint", [None, *BLUEPRINTS])
def test_a_later_character_changes_no_earlier_prediction(blueprint):
    model = grown(blueprint, SeedStage.HOLDING).eval()
    for slot in model.slots() if blueprint else ():
        for parameter in slot.seed.parameters():
            torch.nn.init.normal_(parameter)
    x = tokens()
    with torch.no_grad():
        before = model(x)
        for place in range(CONTEXT):
            changed = x.clone()
            changed[:, place] = (changed[:, place] + 1) % VOCABULARY
            after = model(changed)
            assert torch.equal(after[:, :place], before[:, :place])
            assert not torch.equal(after[:, place:], before[:, place:])


def test_fewer_characters_than_the_context_are_predicted_as_its_beginning():
    model = made().eval()
    with torch.no_grad():
        torch.testing.assert_close(model(tokens()[:, :5]), model(tokens())[:, :5])


@pytest.mark.parametrize("width", [16, 64])
def test_the_host_is_as_large_as_its_six_blocks(width):
    """Counted by hand: embeddings, then a block's 12 w^2 of matrices, 9 w of their biases and 4 w of norms; norm and head."""
    host = made(width)
    expected = VOCABULARY * width + CONTEXT * width + 6 * (12 * width**2 + 13 * width) + 2 * width + VOCABULARY * width
    assert count(host.host_parameters()) == count(host.parameters()) == expected


def test_slots_are_behind_every_second_block_and_as_wide_as_the_model():
    seen = []
    model = made()
    for place, block in enumerate(block for third in model.thirds for block in third):
        block.register_forward_hook(lambda *_, place=place: seen.append(place))
    for slot in model.slots():
        slot.register_forward_hook(lambda slot, *_: seen.append(slot.slot_id))
    model(tokens())
    assert seen == [0, 1, "early", 2, 3, "mid", 4, 5, "late"]
    assert {slot.channels for slot in model.slots()} == {WIDTH}


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_a_new_seed_module_is_exactly_the_identity_and_can_learn(blueprint, width):
    seed = BLUEPRINTS[blueprint](width)
    x = torch.randn(2, 5, width)
    assert torch.equal(seed(x), x)
    seed(x).square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in seed.parameters())


def test_blueprints_are_listed_smallest_first_and_the_plan_names_them():
    sizes = [count(make(64).parameters()) for make in BLUEPRINTS.values()]
    assert sizes == sorted(sizes)
    assert sizes[0] == 2 * 64
    assert {blueprint for tried in TEXT.plan.values() for blueprint in tried} == set(BLUEPRINTS)
    assert set(TEXT.plan) == {slot.slot_id for slot in made().slots()}


def trained(blueprint):
    """After some steps, with an isolated seed module of this blueprint in every slot, or with none."""
    model = grown(blueprint)
    optimizers = Optimizers(model, RECIPE, STEPS)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for _ in range(STEPS):
        x = torch.randint(VOCABULARY, (4, CONTEXT + 1), generator=generator)
        losses.append(optimizers.step(x[:, :-1], x[:, 1:]).loss.item())
    return model, losses


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_isolated_seed_modules_learn_and_the_host_does_not_notice_by_a_bit(blueprint):
    (model, losses), (alone, losses_alone) = trained(blueprint), trained(None)
    assert losses == losses_alone
    assert all(torch.equal(p, q) for p, q in zip(model.host_parameters(), alone.host_parameters(), strict=True))
    x = torch.randn(2, 4, WIDTH)
    assert not any(torch.equal(slot.seed(x), x) for slot in model.slots())
