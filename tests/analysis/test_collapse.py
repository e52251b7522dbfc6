"""A critic that says the same everywhere, a policy that no longer explores: when it is told, and when it is not."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.analysis.collapse import EntropyCollapse, ValueCollapse, entropy_collapsed, value_collapsed
from karn_wandb.records import FactoredAction, PolicySnapshot, PPOUpdate

NAN, INF = math.nan, math.inf
WAIT = FactoredAction("WAIT")


def fired(detector, records):
    """Which records a collapse began with."""
    return [number for number, record in enumerate(records) if detector.observe(record) is not None]


def update(value_std, return_std=1.0, **others):
    return PPOUpdate(value_std=value_std, return_std=return_std, **others)


def decisions(values, rewards=None, observation=lambda number: (float(number),)):
    """A decision for each value, on ever new observations unless said otherwise."""
    rewards = [None] * len(values) if rewards is None else rewards
    return [
        PolicySnapshot(observation(n), WAIT, value_estimate=value, reward_total=reward)
        for n, (value, reward) in enumerate(zip(values, rewards, strict=True))
    ]


class TestDefinitions:
    def test_values_are_flat_at_one_percent_of_the_spread_of_returns_that_vary(self):
        assert value_collapsed(0.02, 2.0)
        assert not value_collapsed(0.0200001, 2.0)
        assert not value_collapsed(0.0, 0.0)

    def test_entropy_has_collapsed_at_five_percent_of_what_was_exploration(self):
        assert entropy_collapsed(0.05, 1.0)
        assert not entropy_collapsed(0.0500001, 1.0)
        assert entropy_collapsed(0.0, 0.05)
        assert not entropy_collapsed(0.0, 0.0499)

    @settings(max_examples=50, deadline=None)
    @given(st.floats(0, 0.01), st.floats(-1, 1))
    def test_values_as_flat_explain_two_percent_at_most(self, ratio, correlation):
        """Explained variance is 2 c s - s^2 for spread s and correlation c: 1 - Var(R - V) / Var(R)."""
        assert 2 * correlation * ratio - ratio**2 <= 0.02


class TestValueCollapseInUpdates:
    FLAT, FINE = update(0.01), update(0.0101)

    def test_begins_with_three_of_five_after_the_first_five(self):
        assert fired(ValueCollapse(), [self.FLAT] * 20) == [7]
        assert fired(ValueCollapse(), [self.FINE] * 20) == []
        assert fired(ValueCollapse(), [self.FINE] * 9 + [self.FLAT, self.FINE, self.FLAT, self.FINE, self.FLAT]) == [13]
        assert fired(ValueCollapse(), [self.FINE] * 9 + [self.FLAT, self.FLAT, self.FINE, self.FINE, self.FINE, self.FLAT]) == []

    def test_is_told_again_only_after_it_was_over(self):
        lasting = [self.FLAT] * 8 + [self.FINE] * 3 + [self.FLAT] * 5
        assert fired(ValueCollapse(), lasting) == [7]
        over = [self.FLAT] * 8 + [self.FINE] * 4 + [self.FLAT] * 5
        assert fired(ValueCollapse(), over) == [7, 14]

    def test_says_what_was_measured(self):
        detector = ValueCollapse()
        causes = [detector.observe(update(0.004, 2.0)) for _ in range(8)]
        assert causes[-1] == {"value_std": 0.004, "return_std": 2.0, "threshold": 0.02}

    @pytest.mark.parametrize(
        "other",
        [
            update(None), update(NAN), update(0.0, None), update(0.0, 0.0), update(0.0, NAN), update(0.0, INF),
            update(0.0, value_nrmse=1001.0), update(0.0, 0.09), PPOUpdate(entropy=1.0),
        ],
    )  # fmt: skip
    def test_updates_that_do_not_tell_count_neither_way(self, other):
        """Not even in the warm-up."""
        told = [self.FINE] * 12
        mixed = [one for flat in [self.FLAT] * 3 for one in (other, flat)]
        assert fired(ValueCollapse(), told + [other] * 4) == []
        assert fired(ValueCollapse(), told + mixed) == [17]
        assert fired(ValueCollapse(), [*told[:4], other, *[self.FLAT] * 4]) == [8]


REWARDS = [float(n % 2) for n in range(60)]
"""Their standard deviation is 0.5."""


class TestValueCollapseInDecisions:
    def test_begins_when_twenty_values_are_the_same_on_observations_that_differ(self):
        assert fired(ValueCollapse(), decisions([1.5] * 60)) == [29]
        assert fired(ValueCollapse(), decisions([1.5, 1.50001] * 30)) == []
        assert fired(ValueCollapse(), decisions([1.5, 1.500001] * 30)) == [29], "rounding does not matter"
        assert fired(ValueCollapse(), decisions([0.0] * 60)) == [29]

    def test_spread_is_compared_with_that_of_the_rewards_when_they_are_known(self):
        """Values of +-0.005 have the standard deviation 0.005: 1 % of the rewards'."""
        for spread, expected in ((0.005 - 1e-9, [29]), (0.005 + 1e-9, [])):
            assert fired(ValueCollapse(), decisions([spread, -spread] * 30, REWARDS)) == expected

    def test_says_what_was_measured(self):
        detector = ValueCollapse()
        (cause,) = [c for d in decisions([0.004, -0.004] * 30, REWARDS) if (c := detector.observe(d)) is not None]
        assert cause == {"value_std": pytest.approx(0.004), "reward_std": 0.5, "threshold": 0.005}
        detector = ValueCollapse()
        (cause,) = [c for d in decisions([-2.0] * 60) if (c := detector.observe(d)) is not None]
        assert cause == {"value_std": 0.0, "value_size": 2.0, "threshold": 2e-6}

    @pytest.mark.parametrize(("distinct", "expected"), [(10, [29]), (9, [])])
    def test_the_same_value_on_the_same_observations_is_right(self, distinct, expected):
        """Also when rewards vary: the critic cannot know why."""
        same = decisions([1.0] * 60, REWARDS, observation=lambda n: (float(n % distinct),))
        assert fired(ValueCollapse(), same) == expected

    def test_without_observations_rewards_must_vary(self):
        blind = {"observation": lambda _: ()}
        assert fired(ValueCollapse(), decisions([1.0] * 60, REWARDS, **blind)) == [29]
        assert fired(ValueCollapse(), decisions([1.0] * 60, [1.0] * 60, **blind)) == []
        assert fired(ValueCollapse(), decisions([1.0] * 60, **blind)) == []

    @pytest.mark.parametrize(("every", "expected"), [(2, [29]), (3, [])])
    def test_rewards_known_for_less_than_half_of_the_decisions_are_no_reference(self, every, expected):
        rewards = [float(n % 4) if n % every == 0 else None for n in range(60)]
        assert fired(ValueCollapse(), decisions([1.0] * 60, rewards, observation=lambda _: ())) == expected

    @pytest.mark.parametrize(("spread", "expected"), [(0.0099, [29]), (0.0101, [29, 95])])
    def test_is_told_again_only_after_the_values_spread_twice_the_threshold(self, spread, expected):
        """Of the 20 values up to record 95 four are not 0: a spread of 0.0101 * sqrt(4 / 20), which is below 0.005 again."""
        values = [0.0] * 40 + [spread, -spread] * 20 + [0.0] * 30
        rewards = [float(n % 2) for n in range(len(values))]
        assert fired(ValueCollapse(), decisions(values, rewards)) == expected

    @pytest.mark.parametrize("value", [None, NAN, INF])
    def test_decisions_without_a_finite_value_do_not_count(self, value):
        values = [v for pair in [(1.0, value)] * 30 for v in pair]
        assert fired(ValueCollapse(), decisions(values)) == [58]


def entropies(*values):
    return [PPOUpdate(entropy=value) for value in values]


class TestEntropyCollapseInUpdates:
    def test_begins_when_the_mean_of_five_is_five_percent_of_the_highest(self):
        high = [1.0] * 5
        assert fired(EntropyCollapse(), entropies(*high, *[0.05] * 9)) == [9]
        assert fired(EntropyCollapse(), entropies(*high, *[0.0501] * 9)) == []
        assert fired(EntropyCollapse(), entropies(*high, *[0.0] * 4, 1.0)) == [], "four are not several"

    def test_is_compared_with_the_highest_not_with_the_beginning(self):
        assert fired(EntropyCollapse(), entropies(*[0.2] * 5, *[2.0] * 5, *[0.1] * 5)) == [14]

    def test_a_policy_that_never_explored_cannot_stop(self):
        assert fired(EntropyCollapse(), entropies(*[0.0] * 40)) == []
        assert fired(EntropyCollapse(), entropies(*[0.049] * 5, *[0.0] * 20)) == []
        assert fired(EntropyCollapse(), entropies(*[0.05] * 5, *[0.0] * 20)) == [9]
        assert fired(EntropyCollapse(), entropies(*[0.0] * 20, *[1.0] * 5, *[0.0] * 5)) == [29], "it explored late"

    def test_is_told_again_only_above_ten_percent(self):
        for mean, expected in ((0.1, [9]), (0.101, [9, 19])):
            records = entropies(*[1.0] * 5, *[0.0] * 5, *[mean] * 5, *[0.0] * 5)
            assert len(fired(EntropyCollapse(), records)) == len(expected)

    def test_says_what_was_measured(self):
        detector = EntropyCollapse()
        causes = [detector.observe(record) for record in entropies(*[2.0] * 5, *[0.01] * 5)]
        assert causes == [None] * 9 + [{"entropy": pytest.approx(0.01), "highest": 2.0, "threshold": 0.1}]

    def test_heads_add_up_where_the_joint_entropy_is_not_given(self):
        heads = [PPOUpdate(per_head_entropy={"op": 0.5, "slot": 0.5})] * 5
        assert fired(EntropyCollapse(), heads + [PPOUpdate(per_head_entropy={"op": 0.05, "slot": 0.0})] * 5) == [9]
        assert fired(EntropyCollapse(), heads + [PPOUpdate(per_head_entropy={"op": 0.0, "slot": 0.5})] * 5) == []
        assert fired(EntropyCollapse(), heads + [PPOUpdate(per_head_entropy={"op": 0.0}, entropy=1.0)] * 5) == []

    @pytest.mark.parametrize("entropy", [None, NAN, INF, -INF, -0.5])
    def test_what_is_no_entropy_of_choices_does_not_count(self, entropy):
        assert fired(EntropyCollapse(), entropies(*[1.0] * 5, *[entropy] * 9)) == []
        assert fired(EntropyCollapse(), entropies(*[1.0] * 5, entropy, *[0.0] * 5)) == [10]

    def test_a_zero_below_zero_by_rounding_counts(self):
        assert fired(EntropyCollapse(), entropies(*[1.0] * 5, *[-1e-8] * 5)) == [9]


class TestEntropyCollapseInDecisions:
    def decisions(self, *values, masked=False):
        return [PolicySnapshot((), WAIT, entropy=value, action_was_masked=masked) for value in values]

    def test_begins_when_the_mean_of_twenty_is_five_percent_of_the_highest(self):
        high = self.decisions(*[1.0] * 20)
        assert fired(EntropyCollapse(), high + self.decisions(*[0.0499] * 30)) == [39]
        assert fired(EntropyCollapse(), high + self.decisions(*[0.0501] * 30)) == []
        assert fired(EntropyCollapse(), high + self.decisions(*[0.0, 0.0, 0.0, 1.0] * 30)) == [], "some decisions are easy"

    def test_masked_decisions_do_not_count(self):
        high = self.decisions(*[1.0] * 20)
        assert fired(EntropyCollapse(), high + self.decisions(*[0.0] * 99, masked=True)) == []
        mixed = [one for _ in range(20) for one in (*self.decisions(1.0, masked=True), *self.decisions(0.001))]
        assert fired(EntropyCollapse(), high + mixed) == [59]


@pytest.mark.parametrize(
    ("detector", "updates", "snapshots"),
    [
        (ValueCollapse, [update(0.0)] * 8, decisions([1.0] * 30)),
        (
            EntropyCollapse,
            entropies(*[1.0] * 5, *[0.0] * 5),
            TestEntropyCollapseInDecisions().decisions(*[1.0] * 20, *[0.001] * 20),
        ),
    ],
)
def test_a_collapse_that_updates_and_decisions_show_is_told_once(detector, updates, snapshots):
    assert fired(detector(), updates) == [len(updates) - 1]
    assert fired(detector(), snapshots) == [len(snapshots) - 1]
    assert fired(detector(), updates + snapshots) == [len(updates) - 1]
    assert fired(detector(), snapshots + updates) == [len(snapshots) - 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([None, NAN, INF, -INF, 0.0, 1e-300, 0.5, 1e300]), min_size=1, max_size=8))
def test_any_numbers_are_taken(drawn):
    """And no detector fires before its warm-up."""
    for detector in (ValueCollapse(), EntropyCollapse()):
        records = [PPOUpdate(entropy=x, value_std=x, return_std=x and abs(x)) for x in drawn * 5]
        assert all(number >= 5 for number in fired(detector, records))
    for detector in (ValueCollapse(), EntropyCollapse()):
        records = [
            PolicySnapshot((float(n),), WAIT, value_estimate=x, reward_total=x, entropy=x) for n, x in enumerate(drawn * 8)
        ]
        assert all(number >= 20 for number in fired(detector, records))
