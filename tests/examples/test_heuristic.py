"""The controller: gates with numbers, germination on a plateau, pruning of what does not help."""

import pytest
import torch

from examples import gates
from examples.gates import Reading, Thresholds
from examples.heuristic import Heuristic
from examples.host import ConvHost
from karn_wandb import SeedStage


def reading(**changed):
    values = {
        "score": 80.0,
        "score_without": 79.0,
        "score_full": 81.0,
        "score_before": 80.0,
        "gradient_norm": 1.0,
        "held": 0,
    }
    return Reading(**values | changed)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ConvHost(width=4)


def after(heuristic, epoch, accuracy, readings=None):
    return list(heuristic.steps(epoch, accuracy, readings or {}))


def test_nothing_germinates_while_the_network_still_learns(model):
    heuristic = Heuristic(model.slots(), base_seed=0, last_germination=20)
    assert [after(heuristic, epoch, 10.0 * epoch) for epoch in range(1, 6)] == [[]] * 5


def germinated(model):
    heuristic = Heuristic(model.slots(), base_seed=0, last_germination=20)
    steps = [step for epoch in range(1, 4) for step in after(heuristic, epoch, 80.0)]
    return heuristic, steps


def test_a_plateau_germinates_one_seed_module_and_says_why(model):
    _, steps = germinated(model)
    assert [(s.slot.slot_id, s.action.op, s.gate.gate, s.gate.passed) for s in steps] == [("late", "GERMINATE", "G0", True)]
    assert steps[0].reason.startswith("learning has stalled; G0 passed: slot_free 1 against 1, budget ")
    assert model.seed_slots["late"].stage is SeedStage.GERMINATED


def test_germination_leaves_the_global_generator_alone(model):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    germinated(model)
    assert torch.equal(torch.rand(3), expected)


def test_a_slot_it_does_not_control_is_skipped_and_the_next_ones_seed_module_has_the_same_weights(model):
    """So a control run's seed modules start as those of its full run, whatever germinated before."""
    heuristic, _ = germinated(model)
    for stage in (SeedStage.TRAINING, SeedStage.BLENDING, SeedStage.HOLDING, SeedStage.FOSSILIZED):
        model.seed_slots["late"].enter(stage)
    steps = [step for epoch in range(1, 4) for step in after(heuristic, epoch, 80.0)]
    other = ConvHost(width=4)
    without = Heuristic([slot for slot in other.slots() if slot.slot_id != "late"], base_seed=0, last_germination=20)
    steps += [step for epoch in range(1, 4) for step in after(without, epoch, 80.0)]
    assert [step.slot.slot_id for step in steps if step.action.op == "GERMINATE"] == ["mid", "mid"]
    assert other.seed_slots["late"].stage is SeedStage.DORMANT
    here, there = (m.seed_slots["mid"].seed.state_dict() for m in (model, other))
    assert all(torch.equal(here[name], there[name]) for name in here)


def test_no_seed_module_germinates_too_late(model):
    heuristic = Heuristic(model.slots(), base_seed=0, last_germination=2)
    assert [step for epoch in range(1, 9) for step in after(heuristic, epoch, 80.0)] == []


def test_a_whole_good_life_passes_every_gate(model):
    heuristic, _ = germinated(model)
    slot = model.seed_slots["late"]
    seen = []
    for epoch in range(4, 30):
        slot.begin_epoch()
        held = heuristic.held("late", 1.0) if slot.stage is SeedStage.HOLDING else 0
        steps = after(heuristic, epoch, 80.0 + epoch * 2, {"late": reading(held=held)})
        seen += [s.gate.gate for s in steps if s.gate and s.slot is slot and s.gate.passed]
        if slot.stage is SeedStage.FOSSILIZED:
            break
    assert seen == ["G1", "G2", "G3", "G4", "G4", "G4", "G5"]
    assert slot.alpha == 1.0


def test_a_seed_module_that_hurts_is_pruned_and_its_slot_is_freed(model):
    heuristic, _ = germinated(model)
    slot = model.seed_slots["late"]
    stages = []
    for epoch in range(4, 14):
        slot.begin_epoch()
        after(heuristic, epoch, 80.0 + epoch * 2, {"late": reading(score_full=60.0)} if slot.seed else {})
        stages.append(slot.stage)
    pruned = stages.index(SeedStage.PRUNED)
    assert stages[pruned : pruned + 4] == [SeedStage.PRUNED, SeedStage.EMBARGOED, SeedStage.RESETTING, SeedStage.DORMANT]


def test_a_seed_module_that_never_contributes_is_pruned_after_patience(model):
    heuristic, _ = germinated(model)
    slot = model.seed_slots["late"]
    for stage in (SeedStage.TRAINING, SeedStage.BLENDING, SeedStage.HOLDING):
        slot.enter(stage)
    for epoch in range(4, 11):
        slot.begin_epoch()
        steps = after(heuristic, epoch, 80.0 + epoch * 2, {"late": reading(score_without=80.0)})
        if slot.stage is SeedStage.PRUNED:
            break
    assert slot.epochs_in_stage == 0
    assert steps[-1].action.op == "PRUNE"
    assert steps[-1].reason == "G4 not passed: removal_cost 0 against 0.5"


class TestGates:
    def test_g0_counts_the_budget(self, model):
        gate = gates.g0(model.seed_slots["mid"], 15_000, 6_000, Thresholds(parameter_budget=20_000))
        assert (gate.passed, gate.checks_failed, gate.measurements["budget"]) == (False, ("budget",), 21_000)

    def test_g2_asks_for_time_gradients_and_potential(self, model):
        slot = model.seed_slots["mid"]
        slot.germinate("x", torch.nn.Identity())
        slot.enter(SeedStage.TRAINING)
        gate = gates.g2(slot, reading(gradient_norm=float("nan"), score_full=60.0), Thresholds())
        assert gate.checks_failed == ("trained", "gradient_health", "potential")
        assert gate.measurements["potential"] == -19.0
        assert gate.target_stage is SeedStage.BLENDING

    def test_g3_compares_with_the_accuracy_before_blending(self, model):
        slot = model.seed_slots["mid"]
        slot.alpha = 1.0
        assert gates.g3(slot, reading(score=76.0), Thresholds()).checks_failed == ("host_not_hurt",)
        assert gates.g3(slot, reading(score=79.0), Thresholds()).passed

    def test_g4_is_removal_cost_and_leads_to_no_stage(self, model):
        gate = gates.g4(model.seed_slots["mid"], reading(score=80.0, score_without=79.75), Thresholds())
        assert (gate.passed, gate.target_stage, gate.measurements) == (False, None, {"removal_cost": 0.25})
