"""Coalitions of a torch model: what is measured, and that nothing is left behind."""

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from blending import BlendingSlot
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from karn_wandb.attribution import CounterfactualEngine, ModelEvaluator
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualConfig

CONFIGS = [(a, b) for a in (False, True) for b in (False, True)]


class Slot(BlendingSlot):
    def __init__(self, slot_id, alpha):
        super().__init__()
        self.slot_id, self.alpha, self.seed = slot_id, alpha, nn.Linear(6, 6)

    def forward(self, x):
        return x + self.alpha * torch.tanh(self.seed(x))


class Host(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.head = nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)
        self.seed_slots = nn.ModuleDict({"early": Slot("early", 0.4), "late": Slot("late", 1.0)})

    def forward(self, x):
        for slot in self.seed_slots.values():
            x = slot(self.drop(self.norm(x)))
        return self.head(x)


@pytest.fixture
def model():
    torch.manual_seed(3)
    model = Host()
    model(torch.randn(32, 6))  # statistics worth keeping
    return model


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(4)
    return TensorDataset(torch.randn(50, 6, generator=generator), torch.randint(0, 3, (50,), generator=generator))


def loader_of(data, **options):
    return DataLoader(data, batch_size=16, **options)


def state_of(model):
    return {
        "weights": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "training": [module.training for module in model.modules()],
        "alphas": [slot.alpha for slot in model.seed_slots.values()],
        "grads": [parameter.grad for parameter in model.parameters()],
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 -- the one under test
    }


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one["weights"].items():
        assert torch.equal(tensor, other["weights"][name]), name
    assert torch.equal(one["torch"], other["torch"])
    np.testing.assert_array_equal(one["numpy"][1], other["numpy"][1])
    assert one["numpy"][2] == other["numpy"][2]
    for part in ("training", "alphas", "grads", "python"):
        assert one[part] == other[part]


# What is measured


def test_off_is_the_model_without_the_slot_and_on_is_its_present_alpha(model, data):
    found = ModelEvaluator(model, loader_of(data)).evaluate_all(CONFIGS)
    inputs, targets = data.tensors
    model.eval()
    for config, evaluation in zip(CONFIGS, found, strict=True):
        x = inputs
        for on, slot in zip(config, model.seed_slots.values(), strict=True):
            x = model.norm(x)
            x = x + slot.alpha * torch.tanh(slot.seed(x)) if on else x
        logits = model.head(x)
        assert evaluation.loss == pytest.approx(cross_entropy(logits, targets).item(), rel=1e-5)
        assert list(evaluation.correct) == (logits.argmax(1) == targets).tolist()
        assert evaluation.accuracy == 100 * sum(evaluation.correct) / 50
        assert evaluation.per_class_accuracy is None


def test_it_is_a_value_function_of_one_coalition_too(model, data):
    evaluator = ModelEvaluator(model, loader_of(data))
    assert [evaluator(config) for config in CONFIGS] == evaluator.evaluate_all(CONFIGS)


def test_slots_and_present_alphas_are_found_by_structure(model, data):
    evaluator = ModelEvaluator(model, loader_of(data))
    assert evaluator.slot_ids == ("early", "late")
    assert evaluator.alphas == {"early": 0.4, "late": 1.0}
    model.seed_slots["early"].alpha = 0.7
    assert evaluator.alphas == {"early": 0.7, "late": 1.0}


def test_slots_may_be_given_and_the_others_stay_as_they_are(model, data):
    some = ModelEvaluator(model, loader_of(data), slots={"late": model.seed_slots["late"]})
    every = ModelEvaluator(model, loader_of(data))
    assert some.slot_ids == ("late",)
    assert some((False,)) == every((True, False))


def test_the_engine_takes_a_model_as_it_takes_any_game(model, data):
    evaluator = ModelEvaluator(model, loader_of(data), per_class=True)
    matrix = CounterfactualEngine().evaluate(evaluator.slot_ids, evaluator, epoch=2)
    assert matrix.n_examples == 50
    assert [result.alpha_settings for result in matrix.configs] == [
        {"early": 0.0, "late": 0.0},
        {"early": 0.0, "late": 1.0},
        {"early": 0.4, "late": 0.0},
        {"early": 0.4, "late": 1.0},
    ]
    gain = matrix.value((True, True)) - matrix.value((False, False))
    assert sum(found.mean for found in matrix.shapley_values.values()) == pytest.approx(gain)
    assert all(found.std is not None for found in matrix.shapley_values.values())
    assert set(matrix.configs[0].per_class_accuracy) == {0, 1, 2}


def test_a_slot_at_alpha_zero_is_a_null_player(model, data):
    model.seed_slots["early"].alpha = 0.0
    evaluator = ModelEvaluator(model, loader_of(data))
    early = CounterfactualEngine().evaluate(evaluator.slot_ids, evaluator, 1).shapley_values["early"]
    assert (early.mean, early.std) == (0.0, 0.0)


def test_accuracy_by_class_is_that_of_the_class(model, data):
    evaluation = ModelEvaluator(model, loader_of(data), per_class=True)((True, True))
    targets = data.tensors[1].tolist()
    for label, accuracy in evaluation.per_class_accuracy.items():
        bits = [bit for bit, target in zip(evaluation.correct, targets, strict=True) if target == label]
        assert accuracy == 100 * sum(bits) / len(bits)


def test_one_pass_over_the_loader_serves_all_coalitions(model, data):
    class Counted(list):
        passes = 0

        def __iter__(self):
            Counted.passes += 1
            return super().__iter__()

    ModelEvaluator(model, Counted([data.tensors])).evaluate_all(CONFIGS)
    assert Counted.passes == 1


def test_the_device_is_the_models_unless_given(model, data):
    assert ModelEvaluator(model, loader_of(data)).device == torch.device("cpu")
    assert ModelEvaluator(model, loader_of(data), device="meta").device == torch.device("meta")


def test_a_model_without_parameters_is_evaluated(data):
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.slot = Slot("only", 1.0)
            self.slot.seed = nn.Identity()

        def forward(self, x):
            return self.slot(x)[:, :3]

    model = Bare()
    evaluator = ModelEvaluator(model, loader_of(data), slots={"only": model.slot})
    assert len(evaluator((True,)).correct) == 50


# Nothing is left behind


def test_an_evaluation_leaves_no_trace(model, data):
    model.train()
    model.norm.eval()  # a part frozen by hand stays frozen
    before = state_of(model)
    ModelEvaluator(model, loader_of(data)).evaluate_all(CONFIGS)
    assert_same(before, state_of(model))


def test_a_model_that_raises_leaves_no_trace(model, data):
    model.train()
    passes = []

    def fail_late(*_):
        passes.append(1)
        torch.rand(1), random.random(), np.random.random()  # noqa: NPY002 -- the one under test
        if len(passes) > 5:
            raise MemoryError("no more")

    before = state_of(model)
    hook = model.head.register_forward_hook(fail_late)
    with pytest.raises(MemoryError):
        ModelEvaluator(model, loader_of(data)).evaluate_all(CONFIGS)
    hook.remove()
    assert_same(before, state_of(model))


def test_statistics_are_put_back_even_when_a_layer_ignores_eval_mode(model, data):
    class Stubborn(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(mode=True)

    model.norm = Stubborn(6)
    before = state_of(model)
    ModelEvaluator(model, loader_of(data)).evaluate_all(CONFIGS)
    assert_same(before, state_of(model))


def test_training_goes_on_as_if_nothing_had_been_evaluated(data):
    def trained(*, evaluating):
        torch.manual_seed(0)
        model = Host()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        evaluator = ModelEvaluator(model, loader_of(data, shuffle=True))
        for inputs, targets in loader_of(data, shuffle=True):
            loss = cross_entropy(model(inputs), targets)
            if evaluating:  # between forward and backward, the worst of all places
                evaluator.evaluate_all(CONFIGS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model.state_dict()

    plain, evaluated = trained(evaluating=False), trained(evaluating=True)
    assert all(torch.equal(plain[name], evaluated[name]) for name in plain)


def test_the_loaders_own_generator_is_put_back(model, data):
    generator = torch.Generator().manual_seed(9)
    before = generator.get_state()
    ModelEvaluator(model, loader_of(data, shuffle=True, generator=generator)).evaluate_all(CONFIGS)
    assert torch.equal(generator.get_state(), before)


# The same examples for all coalitions


@pytest.mark.parametrize("own", [True, False])
def test_a_loader_that_shuffles_gives_the_same_batches_each_time(model, data, own):
    generator = torch.Generator().manual_seed(9) if own else None
    evaluator = ModelEvaluator(model, loader_of(data, shuffle=True, generator=generator))
    first = evaluator((True, True))
    torch.rand(1)
    assert evaluator((True, True)) == first


def test_a_timeout_evaluates_on_the_same_batches(model, data):
    evaluator = ModelEvaluator(model, loader_of(data, shuffle=True))
    at_once = CounterfactualEngine().evaluate(evaluator.slot_ids, evaluator, 1)
    patient = CounterfactualEngine(CounterfactualConfig(timeout_seconds=600)).evaluate(evaluator.slot_ids, evaluator, 1)
    assert patient.configs == at_once.configs
    assert patient.shapley_values == at_once.shapley_values


class Counted(Host):
    """Counts the passes through it."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, x):
        self.passes += not self.training
        return super().forward(x)


def test_a_generous_timeout_takes_as_few_passes_as_two_calls(data):
    """The first two coalitions show how long one takes; all others share their passes."""
    model = Counted()
    evaluator = ModelEvaluator(model, loader_of(data))

    def passes(evaluate):
        model.passes = 0
        evaluate()
        return model.passes

    def by_engine(**config):
        return passes(lambda: CounterfactualEngine(CounterfactualConfig(**config)).evaluate(evaluator.slot_ids, evaluator, 1))

    at_once = by_engine()
    corners, others = [(True, True), (False, False)], [(True, False), (False, True)]
    in_two = passes(lambda: evaluator.evaluate_all(corners)) + passes(lambda: evaluator.evaluate_all(others))
    assert by_engine(timeout_seconds=600) == in_two <= 2 * at_once


def test_all_on_is_charged_to_the_budget_a_second_time(model, data):
    evaluator = ModelEvaluator(model, loader_of(data))
    config = CounterfactualConfig(strategy="full_factorial", max_configurations=4)
    matrix = CounterfactualEngine(config).evaluate(evaluator.slot_ids, evaluator, 1)
    assert (len(matrix.configs), len(matrix.skipped)) == (3, 1)
    assert matrix.stop_reason == "max_configurations=4 reached, 1 of them by evaluating again"
    enough = replace(config, max_configurations=5)
    assert CounterfactualEngine(enough).evaluate(evaluator.slot_ids, evaluator, 1).complete


def test_a_loader_that_shuffles_by_itself_is_found_out(model, data):
    class Shuffled:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def __iter__(self):
            order = torch.from_numpy(self.rng.permutation(50))
            yield data.tensors[0][order], data.tensors[1][order]

    evaluator = ModelEvaluator(model, Shuffled())
    evaluator((True, True))
    with pytest.raises(AttributionError) as caught:
        evaluator((True, True))
    assert str(caught.value) == (
        "the loader must yield the same examples in the same order each time it is iterated; got other targets than before. "
        "Pass a loader without shuffling."
    )


# Bad input, word for word


def message(evaluate):
    with pytest.raises(AttributionError) as caught:
        evaluate()
    return str(caught.value)


def test_an_iterator_serves_one_pass_only(model, data):
    evaluator = ModelEvaluator(model, iter(loader_of(data)))
    evaluator((True, True))
    assert message(lambda: evaluator((True, True))) == (
        "the loader yielded no examples. Pass a loader that can be iterated more than once."
    )


def test_a_model_without_slots(data):
    assert message(lambda: ModelEvaluator(nn.Linear(6, 3), loader_of(data))) == (
        'Linear has no slots. Give it a mapping `seed_slots`, or pass slots={"early": ...}.'
    )


def test_a_slot_that_cannot_be_switched_off(data):
    assert message(lambda: ModelEvaluator(nn.Linear(6, 3), loader_of(data), slots={"early": nn.Identity()})) == (
        "slot 'early' cannot be switched off; got a Identity without slot_id, alpha, force_alpha. "
        "Give it a `slot_id`, an `alpha` and a context manager `force_alpha(alpha)`."
    )


def test_two_slots_of_one_name(model, data):
    assert message(lambda: ModelEvaluator(model, loader_of(data), slots={"a": Slot("x", 1.0), "b": Slot("x", 1.0)})) == (
        "every slot must have a slot_id of its own; got 'x' twice."
    )


def test_a_coalition_of_other_slots(model, data):
    assert message(lambda: ModelEvaluator(model, loader_of(data))((True,))) == "a coalition must have 2 slots; got 1 in (True,)."


def test_batches_that_are_no_pairs(model, data):
    for batch in (data.tensors[0], {"x": data.tensors[0]}, (data.tensors[0],), (data.tensors[0], [0, 1])):
        assert message(lambda batch=batch: ModelEvaluator(model, [batch])((True, True))) == (
            f"the loader must yield pairs of tensors (inputs, targets); got {type(batch).__name__}. "
            "For other batches write a value function that returns an Evaluation."
        )


def test_outputs_that_are_no_logits(model, data):
    model.head = nn.Unflatten(1, (6, 1))
    assert message(lambda: ModelEvaluator(model, loader_of(data))((True, True))) == (
        "the model must return logits of shape [N, C] for targets of shape [N], or [N, T, C] for [N, T]; "
        "got [16, 6, 1] for [16]. For other tasks write a value function that returns an Evaluation."
    )


def test_a_loss_that_is_not_finite_is_recorded_as_it_is(model, data):
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    evaluation = ModelEvaluator(model, loader_of(data))((True, True))
    assert np.isnan(evaluation.loss)
    assert np.isfinite(evaluation.accuracy)


def test_the_room_loads_torch_only_for_a_model():
    code = (
        "import sys, karn_wandb.attribution as room; assert 'torch' not in sys.modules; "
        "room.ModelEvaluator; assert 'torch' in sys.modules; assert all(hasattr(room, name) for name in room.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_the_room_does_not_have():
    import karn_wandb.attribution as room

    with pytest.raises(AttributeError, match=r"^module 'karn_wandb.attribution' has no attribute 'Evaluator'$"):
        room.Evaluator  # noqa: B018 -- looking it up is the test
