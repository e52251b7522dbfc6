"""Coalitions that share a pass: the same as one by one, in the memory allowed; and models of which that is not true."""

from contextlib import contextmanager
from itertools import product

import numpy as np
import pytest
import torch
from blending import BlendingSlot
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.models import text_training
from examples.blueprints import BLUEPRINTS
from examples.host import ConvHost
from examples.slots import SeedSlot
from karn_wandb.attribution import CounterfactualEngine, ModelEvaluator
from karn_wandb.attribution.model.branching import _Branches
from karn_wandb.attribution.model.footprint import Footprint, _LiveTensors
from karn_wandb.attribution.model.interception import intercepted
from karn_wandb.errors import AttributionError, KarnWarning

WIDTH, CLASSES = 6, 3


class Slot(BlendingSlot):
    def __init__(self, slot_id, alpha=0.5, seed=None):
        super().__init__()
        self.slot_id, self.alpha, self.seed = slot_id, alpha, seed or nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())

    def forward(self, x):
        return x if self.alpha == 0 else torch.lerp(x, self.seed(x), self.alpha)


class Chain(nn.Module):
    """A slot behind each layer; `between` is called in front of each."""

    def __init__(self, alphas, between=None):
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()) for _ in alphas)
        self.seed_slots = nn.ModuleDict({f"s{i}": Slot(f"s{i}", alpha) for i, alpha in enumerate(alphas)})
        self.between = between or (lambda x: x)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        for layer, slot in zip(self.layers, self.seed_slots.values(), strict=True):
            x = slot(self.between(layer(x)))
        return self.head(x)


def classified(n, batch_size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(n, WIDTH, generator=generator), torch.randint(0, CLASSES, (n,), generator=generator)
    return list(zip(inputs.split(batch_size), targets.split(batch_size), strict=True))


def all_of(n):
    return list(product((True, False), repeat=n))


def one_by_one(evaluator, configs):
    return [evaluator(config) for config in configs]


def assert_same(found, expected, within=1e-5):
    """Equal but for the last digits of losses."""
    for one, other in zip(found, expected, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=within)
        assert one.group_losses == pytest.approx(other.group_losses, rel=within, abs=within)
        assert (one.correct, one.accuracy, one.per_class_accuracy) == (other.correct, other.accuracy, other.per_class_accuracy)
        assert (one.group_accuracies, one.group_sizes) == (other.group_accuracies, other.group_sizes)


def assert_plain(evaluator, configs, reason):
    """The model is found out, and evaluated right in spite of it."""
    expected = one_by_one(evaluator, configs)
    assert evaluator.evaluate_all(configs) == expected
    assert evaluator.method == "plain"
    assert reason in evaluator.reason


# The same as one by one


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_branches_are_what_the_coalitions_are_one_by_one(data):
    alphas = data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=5))
    configs = data.draw(st.lists(st.sampled_from(all_of(len(alphas))), min_size=2, max_size=40))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    budget = data.draw(st.sampled_from([1, 500, 3000, 20_000, None]))
    batches = classified(data.draw(st.integers(1, 40)), data.draw(st.integers(1, 20)))
    evaluator = ModelEvaluator(Chain(alphas), batches, per_class=True, memory_budget=budget)
    found = evaluator.evaluate_all(configs)
    assert evaluator.method == ("branching" if len(set(configs)) > 1 else "plain")
    assert_same(found, one_by_one(evaluator, configs))


@pytest.mark.parametrize("rows", [16, 33])
def test_a_convolutional_host_gives_the_same_to_the_bit(rows):
    torch.manual_seed(1)
    model = ConvHost(width=8)
    for slot in model.slots():
        slot.seed, slot.alpha = BLUEPRINTS["conv_light"](slot.channels), 0.5
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    batches = [(torch.randn(rows, 3, 32, 32), torch.randint(0, 10, (rows,))) for _ in range(2)]
    evaluator = ModelEvaluator(model, batches, memory_budget=2**30)
    found = evaluator.evaluate_all(all_of(3))
    assert evaluator.method == "branching"
    assert found == one_by_one(evaluator, all_of(3))
    assert len({one.loss for one in found}) == 8


@pytest.fixture
def text():
    return text_training(batch_size=6, context=16, width=16, heads=2, blocks=3)


def test_sequences_are_groups(text):
    model = text.model.eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    targets = text.targets.clone()
    targets[0, 5:] = -100
    targets[3] = -100  # nothing of this sequence counts
    batches = [(text.inputs[:4], targets[:4]), (text.inputs[4:], targets[4:])]
    evaluator = ModelEvaluator(model, batches, per_class=True)
    found = evaluator.evaluate_all(all_of(3))
    assert evaluator.method == "branching"
    assert_same(found, one_by_one(evaluator, all_of(3)))
    on = found[0]
    logits = model(text.inputs)
    assert on.loss == pytest.approx(cross_entropy(logits.flatten(0, 1), targets.flatten()).item(), rel=1e-5)
    assert on.group_sizes == (5, 16, 16, 16, 16)
    scored = [0, 1, 2, 4, 5]
    expected = [cross_entropy(logits[i], targets[i]).item() for i in scored]
    assert on.group_losses == pytest.approx(expected, rel=1e-5)
    hits = [(logits[i].argmax(-1) == targets[i]).sum().item() for i in scored]
    assert on.group_accuracies == pytest.approx([100 * h / size for h, size in zip(hits, on.group_sizes, strict=True)])
    assert on.accuracy == pytest.approx(100 * sum(hits) / 69)
    assert (on.correct, on.per_class_accuracy) == (None, None)


def test_sequences_of_one_length_have_no_sizes(text):
    evaluation = ModelEvaluator(text.model, [(text.inputs, text.targets)])((True, True, True))
    assert evaluation.group_sizes is None
    assert len(evaluation.group_losses) == len(evaluation.group_accuracies) == 6


def test_the_loss_game_works_of_classes_and_of_sequences(text):
    for model, batches in ((Chain([0.5, 0.5]), classified(20)), (text.model, [(text.inputs, text.targets)])):
        evaluator = ModelEvaluator(model, batches)
        matrix = CounterfactualEngine().evaluate(evaluator.slot_ids, evaluator, 1, metric="loss")
        gain = matrix.value((True,) * len(evaluator.slots)) - matrix.value((False,) * len(evaluator.slots))
        assert sum(value.mean for value in matrix.shapley_values.values()) == pytest.approx(gain)
        assert evaluator.method == "branching"


def test_batches_are_the_groups_of_classified_examples():
    batches = classified(20)
    model = Chain([0.5, 0.5])
    on = ModelEvaluator(model, batches).evaluate_all(all_of(2))[0]
    assert on.group_sizes == (8, 8, 4)
    assert on.group_losses == pytest.approx([cross_entropy(model(x), y).item() for x, y in batches], rel=1e-5)
    assert on.group_accuracies is None
    assert ModelEvaluator(model, batches[:2])((True, True)).group_sizes is None


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int64])
def test_targets_may_be_of_any_whole_type(dtype):
    model, batches = Chain([0.5, 0.5]), classified(20)
    typed = [(x, y.to(dtype)) for x, y in batches]
    assert ModelEvaluator(model, typed).evaluate_all(all_of(2)) == ModelEvaluator(model, batches).evaluate_all(all_of(2))


def test_an_example_without_a_label_counts_for_nothing():
    model, ((inputs, targets),) = Chain([0.5, 0.5]), classified(8)
    some = targets.clone()
    some[[1, 4]] = -100
    kept = some != -100
    found = ModelEvaluator(model, [(inputs, some)], per_class=True).evaluate_all(all_of(2))
    assert_same(found, ModelEvaluator(model, [(inputs[kept], targets[kept])], per_class=True).evaluate_all(all_of(2)))


def test_half_precision_is_compared_as_coarsely_as_it_is():
    evaluator = ModelEvaluator(Chain([0.5, 0.5]).bfloat16(), [(x.bfloat16(), y) for x, y in classified(40)])
    evaluator.evaluate_all(all_of(2))
    assert evaluator.method == "branching"


def test_logits_that_are_not_finite_are_the_same():
    model = Chain([0.5, 0.5])
    with torch.no_grad():
        model.head.bias[0], model.head.bias[1] = float("nan"), float("inf")
    evaluator = ModelEvaluator(model, classified(20))
    found = evaluator.evaluate_all(all_of(2))
    assert evaluator.method == "branching"
    assert all(np.isnan(one.loss) for one in found)


def test_one_example():
    evaluator = ModelEvaluator(Chain([0.5, 0.5]), classified(1))
    assert_same(evaluator.evaluate_all(all_of(2)), one_by_one(evaluator, all_of(2)))


def test_empty_batches_are_passed_over():
    model, batches = Chain([0.5, 0.5]), classified(16)
    empty = (torch.empty(0, WIDTH), torch.empty(0, dtype=torch.int64))
    with_empty = ModelEvaluator(model, [empty, *batches, empty]).evaluate_all(all_of(2))
    assert with_empty == ModelEvaluator(model, batches).evaluate_all(all_of(2))


def test_no_coalitions_are_no_evaluations():
    assert ModelEvaluator(Chain([0.5]), classified(8)).evaluate_all([]) == []


# How it is done


class Rows:
    """How many rows each module was given, call by call."""

    def __init__(self, *modules):
        self.seen = [[] for _ in modules]
        self.hooks = [
            module.register_forward_hook(lambda _m, args, _out, to=to: to.append(len(args[0])))
            for module, to in zip(modules, self.seen, strict=True)
        ]


def test_what_is_in_front_of_a_slot_is_computed_once():
    model = Chain([0.5, 0.5])
    rows = Rows(*model.layers, model.head)
    ModelEvaluator(model, classified(8)).evaluate_all(all_of(2))
    assert [seen[-2:] for seen in rows.seen] == [[8, 1], [16, 1], [32, 1]]  # and one example of all on for comparison


def test_only_what_a_wanted_coalition_needs_is_computed():
    model = Chain([0.5] * 4)
    wanted = [(True,) * 4, (False,) * 4, (True, False, True, True), (True, False, True, False)]
    rows = Rows(*(slot.seed for slot in model.seed_slots.values()), model.head)
    ModelEvaluator(model, classified(8)).evaluate_all(wanted)
    whole = [[n for n in seen if n >= 8 and n % 8 == 0] for seen in rows.seen]
    assert [seen[-1] for seen in whole] == [8, 8, 16, 16, 32]


def test_a_slot_at_alpha_zero_does_not_branch():
    model = Chain([0.0, 0.5])
    rows = Rows(model.layers[1], model.head)
    ModelEvaluator(model, classified(8)).evaluate_all(all_of(2))
    assert [max(seen) for seen in rows.seen] == [8, 16]


def test_hooks_on_slots_and_seed_modules_still_run_and_count():
    model = Chain([0.5, 0.5])
    model.seed_slots["s0"].register_forward_hook(lambda _m, _a, out: out * 2)
    model.seed_slots["s1"].seed.register_forward_hook(lambda _m, _a, out: out + 1)
    evaluator = ModelEvaluator(model, classified(20))
    found = evaluator.evaluate_all(all_of(2))
    assert evaluator.method == "branching"
    assert_same(found, one_by_one(evaluator, all_of(2)))


@pytest.mark.parametrize("budget", [2_000, 10_000, 40_000])
def test_passes_keep_to_the_memory_budget(budget):
    model, configs = Chain([0.5] * 4), all_of(4)
    (batch,) = classified(64, 64)
    few = batch[0][:2]
    with torch.no_grad():
        footprint = Footprint.measured(list(model.seed_slots.values()), few, model)
    single = footprint.of(configs[:1], frozenset())
    assert single >= 3 * WIDTH * 4  # input, seed module's output and output are alive at the end of a slot
    rows = Rows(model.head)
    evaluator = ModelEvaluator(model, [batch], memory_budget=budget)
    evaluator.evaluate_all(configs)
    assert evaluator.method == "branching"
    assert max(rows.seen[0]) * single <= budget
    whole = Rows(model.head)
    ModelEvaluator(model, [batch]).evaluate_all(configs)
    assert max(whole.seen[0]) == 64 * 16


class Times(Slot):
    """Needs next to nothing besides what it hands on."""

    def forward(self, x):
        return x * (1 + self.alpha)


@pytest.mark.parametrize("kind", [Slot, Times])
def test_what_a_pass_really_takes_is_within_what_was_said(kind):
    model, configs = Chain([0.5] * 3), all_of(3)
    slots = [kind(f"s{i}") for i in range(3)]
    model.seed_slots = nn.ModuleDict({slot.slot_id: slot for slot in slots})
    first = nn.Linear(WIDTH, 10 * WIDTH) if kind is Times else nn.Identity()
    model.layers, model.head = nn.ModuleList([first, nn.Identity(), nn.Identity()]), nn.Identity()
    ((inputs, _),) = classified(16, 16)
    with torch.no_grad():
        said = Footprint.measured(slots, inputs[:2], model).of(configs, frozenset()) * 16
        live, branches = _LiveTensors(), _Branches(slots, frozenset(), configs, 16, [list(range(8))])
        with intercepted(slots, branches.through), live:
            live.know(inputs, inputs.nbytes)
            model(inputs)
        assert said / 3 < live.take() <= said


def test_it_says_what_it_cost_beyond_what_was_asked():
    model = Chain([0.5, 0.5])
    evaluator = ModelEvaluator(model, classified(64, 64))
    assert (evaluator.method, evaluator.extra_evaluations) == (None, 0)
    evaluator.evaluate_all(all_of(2))
    assert evaluator.extra_evaluations == (4 + 2 + 4 * 2 + 2) / 64  # measured; compared: by itself, four coalitions, in the batch
    evaluator.evaluate_all([(True, True)])
    assert (evaluator.method, evaluator.reason) == ("plain", "there is one coalition only")
    assert evaluator.extra_evaluations == 1
    evaluator.evaluate_all([(True, False)])
    assert evaluator.extra_evaluations == 0


def test_a_budget_below_a_byte():
    with pytest.raises(AttributionError) as caught:
        ModelEvaluator(Chain([0.5]), classified(8), memory_budget=0)
    assert str(caught.value) == "memory_budget must be a number of bytes, at least 1; got 0."


# Unusual models that branch all the same


class Twice(Chain):
    def forward(self, x):
        return super().forward(self.seed_slots["s1"](x))


class Backwards(Chain):
    def forward(self, x):
        for slot in reversed(self.seed_slots.values()):
            x = slot(x)
        return self.head(x)


class Idle(Chain):
    def forward(self, x):
        return self.head(self.seed_slots["s1"](x))


class Direct(Chain):
    def forward(self, x):
        return self.head(self.seed_slots["s1"].forward(self.seed_slots["s0"].forward(x)))


class Switching(Chain):
    """Which slot comes first depends on the batch."""

    def forward(self, x):
        slots = list(self.seed_slots.values())
        for slot in slots if len(x) % 2 else slots[::-1]:
            x = slot(x)
        return self.head(x)


@pytest.mark.parametrize("kind", [Twice, Backwards, Idle, Direct, Switching])
def test_slots_may_be_called_twice_in_any_order_or_never(kind):
    evaluator = ModelEvaluator(kind([0.5, 0.75]), classified(21, 7))
    found = evaluator.evaluate_all(all_of(2))
    assert evaluator.method == "branching"
    assert_same(found, one_by_one(evaluator, all_of(2)))


def test_a_slot_within_a_slot_and_a_seed_module_in_two_slots():
    model = Chain([0.5, 0.5])
    inner = Slot("inner")
    nested = {"s0": Slot("s0", seed=nn.Sequential(nn.Linear(WIDTH, WIDTH), inner))}
    model.seed_slots["s0"] = nested["s0"]
    evaluator = ModelEvaluator(model, classified(20), slots={**model.seed_slots, "inner": inner})
    assert_same(evaluator.evaluate_all(all_of(3)), one_by_one(evaluator, all_of(3)))
    shared = Chain([0.5, 0.25])
    shared.seed_slots["s1"].seed = shared.seed_slots["s0"].seed
    evaluator = ModelEvaluator(shared, classified(20))
    found = evaluator.evaluate_all(all_of(2))
    assert evaluator.method == "branching"
    assert_same(found, one_by_one(evaluator, all_of(2)))


# Models that are found out


class Trained(nn.BatchNorm1d):
    """Normalises over the batch in eval mode too."""

    def train(self, mode=True):
        return super().train(mode=True)


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (Trained(WIDTH), "gave other logits than one by itself"),
        (lambda x: x - x.mean(dim=0), "gave other logits than one by itself"),
        (lambda x: x + x.flip(0), "gave other logits than one by itself"),
        (lambda x: x[: len(x) // 2 * 2].reshape(-1, 2, WIDTH).mean(1).repeat_interleave(2, 0), "gave other logits"),
    ],
)
def test_examples_that_depend_on_each_other(between, reason):
    assert_plain(ModelEvaluator(Chain([0.5, 0.75], between), classified(16)), all_of(2), reason)


def test_examples_that_depend_on_each_other_where_passes_are_of_one():
    """The coalitions would agree with each other, and not with what the model says of the batch."""
    model = Chain([0.5, 0.75])
    model.layers[0].register_forward_pre_hook(lambda _m, args: args[0] - args[0].mean(dim=0))
    evaluator = ModelEvaluator(model, classified(16), memory_budget=1)
    assert_plain(evaluator, all_of(2), "gave other logits than one by itself")


def test_examples_that_depend_on_each_other_in_a_later_batch_only():
    """Up to there in branches, from there on plainly: each batch as is right for it."""
    model = Chain([0.5, 0.75], lambda x: x - x.mean(dim=0) if model.late else x)

    class Late(list):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                model.late = number == 2
                yield batch

    evaluator = ModelEvaluator(model, Late(classified(24, 8)))
    found = evaluator.evaluate_all(all_of(2))
    assert evaluator.method == "plain"
    assert "gave other logits" in evaluator.reason
    assert_same(found, one_by_one(evaluator, all_of(2)))


class Skip(Chain):
    """What is held across a slot has fewer rows than what comes out of it."""

    def forward(self, x):
        for slot in self.seed_slots.values():
            x = x + slot(x)
        return self.head(x)


class Fixed(Chain):
    """Made for batches of up to eight."""

    def forward(self, x):
        x = super().forward(x)
        return x + torch.zeros(8, CLASSES)[: len(x)]


class Listed(Chain):
    def forward(self, x):
        return super().forward(x[None])[0]


class Two(nn.Module):
    """Takes two tensors."""

    def __init__(self, slot):
        super().__init__()
        self.slot = slot
        self.slot_id, self.force_alpha = slot.slot_id, slot.force_alpha

    @property
    def alpha(self):
        return self.slot.alpha

    def forward(self, x, scale):
        return self.slot(x) * scale


class Scaled(Chain):
    def __init__(self, alphas):
        super().__init__(alphas)
        self.seed_slots["s1"] = Two(self.seed_slots["s1"])

    def forward(self, x):
        return self.head(self.seed_slots["s1"](self.seed_slots["s0"](x), torch.ones(())))


class Doubled(Slot):
    """Hands on each row twice."""

    def forward(self, x):
        return super().forward(x).repeat_interleave(2, dim=0)


class Doubling(Chain):
    def __init__(self, alphas):
        super().__init__(alphas)
        self.seed_slots["s1"] = Doubled("s1")

    def forward(self, x):
        return super().forward(x)[::2]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Skip, "a pass of several coalitions raised RuntimeError: The size of tensor a"),
        (Fixed, "a pass of several coalitions raised RuntimeError: The size of tensor a"),
        (Listed, "what slot 's0' is given has not an example in each of "),
        (Scaled, "slot 's1' takes more than one tensor"),
        (Doubling, "what slot 's1' hands on has not an example in each of "),
    ],
)
def test_models_made_for_another_form_of_batch(kind, reason):
    assert_plain(ModelEvaluator(kind([0.5, 0.75]), classified(16)), all_of(2), reason)


def test_a_slot_that_is_no_module():
    class Handle:
        slot_id = "s0"

        def __init__(self, slot):
            self.slot, self.force_alpha = slot, slot.force_alpha

        @property
        def alpha(self):
            return self.slot.alpha

    model = Chain([0.5, 0.5])
    slots = {"s0": Handle(model.seed_slots["s0"]), "s1": model.seed_slots["s1"]}
    assert_plain(ModelEvaluator(model, classified(16), slots=slots), all_of(2), "slot 's0' is a Handle, no module")


def test_slots_that_are_switched_together():
    """Switching one off switches the other off: seen in the model by itself, not at the slot."""
    model = Chain([0.5, 0.5])
    first, second = model.seed_slots.values()
    alone = first.force_alpha

    @contextmanager
    def both(alpha):
        with alone(alpha), second.force_alpha(alpha):
            yield

    first.force_alpha = both
    assert_plain(ModelEvaluator(model, classified(16)), all_of(2), "gave other logits than one by itself")


# Noise


NOISE = (
    "all slots on, evaluated twice, gave different logits: something in the model is random in eval mode, such as dropout "
    "left on. Differences between coalitions contain that noise."
)


class Dropped(nn.Dropout):
    def train(self, mode=True):
        return super().train(mode=True)


@pytest.mark.parametrize("noise", [Dropped(0.5), lambda x: x * (torch.rand(()) > 0.5)])
def test_noise_is_warned_of(noise):
    """Dropout left on, and stochastic depth."""
    evaluator = ModelEvaluator(Chain([0.5, 0.5], noise), classified(64, 4))
    with pytest.warns(KarnWarning) as caught:
        evaluator.evaluate_all(all_of(2))
    assert [str(warning.message) for warning in caught] == [NOISE]
    assert evaluator.method == "plain"
    assert 1 <= evaluator.extra_evaluations < 2


def test_noise_is_seen_where_all_slots_are_on_only():
    evaluator = ModelEvaluator(Chain([0.5, 0.5], Dropped(0.5)), classified(64, 4))
    with pytest.warns(KarnWarning, match="evaluated twice"):
        evaluator((True, True))
    evaluator((True, False))


def test_a_loader_that_augments_by_itself_is_warned_of():
    rng = np.random.default_rng(0)

    class Augmented(list):
        def __iter__(self):
            return ((x + float(rng.normal()), y) for x, y in super().__iter__())

    evaluator = ModelEvaluator(Chain([0.5, 0.5]), Augmented(classified(16)))
    evaluator.evaluate_all(all_of(2))
    with pytest.warns(KarnWarning) as caught:
        evaluator.evaluate_all(all_of(2))
    (warning,) = caught
    assert str(warning.message) == (
        "the loader yielded other inputs than the time before, with the same targets: it augments them with random numbers "
        "of its own. Evaluations from different passes are not comparable to the last digit."
    )


# Nothing is left behind


@pytest.mark.parametrize("where", ["host", "slot", "seed", "alpha"])
@pytest.mark.parametrize("own_forward", [False, True])
def test_a_model_that_raises_in_the_middle_is_left_as_it_was(where, own_forward):
    model = Chain([0.5, 0.5])
    last = model.seed_slots["s1"]
    if own_forward:
        last.forward = last.forward
    before = [dict(vars(module)) for module in model.modules()]
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) > 20:
            raise ValueError("no more")

    module = {"host": model.head, "slot": last, "seed": last.seed, "alpha": model.layers[1]}[where]
    hook = module.register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match="no more"):
        ModelEvaluator(model, classified(400, 8)).evaluate_all(all_of(2))
    hook.remove()
    assert [dict(vars(module)) for module in model.modules()] == before
    assert len(calls) > 20


def test_the_generators_of_training_are_as_they_were():
    model = Chain([0.5, 0.5], Dropped(0.5))
    before = torch.get_rng_state()
    with pytest.warns(KarnWarning):
        ModelEvaluator(model, classified(16)).evaluate_all(all_of(2))
    assert torch.equal(torch.get_rng_state(), before)


# Parts of the examples


def test_a_part_is_exactly_those_examples_in_the_loaders_order():
    model, batches = Chain([0.5, 0.5]), classified(50)
    evaluator = ModelEvaluator(model, batches, per_class=True)
    whole = evaluator.evaluate_all(all_of(2))
    examples = np.array([41, 3, 0, 17, 40, 5])
    part = evaluator.evaluate_part(all_of(2), examples)
    assert evaluator.method == "branching"
    for one, of in zip(part, whole, strict=True):
        assert list(one.correct) == [of.correct[i] for i in sorted(examples)]
        assert one.group_sizes == (3, 1, 2)
    inputs, targets = (torch.cat(kind) for kind in zip(*batches, strict=True))
    again = ModelEvaluator(model, [(inputs[np.sort(examples)], targets[np.sort(examples)])]).evaluate_all(all_of(2))
    assert [one.loss for one in part] == pytest.approx([one.loss for one in again], rel=1e-5)


def test_a_part_of_examples_that_depend_on_each_other_is_seen_in_their_company():
    evaluator = ModelEvaluator(Chain([0.5, 0.75], lambda x: x - x.mean(dim=0)), classified(16))
    whole = evaluator.evaluate_all(all_of(2))
    part = evaluator.evaluate_part(all_of(2), np.array([2, 9]))
    assert evaluator.method == "plain"
    assert [list(one.correct) for one in part] == [[of.correct[2], of.correct[9]] for of in whole]


def test_parts_add_up_to_the_whole():
    evaluator = ModelEvaluator(Chain([0.5, 0.5]), classified(50))
    order = evaluator.stratified_order(np.random.default_rng(0))
    parts = [evaluator.evaluate_part(all_of(2), some) for some in np.split(order, [10, 30])]
    for whole, *pieces in zip(evaluator.evaluate_all(all_of(2)), *parts, strict=True):
        assert sum(piece.loss * size for piece, size in zip(pieces, (10, 20, 20), strict=True)) == pytest.approx(50 * whole.loss)
        assert sum(piece.correct.ones() for piece in pieces) == whole.correct.ones()


def test_the_order_is_stratified_by_class_and_counts_the_examples():
    batches = classified(50)
    evaluator = ModelEvaluator(Chain([0.5, 0.5]), batches)
    assert evaluator.n_examples is None
    order = evaluator.stratified_order(np.random.default_rng(0))
    assert evaluator.n_examples == 50
    classes = torch.cat([targets for _, targets in batches])[order]
    shares = torch.bincount(classes, minlength=CLASSES) / 50
    assert ((torch.bincount(classes[:20], minlength=CLASSES) - 20 * shares).abs() < 1).all()


def test_the_order_of_sequences_is_random(text):
    evaluator = ModelEvaluator(text.model, [(text.inputs, text.targets)])
    assert sorted(evaluator.stratified_order(np.random.default_rng(0)).tolist()) == list(range(6))
    (part, _) = evaluator.evaluate_part(all_of(3)[:2], np.array([4, 1]))
    whole = evaluator.evaluate_all(all_of(3))[0]
    assert part.group_losses == pytest.approx([whole.group_losses[1], whole.group_losses[4]])


def message(evaluate):
    with pytest.raises(AttributionError) as caught:
        evaluate()
    return str(caught.value)


def test_examples_that_are_none():
    evaluator = ModelEvaluator(Chain([0.5]), classified(16))
    assert message(lambda: evaluator.evaluate_part(all_of(1), np.array([3, 16]))) == (
        "every example must be one of the loader's; got example 16 of 16."
    )
    for examples in ([], [1, 1], [-1, 2]):
        assert message(lambda examples=examples: evaluator.evaluate_part(all_of(1), np.array(examples))).startswith(
            "examples must be indices, at least 0, each once; got "
        )


def test_targets_that_are_no_classes():
    ((inputs, targets),) = classified(8)
    assert message(lambda: ModelEvaluator(Chain([0.5]), [(inputs, targets.float())])((True,))) == (
        "targets must be whole numbers, the classes; got torch.float32. "
        "For other tasks write a value function that returns an Evaluation."
    )
    assert message(lambda: ModelEvaluator(Chain([0.5]), [(inputs, torch.full((8,), -100))])((True,))) == (
        "there must be targets other than -100, which counts for nothing; got none."
    )


@pytest.mark.parametrize("in_place", [False, True])
def test_what_was_compiled_runs_as_it_was_written_and_is_not_compiled_again(in_place):
    torch._dynamo.reset()
    plain = Chain([0.5, 0.5])
    batches = classified(20)
    expected = ModelEvaluator(plain, batches).evaluate_all(all_of(2))
    model = plain if in_place else torch.compile(plain, backend="eager")
    if in_place:
        plain.compile(backend="eager")
    model(batches[0][0])
    torch._dynamo.utils.counters.clear()
    evaluator = ModelEvaluator(model, batches)
    found = evaluator.evaluate_all(all_of(2))
    assert evaluator.method == "branching"
    assert_same(found, expected)
    model(batches[0][0])
    assert torch._dynamo.utils.counters["stats"].get("unique_graphs", 0) == 0
    torch._dynamo.reset()


def test_slots_of_the_examples_branch():
    model = ConvHost(width=4)
    for slot in model.slots():
        assert isinstance(slot, SeedSlot)
        slot.seed, slot.alpha = BLUEPRINTS["conv_heavy"](slot.channels), 1.0
    evaluator = ModelEvaluator(model, [(torch.randn(9, 3, 32, 32), torch.randint(0, 10, (9,)))])
    evaluator.evaluate_all(all_of(3))
    assert evaluator.method == "branching"
