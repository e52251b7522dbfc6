"""Isolation in the trainer: an isolated seed module learns by rehearsal, and the host does not notice by a bit."""

import pytest
import torch

from examples.blueprints import BLUEPRINTS
from examples.host import ConvHost
from examples.train import Optimizers, Recipe
from karn_wandb.records import SeedStage

RECIPE = Recipe(epochs=2, width=4, lr=0.01)
STEPS = 5


def trained(blueprint=None):
    """A host after some steps, with an isolated seed module of this blueprint in every slot, or with none."""
    torch.manual_seed(0)
    model = ConvHost(RECIPE.width)
    for slot in model.slots() if blueprint else ():
        slot.germinate(blueprint, BLUEPRINTS[blueprint](slot.channels))
        slot.enter(SeedStage.TRAINING)
    optimizers = Optimizers(model, RECIPE, STEPS)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(STEPS):
        images = torch.randn(8, 3, 32, 32, generator=generator)
        batch = optimizers.step(images, torch.randint(10, (8,), generator=generator))
        losses.append(batch.loss.item())
    return model, losses


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_the_host_is_trained_as_if_the_isolated_seed_modules_were_not_there(blueprint):
    (grown, losses), (alone, losses_alone) = trained(blueprint), trained()
    assert losses == losses_alone
    assert all(torch.equal(p, q) for p, q in zip(grown.host_parameters(), alone.host_parameters(), strict=True))


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_the_isolated_seed_modules_learn_all_the_same(blueprint):
    """Each starts as the exact identity; after a few steps of rehearsal it is no longer."""
    for slot in trained(blueprint)[0].slots():
        x = torch.randn(2, slot.channels, 4, 4)
        assert not torch.equal(slot.seed(x), x)
