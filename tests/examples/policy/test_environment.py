"""A host in training as an environment: what is legal, what happens by itself, what the reward is the sum of."""

import math
from dataclasses import replace

import pytest
import torch

from examples.digits import digits
from examples.policy.actions import OPS
from examples.policy.environment import Growth
from examples.policy.reward import Weights, total
from examples.train import evaluate
from karn_wandb import FactoredAction, SeedStage

WAIT = FactoredAction(op="WAIT")


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture
def growth(data):
    return Growth(data, replace(data.task.recipe, epochs=8), 3, Weights())


def germinate(slot, blueprint="norm"):
    return FactoredAction(op="GERMINATE", slot=slot, blueprint=blueprint)


def ops(growth):
    legal = growth.legal()
    return {
        op: {slot for slot, allowed in zip(growth.slots, row, strict=True) if allowed}
        for op, row in zip(OPS, legal.slot.tolist(), strict=True)
        if op != "WAIT" and any(row)
    }


def stages(growth):
    return {name: slot.stage.name for name, slot in growth.slots.items()}


def test_at_first_everything_may_germinate_and_nothing_else_may_be_done(growth):
    assert ops(growth) == {"GERMINATE": {"early", "mid", "late"}}
    assert growth.legal().op.tolist() == [True, True, False, False, False]


def test_a_seed_module_goes_through_its_life_by_what_is_decided_and_what_happens_by_itself(growth):
    growth.step(germinate("early", "adapter"))
    assert stages(growth)["early"] == "TRAINING"
    assert ops(growth) == {"GERMINATE": {"mid", "late"}, "ADVANCE": {"early"}, "PRUNE": {"early"}}
    growth.step(FactoredAction(op="ADVANCE", slot="early", blend="linear"))
    assert (stages(growth)["early"], growth.slots["early"].alpha) == ("BLENDING", 0.5)
    growth.step(WAIT)
    assert stages(growth)["early"] == "HOLDING"
    assert ops(growth)["FOSSILIZE"] == {"early"}
    growth.step(FactoredAction(op="FOSSILIZE", slot="early"))
    assert stages(growth)["early"] == "FOSSILIZED"
    assert ops(growth) == {"GERMINATE": {"mid", "late"}}


def test_a_change_says_whether_a_controller_asked_for_it_or_it_came_by_itself(growth):
    changes = growth.step(germinate("early")).changes + growth.step(FactoredAction(op="PRUNE", slot="early")).changes
    assert [(change.to_stage.name, change.initiator) for change in changes] == [
        ("GERMINATED", "controller"),
        ("TRAINING", "automatic"),
        ("PRUNED", "controller"),
        ("EMBARGOED", "automatic"),
    ]


def test_the_blend_that_was_chosen_is_the_curve_of_alpha(growth):
    growth.step(germinate("late"))
    growth.slots["late"].blend_epochs = 4
    growth.step(FactoredAction(op="ADVANCE", slot="late", blend="cosine"))
    assert growth.slots["late"].alpha == pytest.approx((1 - math.cos(math.pi / 4)) / 2)


def test_a_pruned_slot_rests_and_is_free_again(growth):
    growth.step(germinate("mid"))
    growth.step(FactoredAction(op="PRUNE", slot="mid"))
    seen = [stages(growth)["mid"]]
    for _ in range(2):
        growth.step(WAIT)
        seen.append(stages(growth)["mid"])
    assert seen == ["EMBARGOED", "RESETTING", "DORMANT"]


def test_what_does_not_fit_the_budget_is_illegal(growth):
    free = growth.data.task.thresholds.parameter_budget
    growth.step(germinate("early", "perceptron"))
    left = free - growth.heuristic.present()
    allowed = growth.legal().blueprint[list(growth.slots).index("late")]
    assert [growth.size("late", name) <= left for name in growth.space.blueprints] == allowed.tolist()
    assert growth.size("early", "perceptron") == growth.heuristic.present()


def test_what_is_not_fossilized_is_taken_out_at_the_end_and_the_reward_says_what_that_changed(data):
    growth = Growth(data, replace(data.task.recipe, epochs=4), 3, Weights(shaping=0.0, rent=0.0))
    start = growth.score
    actions = [germinate("early", "adapter"), FactoredAction(op="ADVANCE", slot="early", blend="linear"), WAIT, WAIT]
    steps = [growth.step(action) for action in actions]
    assert growth.done
    assert stages(growth)["early"] == "PRUNED"
    assert [change.to_stage.name for step in steps for change in step.changes] == [
        "GERMINATED",
        "TRAINING",
        "BLENDING",
        "HOLDING",
        "PRUNED",
    ]
    assert steps[-1].reward.terminal_bonus != 0
    assert growth.score == evaluate(growth.model, data.steering)[1]
    assert sum(total(step.reward) for step in steps) == pytest.approx(0.1 * (growth.score - start))


def test_the_shaping_sums_to_nothing_over_an_episode(growth):
    actions = [germinate("early", "norm"), FactoredAction(op="ADVANCE", slot="early", blend="linear"), WAIT]
    actions += [FactoredAction(op="FOSSILIZE", slot="early"), germinate("late", "norm"), WAIT, WAIT, WAIT]
    bonuses = [growth.step(action).reward.pbrs_bonus for action in actions]
    assert any(bonus > 0 for bonus in bonuses)
    assert sum(bonuses) == pytest.approx(0)


def test_rent_is_paid_for_every_doubling_by_seed_modules_in_every_epoch(growth):
    assert growth.step(WAIT).reward.compute_rent == 0
    paid = growth.step(germinate("early", "adapter")).reward.compute_rent
    assert paid == pytest.approx(-0.005 * math.log2(1 + growth.size("early", "adapter") / growth.host_params))


def test_attribution_is_rewarded_only_where_it_is_weighted(data, growth):
    assert growth.step(WAIT).reward.bounded_attribution is None
    credited = Growth(data, growth.recipe, 3, Weights(attribution=0.1))
    for action in (germinate("early", "adapter"), FactoredAction(op="ADVANCE", slot="early", blend="linear")):
        credited.step(action)
    bounded = credited.step(WAIT).reward.bounded_attribution
    assert bounded == pytest.approx(0.1 * max(-10, min(10, credited.readings["early"].removal_cost)))


def test_the_same_seed_and_the_same_actions_are_the_same_host_whatever_else_draws(data, growth):
    other = Growth(data, growth.recipe, 3, Weights())
    for action in (germinate("early", "adapter"), WAIT, FactoredAction(op="ADVANCE", slot="early", blend="cosine"), WAIT):
        torch.rand(7)
        assert growth.step(action).reward == other.step(action).reward
        assert torch.equal(growth.observation(), other.observation())


def test_another_seed_is_another_host(data, growth):
    other = Growth(data, growth.recipe, 4, Weights())
    assert other.score != growth.score or not torch.equal(other.observation(), growth.observation())


def test_the_heuristic_follows_and_does_nothing(data):
    growth = Growth(data, data.task.recipe, 100, Weights())
    asked = []
    while not growth.done:
        asked.append(growth.shadow.action.op)
        growth.step(WAIT)
    assert "GERMINATE" in asked
    assert set(stages(growth).values()) == {"DORMANT"}


def test_whoever_does_what_the_heuristic_asks_grows_the_host_within_its_gates(data):
    growth = Growth(data, data.task.recipe, 100, Weights())
    done = []
    while not growth.done:
        done.append(growth.shadow.action.op)
        growth.step(growth.shadow.action)
    assert [op for op in done if op != "WAIT"][:3] == ["GERMINATE", "ADVANCE", "FOSSILIZE"]
    assert SeedStage.FOSSILIZED in [slot.stage for slot in growth.slots.values()]


def test_a_situation_says_where_each_slot_stands(growth):
    growth.step(germinate("early", "adapter"))
    growth.step(WAIT)
    told = growth.situation()
    assert told.startswith(f"after epoch 2, {growth.score:.1f} % (")
    assert "early TRAINING (adapter), " in told
    assert told.endswith("points if it were switched on")
    growth.step(FactoredAction(op="ADVANCE", slot="early", blend="linear"))
    assert "early BLENDING (adapter), removal cost " in growth.situation()
