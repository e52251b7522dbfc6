"""The networks whose training is timed: equal at every call, with seed modules that take part."""

from __future__ import annotations

import pytest
import torch

from benchmarks.models import TRAININGS, image_training, text_training
from karn_wandb import SeedStage


def test_what_can_be_trained_has_a_name():
    assert set(TRAININGS) == {"cnn32", "cnn128", "gpt"}


@pytest.mark.parametrize("make", [lambda: image_training(2, width=4), lambda: text_training(2, context=8, width=8, heads=2)])
class TestTraining:
    def test_two_calls_give_equal_numbers(self, make):
        assert [make().step().item() for _ in range(2)] == [make().step().item() for _ in range(2)]

    def test_a_step_moves_every_part_that_gets_a_gradient(self, make):
        """The seed modules' last layers, which start at zero, among them."""
        training = make()
        before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
        training.step()
        moved = {name for name, p in training.model.named_parameters() if not torch.equal(p, before[name])}
        for slot in ("early", "mid", "late"):
            assert any(name.startswith(f"seed_slots.{slot}.seed") for name in moved)
        assert any(not name.startswith("seed_slots") for name in moved)

    def test_the_seed_modules_are_half_blended_in(self, make):
        slots = make().model.slots()
        assert [(slot.stage, slot.alpha) for slot in slots] == [(SeedStage.BLENDING, 0.5)] * 3


def test_the_transformer_sees_no_later_token():
    training = text_training(1, context=8, width=8, heads=2)
    changed = training.inputs.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 256
    with torch.no_grad():
        before, after = training.model(training.inputs), training.model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])
