"""Findings of a policy's training: every threshold from both sides, and what is no finding."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.analysis.ppo import SYMPTOMS, EntropyCollapse, Finding, PPODiagnosis, ValueCollapse
from karn_wandb.records import AdvantageStats, LSTMHealth, PPOUpdate, RatioStats

NAN, INF = math.nan, math.inf
JUST = 1e-9


def ratios(high=0.0, low=0.0, mean=1.0, **heads):
    return RatioStats(mean, high, low, per_head_clip_rates=heads)


def lstm(saturation):
    return LSTMHealth(0.0, 0.5, 0.0, 1.0, saturation)


def kinds(*updates):
    """Kinds of the findings of each update."""
    diagnosis = PPODiagnosis()
    return [[finding.kind for finding in diagnosis.observe(update)] for update in updates]


BAD = {
    "kl_divergence": PPOUpdate(kl_divergence=0.1 + JUST),
    "head_kl": PPOUpdate(per_head_kl={"op": 0.1 + JUST, "slot": 0.0}),
    "non_finite": PPOUpdate(policy_loss=NAN),
    "kl_vanishing": PPOUpdate(kl_divergence=1e-5 - 1e-12, ppo_epochs=4),
    "explained_variance": PPOUpdate(explained_variance=-JUST, return_std=1.0),
    "ratio_clipping": PPOUpdate(ratios=ratios(0.2, 0.1 + JUST)),
    "head_clipping": PPOUpdate(ratios=ratios(op=0.3 + JUST, slot=0.0)),
    "lstm_saturation": PPOUpdate(lstm=lstm(0.3 + JUST)),
}
GOOD = {
    "kl_divergence": PPOUpdate(kl_divergence=0.1),
    "head_kl": PPOUpdate(per_head_kl={"op": 0.1, "slot": 0.0}),
    "non_finite": PPOUpdate(policy_loss=1e300),
    "kl_vanishing": PPOUpdate(kl_divergence=1e-5, ppo_epochs=4),
    "explained_variance": PPOUpdate(explained_variance=0.0, return_std=1.0),
    "ratio_clipping": PPOUpdate(ratios=ratios(0.15, 0.15)),
    "head_clipping": PPOUpdate(ratios=ratios(op=0.3, slot=0.0)),
    "lstm_saturation": PPOUpdate(lstm=lstm(0.3)),
}
HARD = ["kl_divergence", "head_kl", "non_finite"]
SOFT = [kind for kind in BAD if kind not in HARD]
hard, soft = (pytest.mark.parametrize("kind", group) for group in (HARD, SOFT))


def test_every_symptom_is_tested():
    assert {symptom.kind for symptom in SYMPTOMS} == BAD.keys() == GOOD.keys()


@pytest.mark.parametrize("kind", GOOD)
def test_on_the_good_side_of_its_threshold_nothing_is_found(kind):
    assert kinds(*[GOOD[kind]] * 12) == [[]] * 12


@hard
def test_a_hard_finding_comes_at_once_and_again_only_after_it_ceased(kind):
    bad, good, silent = BAD[kind], GOOD[kind], PPOUpdate(grad_norm=1.0)
    assert kinds(bad, bad, bad, good, bad) == [[kind], [], [], [], [kind]]
    again = [kind] if kind == "non_finite" else []  # an update without numbers that are bad is finite, but says nothing of KL
    assert kinds(bad, silent, bad) == [[kind], [], again]


@soft
def test_a_soft_finding_needs_three_of_five_updates_that_tell(kind):
    bad, good, silent = BAD[kind], GOOD[kind], PPOUpdate(grad_norm=1.0)
    assert kinds(bad, bad, bad) == [[], [], [kind]]
    assert kinds(bad, good, bad, good, bad) == [[]] * 4 + [[kind]]
    assert kinds(bad, good, good, bad, good, bad) == [[]] * 6
    assert kinds(bad, silent, silent, silent, silent, bad, silent, bad) == [[]] * 7 + [[kind]]


@soft
def test_a_soft_finding_ceases_when_at_most_one_of_five_shows_it(kind):
    bad, good = BAD[kind], GOOD[kind]
    begun = [bad, bad, bad]
    assert kinds(*begun, good, good, good, bad, bad, bad) == [[], [], [kind]] + [[]] * 6, "two of five are still the same"
    assert kinds(*begun, good, good, good, good, bad, bad, bad) == [[], [], [kind]] + [[]] * 6 + [[kind]]


def test_the_levels_are_error_for_what_is_not_finite_and_else_warning():
    for kind, bad in BAD.items():
        diagnosis = PPODiagnosis()
        (finding,) = [found for _ in range(3) for found in diagnosis.observe(bad)]
        assert finding.level == ("error" if kind == "non_finite" else "warning")


@pytest.mark.parametrize(
    ("update", "text"),
    [
        (
            PPOUpdate(kl_divergence=0.523),
            "KL(old || new) is 0.523 nats, above 0.1: the learning rate is too high, or the passes too many",
        ),
        (
            PPOUpdate(per_head_kl={"op": 0.2, "{slot}": 0.3, "tempo": 0.1}),
            (
                "KL of head 'op' is 0.2 nats, above 0.1; KL of head '{slot}' is 0.3 nats, above 0.1: "
                "these heads change too much in one update"
            ),
        ),
        (
            PPOUpdate(kl_divergence=0.0, ppo_epochs=4, learning_rate=3e-4, grad_norm=0.5),
            (
                "KL(old || new) is 0 nats, below 1e-05 (passes 4, learning rate 0.0003, gradient norm 0.5): "
                "the learning rate is too low, the gradients vanish, or KL is measured too early"
            ),
        ),
        (
            PPOUpdate(explained_variance=-0.5, return_std=2.0),
            (
                "explained variance is -0.5, below 0, the returns' standard deviation being 2: "
                "the critic is worse than predicting the mean"
            ),
        ),
        (
            PPOUpdate(ratios=ratios(0.4, 0.16)),
            (
                "56% of the ratios are clipped (40% above the clip range, 16% below): "
                "much of the batch teaches nothing; lower the learning rate or the passes"
            ),
        ),
        (
            PPOUpdate(ratios=ratios(op=0.5)),
            "50% of the ratios of head 'op' are clipped: these heads move faster than the clip range allows",
        ),
        (
            PPOUpdate(lstm=lstm(0.75)),
            "75% of the LSTM's hidden state is above 0.9 in magnitude: gradients through time may vanish",
        ),
        (
            PPOUpdate(policy_loss=NAN, advantages=AdvantageStats(0.0, INF, -1.0, 1.0, 0.0)),
            "policy_loss nan, advantages/std inf: look for an overflow, a division by zero or a logarithm of zero",
        ),
    ],
)
def test_a_finding_says_what_was_seen_and_what_it_may_mean(update, text):
    diagnosis = PPODiagnosis()
    (finding,) = [found for _ in range(3) for found in diagnosis.observe(update)]
    assert isinstance(finding, Finding)
    assert finding.text == text


class TestVanishingKL:
    @pytest.mark.parametrize(
        "update",
        [
            PPOUpdate(kl_divergence=0.0, ppo_epochs=1),
            PPOUpdate(kl_divergence=1e-7, ppo_epochs=1, ratios=ratios(mean=1.0001)),
            PPOUpdate(kl_divergence=0.0),
            PPOUpdate(kl_divergence=0.0, ratios=ratios()),
            PPOUpdate(kl_divergence=5e-15, ratios=ratios(mean=1.0000001)),
            PPOUpdate(kl_divergence=0.0, ppo_epochs=4, learning_rate=0.0),
            PPOUpdate(kl_divergence=NAN, ppo_epochs=4),
            PPOUpdate(kl_divergence=-0.01, ppo_epochs=4),
            PPOUpdate(ppo_epochs=4),
        ],
    )
    def test_that_is_zero_by_construction_or_not_small_is_no_finding(self, update):
        """Among them KL exactly 0 with one PPO epoch."""
        assert ["kl_vanishing"] not in kinds(*[update] * 6)

    @pytest.mark.parametrize(
        "update",
        [
            PPOUpdate(kl_divergence=0.0, ppo_epochs=2),
            PPOUpdate(kl_divergence=0.0, ratios=ratios(mean=1.01)),
            PPOUpdate(kl_divergence=1e-6),
            PPOUpdate(kl_divergence=-1e-6),
        ],
    )
    def test_that_need_not_be_zero_is_one(self, update):
        assert kinds(update, update, update)[-1] == ["kl_vanishing"]

    def test_updates_of_one_pass_count_neither_way(self):
        bad, one_pass = BAD["kl_vanishing"], PPOUpdate(kl_divergence=0.05, ppo_epochs=1)
        assert kinds(bad, *[one_pass] * 5, bad, bad)[-1] == ["kl_vanishing"]


class TestExplainedVariance:
    def found(self, *updates):
        return ["explained_variance"] in kinds(*updates)

    @pytest.mark.parametrize("std", [None, 0.0, NAN, INF])
    def test_says_nothing_where_the_returns_are_not_known_to_vary(self, std):
        assert not self.found(*[PPOUpdate(explained_variance=-5.0, return_std=std)] * 6)

    @pytest.mark.parametrize(("nrmse", "found"), [(None, True), (1000.0, True), (1000.0 + 1e-6, False), (NAN, True)])
    def test_says_nothing_where_returns_spread_a_thousandth_of_the_error(self, nrmse, found):
        assert self.found(*[PPOUpdate(explained_variance=-5.0, return_std=1.0, value_nrmse=nrmse)] * 3) is found

    @pytest.mark.parametrize(("std", "found"), [(0.1, True), (0.0999, False)])
    def test_says_nothing_where_returns_spread_a_tenth_of_the_usual(self, std, found):
        usual = [PPOUpdate(explained_variance=0.5, return_std=1.0)] * 7
        assert self.found(*usual, *[PPOUpdate(explained_variance=-5.0, return_std=std)] * 3) is found

    def test_returns_that_spread_less_for_good_become_the_usual(self):
        usual = [PPOUpdate(explained_variance=0.5, return_std=1.0)] * 10
        assert self.found(*usual, *[PPOUpdate(explained_variance=-5.0, return_std=0.01)] * 10)

    @pytest.mark.parametrize("value", [-INF, NAN])
    def test_that_is_not_finite_is_unknown(self, value):
        assert kinds(*[PPOUpdate(explained_variance=value, value_nrmse=NAN, return_std=1.0)] * 6) == [[]] * 6


class TestHeads:
    def test_have_each_their_own_condition(self):
        op, both = PPOUpdate(per_head_kl={"op": 0.2, "slot": 0.0}), PPOUpdate(per_head_kl={"op": 0.2, "slot": 0.2})
        diagnosis = PPODiagnosis()
        texts = [[finding.text for finding in diagnosis.observe(update)] for update in (op, both, both)]
        assert [[word in text for text in here for word in ("op", "slot")] for here in texts] == [
            [True, False],
            [False, True],
            [],
        ]

    def test_are_forgotten_when_an_update_with_heads_lacks_them_but_not_by_one_without(self):
        op, slot = PPOUpdate(per_head_kl={"op": 0.2}), PPOUpdate(per_head_kl={"slot": 0.0})
        assert kinds(op, PPOUpdate(), op, slot, op) == [["head_kl"], [], [], [], ["head_kl"]]

    def test_that_are_ever_new_take_no_memory(self):
        diagnosis = PPODiagnosis()
        for number in range(100):
            diagnosis.observe(PPOUpdate(per_head_kl={f"head {number}": 0.2}, ratios=ratios(**{f"head {number}": 0.5})))
        assert [len(known) for known in diagnosis._conditions.values()] == [
            int(bool(known)) for known in diagnosis._conditions.values()
        ]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([None, NAN, INF, -INF, -1.0, 0.0, 1e-6, 0.05, 0.5, 1e4]), min_size=7, max_size=7), st.integers(0, 3)
)
def test_any_update_is_taken(drawn, epochs):
    """And a hard condition is reported when it begins and not while it lasts."""
    kl, explained, std, nrmse, loss, rate, clipped = drawn
    number = 0.0 if clipped is None else clipped
    update = PPOUpdate(
        kl_divergence=kl, explained_variance=explained, return_std=std, value_nrmse=nrmse, policy_loss=loss, learning_rate=rate,
        ppo_epochs=epochs, per_head_kl={"op": number}, ratios=ratios(number, number, op=number), lstm=lstm(number),
    )  # fmt: skip
    first, *others = kinds(*[update] * 6)
    assert ("kl_divergence" in first) is (kl is not None and kl > 0.1)
    assert ("non_finite" in first) is any(x is not None and not math.isfinite(x) for x in (kl, std, loss, rate, clipped))
    assert not any(set(HARD) & set(later) for later in others)
    assert all(len(set(found)) == len(found) for found in (first, *others))


def test_the_detectors_of_collapse_are_to_be_had_here_too():
    assert ValueCollapse().observe(PPOUpdate()) is EntropyCollapse().observe(PPOUpdate()) is None
