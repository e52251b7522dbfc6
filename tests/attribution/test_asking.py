"""How many coalitions a value function gets at once, and until when: on a clock of its own."""

from itertools import product
from types import SimpleNamespace

import pytest

from karn_wandb.attribution.asking import answers
from karn_wandb.attribution.values import Reader
from karn_wandb.records import Evaluation

CONFIGS = list(product((True, False), repeat=4))
READER = Reader(("a", "b", "c", "d"), "accuracy", {})


class Timed:
    """A value that takes coalitions together, so many seconds for a call and for each coalition."""

    def __init__(self, each, call=0.0):
        self.each, self.call, self.now, self.asked = each, call, 0.0, []

    def evaluate_all(self, configs):
        self.asked.append(len(configs))
        each = self.each(sum(self.asked)) if callable(self.each) else self.each
        self.now += self.call + each * len(configs)
        return [Evaluation(accuracy=50.0)] * len(configs)


@pytest.fixture
def ask(monkeypatch):
    def asked(value, deadline, configs=CONFIGS):
        monkeypatch.setattr("karn_wandb.attribution.asking.time", SimpleNamespace(monotonic=lambda: value.now))
        assert [config for config, _ in answers(configs, value, READER, deadline)] == configs[: sum(value.asked)]
        return value.asked

    return asked


def test_without_a_deadline_all_are_asked_for_at_once(ask):
    assert ask(Timed(1.0), None) == [16]


def test_with_time_enough_all_are_asked_for_at_once_after_the_first_two(ask):
    assert ask(Timed(1.0), 100.0) == [2, 14]
    assert ask(Timed(0.0), 100.0) == [2, 14]


def test_no_more_than_half_of_the_time_left_is_given_to_a_group(ask):
    """Two leave 14 seconds, seven leave 7, three leave 4, two leave 2."""
    value = Timed(1.0)
    assert ask(value, 16.0) == [2, 7, 3, 2, 1, 1]
    assert value.now == 16.0


def test_what_a_call_costs_by_itself_is_learned_from_larger_groups(ask):
    """Two in 6 seconds look like 3 each, five in 9 like 1.8, six in 10 like 1.7."""
    assert ask(Timed(1.0, call=4.0), 40.0) == [2, 5, 6, 3]


def test_coalitions_twice_as_slow_as_those_before_are_still_in_time(ask):
    value = Timed(lambda known: 1.0 if known <= 2 else 2.0)
    assert ask(value, 16.0)[:2] == [2, 7]
    assert value.now <= 16.0 + 2.0


def test_one_more_is_asked_for_as_long_as_there_is_time(ask):
    value = Timed(5.0)
    assert ask(value, 12.0) == [2, 1]
    assert value.now == 15.0


def test_no_time_asks_nothing(ask):
    assert ask(Timed(1.0), 0.0) == []


def test_a_value_of_one_coalition_gets_one_at_a_time(monkeypatch):
    asked = []

    def value(config):
        asked.append(config)
        return 50.0

    assert [config for config, _ in answers(CONFIGS, value, READER, None)] == asked == CONFIGS
