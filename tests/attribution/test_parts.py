"""Evaluations of parts of the examples, put together."""

import numpy as np
import pytest

from karn_wandb.attribution.parts import GrowingValue, joined
from karn_wandb.errors import AttributionError
from karn_wandb.records import Bits, Evaluation


def message(*parts):
    with pytest.raises(AttributionError) as caught:
        joined(parts)
    return str(caught.value)


def test_bits_follow_each_other_and_the_accuracy_is_left_to_them():
    found = joined([Evaluation(accuracy=100.0, correct=(True,) * 3), Evaluation(accuracy=0.0, correct=(False,) * 10)])
    assert found == Evaluation(correct=(True,) * 3 + (False,) * 10)


def test_means_are_over_all_examples_and_groups_follow_each_other():
    one = Evaluation(loss=1.0, accuracy=40.0, group_losses=(0.5, 1.5), group_accuracies=(20.0, 60.0), group_sizes=(3, 3))
    other = Evaluation(loss=3.0, accuracy=90.0, group_losses=(3.0,), group_accuracies=(90.0,), group_sizes=(2,))
    assert joined([one, other]) == Evaluation(
        loss=(6 * 1.0 + 2 * 3.0) / 8,
        accuracy=(6 * 40.0 + 2 * 90.0) / 8,
        group_losses=(0.5, 1.5, 3.0),
        group_accuracies=(20.0, 60.0, 90.0),
        group_sizes=(3, 3, 2),
    )


def test_groups_of_one_size_need_no_sizes_in_the_end():
    part = Evaluation(loss=1.0, group_losses=(1.0, 1.0), group_sizes=(4, 4))
    assert joined([part, part]) == Evaluation(loss=1.0, group_losses=(1.0,) * 4)


def test_classes_are_weighed_by_their_examples_of_each_part():
    one = Evaluation(correct=(True,) * 4, per_class_accuracy={0: 100.0, 1: 50.0}, class_sizes={0: 2, 1: 2})
    other = Evaluation(correct=(True,) * 4, per_class_accuracy={0: 50.0, 2: 0.0}, class_sizes={0: 6, 2: 1})
    assert joined([one, other]).per_class_accuracy == {0: 62.5, 1: 50.0, 2: 0.0}


def test_what_one_part_does_not_tell_is_not_known_of_all():
    full = Evaluation(loss=1.0, correct=(True,), per_class_accuracy={0: 100.0}, class_sizes={0: 1}, n_examples=1)
    bare = Evaluation(correct=(False,))
    assert joined([full, bare]) == Evaluation(correct=(True, False))
    unsized = Evaluation(correct=(True,), per_class_accuracy={0: 100.0})
    assert joined([full, unsized]).per_class_accuracy is None


def test_no_bits_are_none():
    part = Evaluation(accuracy=50.0, correct=(), group_accuracies=(50.0,), group_sizes=(2,))
    assert joined([part, part]) == Evaluation(accuracy=50.0, group_accuracies=(50.0, 50.0))


def test_numbers_of_examples_add_up():
    part = Evaluation(accuracy=50.0, group_accuracies=(50.0, 50.0), group_sizes=(2, 3), n_examples=5)
    assert joined([part, part]).n_examples == 10


def test_one_part_is_itself():
    part = Evaluation(loss=0.5, correct=(True, False), per_class_accuracy={0: 50.0}, n_examples=2)
    assert joined([part]) == Evaluation(loss=0.5, correct=(True, False), n_examples=2)


def test_parts_without_outcomes_or_their_sizes():
    expected = (
        "an evaluation of a part of the examples must have `correct` bits, or groups with their `group_sizes`. "
        "Return what was measured by example or by group, or set decide_early=False."
    )
    assert message(Evaluation(accuracy=50.0)) == expected
    assert message(Evaluation(correct=(True,), group_losses=(1.0,))) == expected


def test_a_part_that_is_a_number():
    assert message(50.0) == "evaluate_part must return an Evaluation for each coalition; got float."


class Parts:
    """Tells of each example whether its index is even, or odd."""

    def __init__(self):
        self.asked = []

    def evaluate_part(self, configs, examples):
        self.asked.append(examples.tolist())
        return [Evaluation(correct=Bits(bool(i % 2) is config[0] for i in sorted(examples.tolist()))) for config in configs]


def test_no_example_is_evaluated_twice_while_they_grow():
    value, order = Parts(), np.array([4, 1, 3, 0, 2])
    growing = GrowingValue(value, order)
    growing.grow(2)
    assert growing.evaluate_all([(True,)]) == [Evaluation(correct=(True, False))]
    assert growing.evaluate_all([(False,)]) == [Evaluation(correct=(False, True))]
    growing.grow(5)
    assert growing.evaluate_all([(True,), (False,)]) == [
        Evaluation(correct=(True, False, False, False, True)),
        Evaluation(correct=(False, True, True, True, False)),
    ]
    assert value.asked == [[4, 1], [4, 1], [3, 0, 2]]
