"""What the policy does, and how often it agrees with the shadow heuristic; numbers against numpy's and scipy's."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from karn_wandb.analysis import PolicyAnalyzer
from karn_wandb.analysis.policy import FEWEST, MOST_NAMES, OTHER, RECENT, agree, wilson_interval
from karn_wandb.records import FactoredAction, PolicyComparisonSummary, PolicySnapshot

few = settings(max_examples=50, deadline=None)


def decision(action, heuristic=None, reward=None, **measured):
    return PolicySnapshot((), action, heuristic_action=heuristic, reward_total=reward, **measured)


def observed(*decisions):
    analyzer = PolicyAnalyzer()
    for one in decisions:
        analyzer.observe(one)
    return analyzer


WAIT, PRUNE = FactoredAction("WAIT"), FactoredAction("PRUNE", slot="mid")
actions = st.builds(
    FactoredAction,
    op=st.sampled_from(["WAIT", "GERMINATE", "PRUNE"]),
    slot=st.none() | st.sampled_from(["early", "mid"]),
    blueprint=st.none() | st.sampled_from(["norm", "conv"]),
    tempo=st.none() | st.integers(0, 1),
)


def test_before_any_decision_nothing_is_known():
    analyzer = PolicyAnalyzer()
    assert analyzer.comparison() == PolicyComparisonSummary()
    assert analyzer.action_distribution() == {}
    assert analyzer.recent_actions() == ()
    assert analyzer.recent_entropy() is None
    assert analyzer.recent_value_variance() is None


class TestAgreement:
    @pytest.mark.parametrize(
        ("ours", "heuristic", "same"),
        [
            (WAIT, WAIT, True),
            (WAIT, PRUNE, False),
            (FactoredAction("GERMINATE", "mid", "norm", "linear"), FactoredAction("GERMINATE", "mid"), True),
            (FactoredAction("GERMINATE", "mid"), FactoredAction("GERMINATE", "mid", "norm"), False),
            (FactoredAction("GERMINATE", "mid"), FactoredAction("GERMINATE", "early"), False),
            (FactoredAction("SET_ALPHA_TARGET", alpha_target=0.0), FactoredAction("SET_ALPHA_TARGET", alpha_target=0.5), False),
            (FactoredAction("SET_ALPHA_TARGET", tempo=3), FactoredAction("SET_ALPHA_TARGET", tempo=0), False),
        ],
    )
    def test_is_the_same_choice_in_every_head_the_heuristic_filled(self, ours, heuristic, same):
        assert agree(ours, heuristic) is same

    def test_is_counted_over_the_decisions_that_carry_the_heuristics_action(self):
        mid, early = FactoredAction("GERMINATE", "mid"), FactoredAction("GERMINATE", "early")
        summary = observed(
            decision(WAIT, WAIT, reward=1.0),
            decision(WAIT, WAIT),
            decision(PRUNE, WAIT, reward=-1.0),
            decision(PRUNE, WAIT, reward=-2.0),
            decision(mid, early, reward=3.0),
            decision(PRUNE, reward=100.0),
        ).comparison()
        assert (summary.decisions, summary.agreements, summary.agreement_rate, summary.op_agreements) == (5, 2, 0.4, 3)
        assert summary.disagreements == {"PRUNE instead of WAIT": 2, "GERMINATE instead of GERMINATE": 1}
        assert (summary.reward_agreeing, summary.reward_disagreeing) == (1.0, 0.0)

    def test_without_the_heuristic_there_is_no_rate_and_no_interval(self):
        assert observed(decision(WAIT), decision(PRUNE)).comparison() == PolicyComparisonSummary()

    def test_without_rewards_there_are_no_mean_rewards(self):
        summary = observed(decision(WAIT, WAIT), decision(WAIT, PRUNE)).comparison()
        assert (summary.reward_agreeing, summary.reward_disagreeing) == (None, None)

    @few
    @given(st.lists(st.tuples(actions, actions | st.none()), max_size=30))
    def test_adds_up_whatever_is_decided(self, pairs):
        summary = observed(*(decision(ours, theirs) for ours, theirs in pairs)).comparison()
        compared = [(ours, theirs) for ours, theirs in pairs if theirs is not None]
        heads = ("op", "slot", "blueprint", "tempo")
        wanted = [[(getattr(o, head), getattr(h, head)) for head in heads if getattr(h, head) is not None] for o, h in compared]
        assert summary.decisions == len(compared)
        assert summary.agreements == sum(all(a == b for a, b in heads) for heads in wanted)
        assert summary.op_agreements == sum(o.op == h.op for o, h in compared)
        assert sum(summary.disagreements.values()) == summary.decisions - summary.agreements
        assert summary.agreements <= summary.op_agreements <= summary.decisions
        if compared:
            assert summary.ci_low - 1e-12 <= summary.agreement_rate <= summary.ci_high + 1e-12


class TestRegret:
    def test_of_disagreements_has_a_mean_and_a_t_interval(self):
        """Of 1, 2 and 6: mean 3, standard error sqrt(7/3), and 4.30265 is the t table's 97.5 % point at 2 degrees of freedom."""
        summary = observed(*(decision(WAIT, PRUNE, regret=regret) for regret in (1.0, 2.0, 6.0))).comparison()
        half = 4.30265 * math.sqrt(7 / 3)
        assert (summary.regrets, summary.regret_mean) == (3, 3.0)
        assert (summary.regret_ci_low, summary.regret_ci_high) == pytest.approx((3 - half, 3 + half), abs=1e-4)

    def test_counts_where_it_was_measured_is_finite_and_the_two_differ(self):
        summary = observed(
            decision(WAIT, PRUNE, regret=-0.5),
            decision(FactoredAction("PRUNE", "early"), PRUNE, regret=1.0),
            decision(WAIT, PRUNE),
            decision(WAIT, PRUNE, regret=math.nan),
            decision(WAIT, PRUNE, regret=math.inf),
            decision(WAIT, WAIT, regret=100.0),
            decision(WAIT, regret=100.0),
        ).comparison()
        assert (summary.decisions, summary.regrets, summary.regret_mean) == (6, 2, 0.25)
        assert (summary.regret_ci_low, summary.regret_ci_high) == (None, None), "two have no interval"

    def test_that_was_never_measured_is_missing(self):
        summary = observed(decision(WAIT, PRUNE), decision(WAIT, WAIT)).comparison()
        assert (summary.regrets, summary.regret_mean, summary.regret_ci_low, summary.regret_ci_high) == (0, None, None, None)

    def test_without_spread_has_a_mean_and_no_interval(self):
        summary = observed(*(decision(WAIT, PRUNE, regret=0.1) for _ in range(5))).comparison()
        assert (summary.regrets, summary.regret_mean, summary.regret_ci_low, summary.regret_ci_high) == (5, 0.1, None, None)

    @few
    @given(
        st.lists(st.integers(-1000, 1000).map(lambda n: n / 7), min_size=FEWEST, max_size=30).filter(lambda r: len(set(r)) > 1)
    )
    def test_agrees_with_scipy_whatever_their_order(self, regrets):
        summary = observed(*(decision(WAIT, PRUNE, regret=regret) for regret in regrets)).comparison()
        theirs = ttest_1samp(regrets, 0).confidence_interval(0.95)
        assert (summary.regrets, summary.regret_mean) == (len(regrets), pytest.approx(np.mean(regrets), rel=1e-9, abs=1e-9))
        assert (summary.regret_ci_low, summary.regret_ci_high) == pytest.approx(tuple(theirs), rel=1e-9, abs=1e-9)


class TestWilson:
    @few
    @given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99]))
    def test_agrees_with_scipy_and_stays_between_zero_and_one(self, counts, confidence):
        theirs = binomtest(*counts).proportion_ci(confidence, method="wilson")
        ours = wilson_interval(*counts, confidence)
        assert ours == pytest.approx(tuple(theirs), abs=1e-12)
        assert 0 <= ours[0] < ours[1] <= 1

    def test_of_a_published_example(self):
        """Newcombe 1998, Statistics in Medicine 17, 857-872, table I: 81 of 263 gives 0.2553 to 0.3662."""
        assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


class TestActions:
    @few
    @given(st.lists(st.sampled_from(["WAIT", "PRUNE", "GERMINATE", "ADVANCE"])))
    def test_are_counted_as_fractions_in_order_of_their_names(self, ops):
        distribution = observed(*(decision(FactoredAction(op)) for op in ops)).action_distribution()
        assert distribution == {op: count / len(ops) for op, count in Counter(ops).items()}
        assert list(distribution) == sorted(distribution)

    def test_of_the_newest_decisions_are_shown_with_their_slots(self):
        shown = observed(decision(WAIT), decision(FactoredAction("GERMINATE", "mid", "norm")), decision(PRUNE)).recent_actions()
        assert shown == ("WAIT", "GERMINATE(mid)", "PRUNE(mid)")

    def test_are_kept_for_twenty_decisions(self):
        analyzer = observed(*(decision(FactoredAction(f"OP{n}")) for n in range(30)))
        assert analyzer.recent_actions() == tuple(f"OP{n}" for n in range(10, 30))


class TestRecentDecisions:
    def test_mean_entropy_is_over_those_that_measured_it(self):
        analyzer = observed(decision(WAIT, entropy=1.0), decision(WAIT), decision(WAIT, entropy=0.0))
        assert analyzer.recent_entropy() == 0.5

    @few
    @given(st.lists(st.floats(-1e6, 1e6) | st.none() | st.sampled_from([math.nan, math.inf]), max_size=40))
    def test_value_variance_is_numpys_over_the_finite_ones(self, values):
        variance = observed(*(decision(WAIT, value_estimate=value) for value in values)).recent_value_variance()
        finite = [value for value in values[-RECENT:] if value is not None and math.isfinite(value)]
        if len(finite) < 2:
            assert variance is None
        else:
            assert variance == pytest.approx(np.var(finite, ddof=1), rel=1e-9, abs=1e-9)

    def test_only_values_that_are_not_finite_give_nothing(self):
        analyzer = observed(*(decision(WAIT, value_estimate=math.nan, entropy=math.inf) for _ in range(3)))
        assert analyzer.recent_entropy() is None
        assert analyzer.recent_value_variance() is None

    def test_values_too_large_to_square_do_not_raise(self):
        analyzer = observed(*(decision(WAIT, value_estimate=value) for value in (-1e300, 1e300)))
        assert analyzer.recent_value_variance() == math.inf


def test_a_controller_that_makes_up_names_does_not_fill_the_memory():
    analyzer = observed(*(decision(FactoredAction(f"OP{n}"), WAIT) for n in (*range(999), 0)))
    rest = 999 - MOST_NAMES
    assert analyzer.action_distribution()[OTHER] == rest / 1000
    assert analyzer.action_distribution()["OP0"] == 2 / 1000, "a known name is still counted"
    assert len(analyzer.action_distribution()) == MOST_NAMES + 1
    assert analyzer.comparison().disagreements[OTHER] == rest
