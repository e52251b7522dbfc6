"""The coalitions program evaluates both ways and compares; how long anything takes is not tested."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmarks.coalitions import CASES, Case, deep, differences, every, ratios, sampled
from benchmarks.models import text_training


def text():
    training = text_training(4, context=8, width=8, heads=2, blocks=3)
    return Case(training.model, [(training.inputs, training.targets)], every(3))


@pytest.mark.parametrize("make", [partial(deep, (4, 8, 8, 8), every, 1), text])
def test_both_ways_give_the_same(make):
    case = make()
    same, difference = differences(case)
    assert same == "yes"
    assert difference < 1e-5
    assert case.evaluator.method == "branching"
    assert len({evaluation.loss for evaluation in case.branching()}) == len(case.coalitions)


def test_a_first_round_warms_up():
    assert [min(pair) > 0 for pair in ratios(text(), blocks=2)] == [True, True]


def test_twenty_permutations_pass_by_fewer_coalitions_than_there_are():
    assert 2 < len(set(sampled(8))) == len(sampled(8)) <= 20 * 7 + 2 < 2**8


def test_what_is_evaluated_has_a_name():
    assert list(CASES) == ["cnn3", "cnn4", "gpt3", "cnn8"]
    assert torch.is_tensor(deep((4, 4), every, 1).batches[0][0])
