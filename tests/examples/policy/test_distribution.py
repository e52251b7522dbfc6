"""The distribution over factored actions is the product of its heads, each over what is legal; checked by enumeration."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.policy.actions import BLENDS, HEADS, OPS, Legal, Space, stacked, used, uses
from examples.policy.distribution import Factored

SPACE = Space(("early", "late"), ("small", "large"))


def legal(slots, blueprints):
    return SPACE.legal(slots, blueprints)


LEGAL = [
    legal({}, {}),
    legal({"GERMINATE": {"early"}}, {"early": {"small"}}),
    legal({"GERMINATE": {"early", "late"}, "PRUNE": {"late"}}, {"early": {"small", "large"}, "late": {"large"}}),
    legal({"ADVANCE": {"late"}, "PRUNE": {"late"}, "GERMINATE": {"early"}}, {"early": {"small", "large"}}),
    legal({"FOSSILIZE": {"early", "late"}}, {}),
]


def drawn_from(masks, seed, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"op": (len(OPS),), "slot": (len(OPS), 2), "blueprint": (2, 2), "blend": (2, len(BLENDS))}
    logits = {head: scale * torch.randn(*masks.op.shape[:-1], *shape, generator=generator) for head, shape in shapes.items()}
    return Factored(**logits, legal=masks)


def every_choice():
    """Each action once: heads that an op does not take stay 0."""
    sizes = SPACE.sizes()
    for op in range(len(OPS)):
        taken = uses(OPS[op])
        yield from product([op], *(range(sizes[head]) if head in taken else [0] for head in HEADS[1:]))


@pytest.mark.parametrize("masks", LEGAL)
@pytest.mark.parametrize("seed", range(3))
def test_the_probabilities_of_all_legal_actions_sum_to_one_and_illegal_ones_have_none(masks, seed):
    actions = drawn_from(masks, seed)
    probabilities = {}
    for choice in every_choice():
        log_probs = actions.log_probs(torch.tensor(choice))
        probabilities[choice] = math.exp(sum(float(value) for value in log_probs.values()))
    allowed = {choice for choice in probabilities if is_legal(choice, masks)}
    assert sum(probabilities[choice] for choice in allowed) == pytest.approx(1, abs=1e-6)
    assert all(probabilities[choice] == 0 for choice in probabilities.keys() - allowed)


def is_legal(choice, masks):
    op, slot, blueprint, _ = choice
    if not masks.op[op]:
        return False
    if "slot" in uses(OPS[op]) and not masks.slot[op, slot]:
        return False
    return OPS[op] != "GERMINATE" or bool(masks.blueprint[slot, blueprint])


@pytest.mark.parametrize("masks", LEGAL)
@pytest.mark.parametrize("seed", range(3))
def test_the_entropies_of_the_heads_sum_to_that_of_the_action(masks, seed):
    actions = drawn_from(masks, seed)
    joint = [sum(float(value) for value in actions.log_probs(torch.tensor(choice)).values()) for choice in every_choice()]
    expected = -sum(math.exp(log_prob) * log_prob for log_prob in joint if log_prob > -1e6)
    assert sum(float(value) for value in actions.entropies().values()) == pytest.approx(expected, abs=1e-5)


@given(st.integers(0, 1000), st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4))
@settings(max_examples=50, deadline=None)
def test_whatever_is_drawn_is_legal(seed, uniforms):
    for masks in LEGAL:
        chosen = drawn_from(masks, seed).draw(torch.tensor(uniforms))
        assert is_legal(tuple(chosen.tolist()), masks)


def test_draws_are_as_frequent_as_their_probabilities():
    masks = LEGAL[2]
    many = 40_000
    actions = drawn_from(Legal(*(mask.expand(many, *mask.shape) for mask in masks)), 0, scale=0.0)
    chosen = actions.draw(torch.rand(many, 4, generator=torch.Generator().manual_seed(0)))
    germinated_late = ((chosen[:, 0] == OPS.index("GERMINATE")) & (chosen[:, 1] == 1)).float().mean()
    assert float(germinated_late) == pytest.approx(1 / 6, abs=0.01)  # one of three ops, one of two slots


def test_the_same_numbers_draw_the_same_choice_alone_and_beside_others():
    masks = stacked(LEGAL)
    actions = drawn_from(masks, 1)
    uniforms = torch.rand(len(LEGAL), 4, generator=torch.Generator().manual_seed(3))
    together = actions.draw(uniforms)
    for i, alone in enumerate(LEGAL):
        one = Factored(*(getattr(actions, head)[i] for head in HEADS), alone)
        assert torch.equal(one.draw(uniforms[i]), together[i])


def test_gradients_of_illegal_choices_are_zero():
    masks = LEGAL[1]
    actions = drawn_from(masks, 0)
    op = actions.op.clone().requires_grad_()
    tracked = Factored(op, actions.slot, actions.blueprint, actions.blend, masks)
    sum(tracked.log_probs(torch.tensor([1, 0, 0, 0])).values()).backward()
    assert op.grad[~masks.op].abs().sum() == 0
    assert op.grad[masks.op].abs().sum() > 0


def test_an_op_takes_the_heads_it_needs():
    assert [uses(op) for op in OPS] == [
        ("op",),
        ("op", "slot", "blueprint"),
        ("op", "slot", "blend"),
        ("op", "slot"),
        ("op", "slot"),
    ]
    taken = used(torch.arange(len(OPS)))
    assert taken["slot"].tolist() == [False, True, True, True, True]


def test_an_action_is_named_in_the_heads_that_its_op_takes():
    assert SPACE.named(torch.tensor([0, 1, 1, 1])).to_plain() == {"op": "WAIT"}
    germinate = SPACE.named(torch.tensor([1, 1, 0, 1]))
    assert (germinate.op, germinate.slot, germinate.blueprint, germinate.blend) == ("GERMINATE", "late", "small", None)
    advance = SPACE.named(torch.tensor([2, 0, 1, 0]))
    assert (advance.op, advance.slot, advance.blueprint, advance.blend) == ("ADVANCE", "early", None, BLENDS[0])
