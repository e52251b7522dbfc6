"""Claims decided on a part of the examples: what is evaluated, and what the matrix says of it."""

import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from blending import BlendingSlot
from torch import nn

from karn_wandb.attribution import CounterfactualEngine, ModelEvaluator, claims, shapley_estimates
from karn_wandb.attribution.values import packed
from karn_wandb.errors import AttributionError, KarnWarning
from karn_wandb.records import CounterfactualConfig, CounterfactualMatrix, Evaluation

EARLY = CounterfactualConfig(decide_early=True)
SLOTS = ("a", "b", "c")
N = 2000


class Examples:
    """A value that knows who is right under each coalition, and remembers which examples it was asked about."""

    parts_cost_all = False

    def __init__(self, effects, n=N, seed=0):
        rng = np.random.default_rng(seed)
        difficulty, own = rng.uniform(0, 100, size=n), rng.normal(0, 2, size=(len(effects), n))
        configs = product((False, True), repeat=len(effects))
        self.correct = {c: difficulty < 60 + np.array(c) @ effects + np.array(c) @ own for c in configs}
        self.n_examples, self.asked = n, []

    def __call__(self, config):
        return Evaluation(correct=packed(self.correct[config]))

    def stratified_order(self, rng):
        self.order = rng.permutation(self.n_examples)
        return self.order

    def evaluate_part(self, configs, examples):
        self.asked.append((list(configs), examples.tolist()))
        return [Evaluation(correct=packed(self.correct[config][np.sort(examples)])) for config in configs]


class First(Examples):
    """The same on the first examples of another's order alone."""

    def __init__(self, value, count):
        self.correct = {config: right[np.sort(value.order[:count])] for config, right in value.correct.items()}


def evaluated(value, config=EARLY, **options):
    slots = SLOTS[: len(next(iter(value.correct)))]
    return CounterfactualEngine(config).evaluate(slots, value, 1, **options)


CLEAR, UNCLEAR = np.array([20.0, 15.0, -15.0]), np.array([8.0, 0.7, 0.7])


def test_clear_claims_are_decided_by_an_eighth_of_the_examples_and_the_matrix_says_so():
    value = Examples(CLEAR)
    matrix = evaluated(value)
    assert matrix.early_stop == "every slot's claim was decided on 250 of 2000 examples"
    assert (matrix.complete, matrix.skipped, matrix.stop_reason) == (True, (), "")
    assert (matrix.n_examples, matrix.examples_available, len(matrix.configs)) == (250, 2000, 8)
    assert matrix.positive_claims() == claims(matrix) == evaluated(value, CounterfactualConfig()).positive_claims() == ("a", "b")
    assert value.asked == [(value.asked[0][0], value.order[:250].tolist())]


def test_it_is_the_evaluation_of_just_those_examples():
    value = Examples(CLEAR)
    matrix = evaluated(value)
    same = evaluated(First(value, 250), CounterfactualConfig())
    assert matrix.shapley_values == same.shapley_values
    assert matrix.interactions == same.interactions
    assert shapley_estimates(matrix) == matrix.shapley_values


def test_it_goes_on_to_all_examples_where_a_claim_is_open_and_evaluates_none_twice():
    value = Examples(UNCLEAR)
    matrix, whole = evaluated(value), evaluated(value, CounterfactualConfig())
    assert (matrix.early_stop, matrix.complete) == ("", True)
    assert (matrix.n_examples, matrix.examples_available) == (N, N)
    assert [len(examples) for _, examples in value.asked] == [250, 250, 500, 1000]
    assert [i for _, examples in value.asked for i in examples] == value.order.tolist()
    for slot, found in matrix.shapley_values.items():
        assert (found.mean, found.std) == pytest.approx((whole.shapley_values[slot].mean, whole.shapley_values[slot].std))


def test_unless_asked_for_nothing_changes():
    value = Examples(CLEAR)
    matrix = evaluated(value, CounterfactualConfig())
    assert (matrix.n_examples, matrix.examples_available, matrix.early_stop, value.asked) == (N, None, "", [])


def test_the_examples_follow_seed_and_epoch_and_leave_the_coalitions_as_they_are():
    def order(seed, epoch):
        value = Examples(CLEAR)
        CounterfactualEngine(EARLY, seed).evaluate(SLOTS, value, epoch)
        return value.order.tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(1, 1)
    assert order(0, 1) != order(0, 2)


def test_sampled_values_are_decided_too_by_the_same_coalitions():
    effects = np.array([9.0, 9.0, 9.0, -9.0, -9.0, -9.0, 9.0, 9.0])
    value, config = Examples(effects / 2), replace(EARLY, strategy="shapley")
    slots = tuple("abcdefgh")
    matrix = CounterfactualEngine(config).evaluate(slots, value, 1)
    whole = CounterfactualEngine(replace(config, decide_early=False)).evaluate(slots, value, 1)
    assert matrix.n_examples < N
    assert [r.config for r in matrix.configs] == [r.config for r in whole.configs]
    assert claims(matrix) == claims(whole)


def test_a_slot_at_alpha_zero_holds_nothing_up():
    value = Examples(np.array([10.0, 0.0]))
    value.correct = {config: value.correct[config[0], False] for config in value.correct}
    assert evaluated(value, alphas={"a": 0.5, "b": 0.5}).early_stop == ""
    assert evaluated(value, alphas={"a": 0.5, "b": 0.0}).early_stop != ""


def test_a_cap_on_coalitions_is_a_cut_and_leaves_all_examples_to_be_evaluated_when_there_is_no_shapley_value():
    matrix = evaluated(Examples(CLEAR), replace(EARLY, strategy="full_factorial", max_configurations=5))
    assert (matrix.complete, matrix.stop_reason, matrix.early_stop) == (False, "max_configurations=5 reached", "")
    assert (len(matrix.configs), len(matrix.skipped), matrix.n_examples) == (5, 3, N)


class Slow(Examples):
    """Sleeps in its calls from a certain one on."""

    def __init__(self, effects, fast):
        super().__init__(effects)
        self.fast = fast

    def evaluate_part(self, configs, examples):
        if len(self.asked) >= self.fast:
            time.sleep(0.5)
        return super().evaluate_part(configs, examples)


def test_a_timeout_between_parts_keeps_what_all_coalitions_are_known_on():
    """Two calls a part: the second part's first is too slow, so what it told is left out."""
    value = Slow(UNCLEAR, fast=2)
    matrix = evaluated(value, replace(EARLY, timeout_seconds=0.4))
    assert (matrix.complete, matrix.skipped, matrix.early_stop) == (False, (), "")
    assert matrix.stop_reason == "timeout_seconds=0.4 reached on 250 of 2000 examples"
    assert (len(matrix.configs), matrix.n_examples, matrix.examples_available) == (8, 250, N)
    assert matrix.shapley_values == evaluated(First(value, 250), CounterfactualConfig()).shapley_values


def test_a_timeout_in_the_first_part_lists_the_coalitions_that_were_skipped():
    matrix = evaluated(Slow(UNCLEAR, fast=0), replace(EARLY, timeout_seconds=0.4))
    assert (matrix.complete, matrix.stop_reason) == (False, "timeout_seconds=0.4 reached")
    assert (len(matrix.configs), len(matrix.skipped), matrix.n_examples) == (2, 6, 250)
    assert matrix.shapley_values is None


def test_no_time_at_all_evaluates_nothing():
    matrix = evaluated(Examples(CLEAR), replace(EARLY, timeout_seconds=0))
    assert (matrix.configs, len(matrix.skipped), matrix.n_examples, matrix.examples_available) == ((), 8, None, N)


def test_outcomes_may_be_groups_of_a_loss():
    value = Examples(CLEAR)

    def part(configs, examples):
        right = [value.correct[config][np.sort(examples)] for config in configs]
        return [Evaluation(group_losses=tuple((1.0 - r).tolist()), group_sizes=(1,) * len(r)) for r in right]

    value.evaluate_part = part
    matrix = evaluated(value, metric="loss")
    assert (matrix.n_examples, matrix.examples_available) == (250, N)
    assert {found.evaluation_method for found in matrix.shapley_values.values()} == {"group_jackknife"}
    assert matrix.positive_claims() == ("a", "b")


def test_outcomes_that_say_nothing_of_the_metric_are_an_error():
    value = Examples(CLEAR)
    value.evaluate_part = lambda configs, examples: [Evaluation(loss=1.0, correct=(True,) * len(examples))] * len(configs)
    with pytest.raises(AttributionError) as caught:
        evaluated(value, metric="loss")
    assert str(caught.value) == (
        "decide_early needs the loss of each example or group; got no outcomes. "
        "Return them from evaluate_part, or set decide_early=False."
    )


def test_a_value_that_raises_in_a_part_is_named():
    value = Examples(CLEAR)
    value.evaluate_part = lambda configs, examples: 1 / 0
    with pytest.raises(AttributionError, match=r"^the value function failed for 8 coalitions of \(a, b, c\); got ZeroDivision"):
        evaluated(value)


# A model


class Slot(BlendingSlot):
    """Adds a share of one input to a logit."""

    def __init__(self, slot_id, source):
        super().__init__()
        self.slot_id, self.source, self.alpha = slot_id, source, 0.5

    def forward(self, x):
        step = torch.zeros_like(x)
        step[:, 3] = x[:, self.source]
        return x + self.alpha * step


class Host(nn.Module):
    """Says whether the sum of two inputs is positive, as far as its slots tell it."""

    def __init__(self, between=lambda x: x):
        super().__init__()
        self.seed_slots = nn.ModuleDict({"one": Slot("one", 0), "other": Slot("other", 1)})
        self.between = between

    def forward(self, x):
        for slot in self.seed_slots.values():
            x = slot(self.between(x))
        return x[:, 2:]


def batches(n=800, size=100):
    inputs = torch.zeros(n, 4)
    inputs[:, :2] = torch.randn(n, 2, generator=torch.Generator().manual_seed(1))
    return list(zip(inputs.split(size), (inputs[:, 0] + inputs[:, 1] > 0).long().split(size), strict=True))


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_model_is_evaluated_on_a_part_and_classes_are_those_of_the_part(metric):
    evaluator = ModelEvaluator(Host(), batches(), per_class=True)
    matrix = CounterfactualEngine(EARLY).evaluate(evaluator.slot_ids, evaluator, 1, metric=metric)
    assert evaluator.method == "branching"
    assert matrix.early_stop == "every slot's claim was decided on 100 of 800 examples"
    assert (matrix.n_examples, matrix.examples_available) == (100, 800)
    assert matrix.positive_claims() == ("one", "other")
    full = matrix.configs[-1]
    assert full.per_class_accuracy == {0: 100.0, 1: 100.0}
    assert CounterfactualMatrix.from_plain(matrix.to_plain()) == matrix
    assert shapley_estimates(matrix) == matrix.shapley_values


def test_a_model_that_goes_on_to_the_end_gives_what_it_gives_at_once():
    model = Host()
    model.seed_slots["other"].source = 2  # adds nothing, and is not known to
    evaluator = ModelEvaluator(model, batches(), per_class=True)
    in_parts, at_once = (
        CounterfactualEngine(c).evaluate(evaluator.slot_ids, evaluator, 1) for c in (EARLY, CounterfactualConfig())
    )
    assert (in_parts.n_examples, in_parts.early_stop) == (800, "")
    for one, other in zip(in_parts.configs, at_once.configs, strict=True):
        assert one.val_accuracy == other.val_accuracy
        assert one.per_class_accuracy == pytest.approx(other.per_class_accuracy)
        assert one.val_loss == pytest.approx(other.val_loss)
        assert sorted(one.correct) == sorted(other.correct)


def test_a_model_whose_batches_must_stay_whole_is_warned_of_and_evaluated_in_two_steps():
    model = Host(between=lambda x: x - 0.5 * x.mean(dim=0) * torch.tensor([1.0, 1.0, 0.0, 0.0]))
    model.seed_slots["other"].source = 2
    evaluator, asked = ModelEvaluator(model, batches()), []
    ask = evaluator.evaluate_part
    evaluator.evaluate_part = lambda configs, examples: asked.append(len(examples)) or ask(configs, examples)
    with pytest.warns(
        KarnWarning, match="^decide_early saves nothing with this model: a part of the validation examples costs as"
    ):
        matrix = CounterfactualEngine(EARLY).evaluate(evaluator.slot_ids, evaluator, 1)
    assert evaluator.method == "plain"
    assert asked == [100, 700]
    assert matrix.n_examples == 800


def test_sequences_are_evaluated_in_part_too():
    """Each token's class is whether a number is positive, which one slot tells and the other does not hide."""

    class Text(Host):
        def forward(self, x):
            return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    sequences = [(x.unflatten(0, (-1, 5)), y.unflatten(0, (-1, 5))) for x, y in batches(2000, 100)]
    evaluator = ModelEvaluator(Text(), sequences)
    matrix = CounterfactualEngine(EARLY).evaluate(evaluator.slot_ids, evaluator, 1)
    assert (matrix.n_examples, matrix.examples_available) == (50, 400)
    assert {found.evaluation_method for found in matrix.shapley_values.values()} == {"group_jackknife"}
    assert shapley_estimates(matrix) == matrix.shapley_values
