"""Digits as a task: parts that share nothing, a narrow host, and a training of seconds that growing helps."""

import pytest
import torch

from examples.digits import digits
from examples.heuristic import Heuristic
from examples.perceptron import PerceptronHost
from examples.tasks import DIGITS
from examples.train import Optimizers, evaluate, parsed, read
from karn_wandb import SeedStage


@pytest.fixture(scope="module")
def data():
    return digits()


def test_the_parts_are_all_digits_each_once(data):
    parts = (data.training, data.steering, data.validation)
    assert [len(part.targets) for part in parts] == [1000, 400, 397]
    rows = torch.cat([torch.cat((part.inputs, part.targets.unsqueeze(1)), dim=1) for part in parts])
    assert len(rows) == 1797
    assert {tuple(row) for row in data.training.inputs.tolist()}.isdisjoint(map(tuple, data.validation.inputs.tolist()))


def test_pixels_are_between_minus_one_and_one(data):
    assert (float(data.training.inputs.min()), float(data.training.inputs.max())) == (-1.0, 1.0)


def test_the_same_seed_cuts_the_same_parts_and_another_one_others(data):
    assert digits().sha256() == data.sha256()
    assert digits(seed=1).sha256() != data.sha256()


def test_the_host_has_a_slot_on_its_input_and_one_behind_each_layer():
    host = PerceptronHost(features=64, width=8)
    assert [(slot.slot_id, slot.channels) for slot in host.slots()] == [("early", 64), ("mid", 8), ("late", 8)]
    assert host(torch.zeros(3, 64)).shape == (3, 10)
    assert sum(p.numel() for p in host.host_parameters()) == 64 * 8 + 8 + 8 * 8 + 8 + 8 * 10 + 10


@pytest.mark.parametrize("slot_id", ["early", "mid", "late"])
@pytest.mark.parametrize("blueprint", DIGITS.blueprints)
def test_every_seed_module_starts_as_the_identity(slot_id, blueprint):
    torch.manual_seed(0)
    host = PerceptronHost(features=64)
    inputs = torch.rand(5, 64)
    before = host(inputs)
    slot = host.seed_slots[slot_id]
    slot.germinate(blueprint, DIGITS.blueprints[blueprint](slot.channels))
    with slot.force_alpha(1.0):
        assert torch.equal(host(inputs), before)


def trained(data, seed, *, grown):
    recipe = data.task.recipe
    torch.manual_seed(seed)
    model = data.task.host(recipe, len(data.classes))
    optimizers = Optimizers(model, recipe, data.steps(recipe.batch_size))
    order = torch.Generator().manual_seed(seed)
    heuristic = Heuristic(model.slots(), seed, recipe.epochs * 6 // 10, data.task)
    for epoch in range(1, recipe.epochs + 1):
        for slot in model.slots():
            slot.begin_epoch()
        for inputs, targets in data.epoch(recipe.batch_size, order):
            optimizers.step(inputs, targets)
        if grown:
            score = evaluate(model, data.steering)[1]
            growing = [s for s in model.slots() if s.seed is not None and s.stage is not SeedStage.FOSSILIZED]
            for _ in heuristic.steps(epoch, score, {s.slot_id: read(model, s, heuristic, data, score) for s in growing}):
                pass
    return evaluate(model, data.validation)[1]


def test_growing_by_the_heuristic_helps_the_narrow_host(data):
    gains = [trained(data, seed, grown=True) - trained(data, seed, grown=False) for seed in range(100, 104)]
    assert sum(gains) / len(gains) > 4


def test_a_task_brings_its_own_number_of_epochs():
    assert [parsed(["--task", task]).epochs for task in ("images", "text", "digits")] == [30, 30, 16]
    assert parsed(["--task", "digits", "--epochs", "3"]).epochs == 3
