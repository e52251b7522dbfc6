"""What the policy saw, did and got, and the health of its own training."""

from __future__ import annotations

import math

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.records import (
    AdvantageStats,
    FactoredAction,
    LSTMHealth,
    PolicySnapshot,
    PPOUpdate,
    RatioStats,
    RewardComponents,
)

# Fields as in the requirement, tier 2, and its review, P0-1, P1-6 and P2-9
ADVANTAGES = {"mean": 0.0, "std": 1.0, "min": -2.5, "max": 3.0, "fraction_clipped": 0.1}
RATIOS = {"mean": 1.01, "fraction_clipped_high": 0.05, "fraction_clipped_low": 0.04, "per_head_clip_rates": {"op": 0.1}}
LSTM = {"hidden_mean": 0.0, "hidden_std": 0.3, "cell_mean": 0.1, "cell_std": 1.2, "saturation_fraction": 0.02}
ACTION = {"op": "GERMINATE", "slot": "mid", "blueprint": "conv_light", "blend": "linear"}
POLICY = {
    "observation_vector": (0.1, -2.0, 3.0),
    "action": FactoredAction(**ACTION),
    "action_log_probs": {"op": -0.5, "slot": -1.1},
    "action_was_masked": False,
    "value_estimate": 0.42,
    "advantage": None,
    "reward_total": 1.5,
    "reward_components": RewardComponents(base_accuracy_delta=2.0, compute_rent=-0.5),
    "kl_divergence": 0.01,
    "explained_variance": 0.8,
    "per_head_kl": {"op": 0.004},
}


@pytest.mark.parametrize(
    ("cls", "given"),
    [(AdvantageStats, ADVANTAGES), (RatioStats, RATIOS), (LSTMHealth, LSTM), (FactoredAction, ACTION), (PolicySnapshot, POLICY)],
)
def test_the_requirements_fields_alone_make_the_record(cls, given):
    record = cls(**given)
    assert {name: getattr(record, name) for name in given} == given


def test_an_update_takes_the_reviews_statistics():
    update = PPOUpdate(advantages=AdvantageStats(**ADVANTAGES), ratios=RatioStats(**RATIOS), lstm=LSTMHealth(**LSTM))
    assert update.lstm.saturation_fraction == 0.02
    assert update.kl_divergence is None


@pytest.mark.parametrize("regret", [0.5, -1e300, 0.0, math.inf])
def test_a_regret_is_kept_as_it_was_measured_and_one_that_was_not_is_missing(regret):
    """Also of a decision logged before there were regrets."""
    plain = PolicySnapshot(**POLICY, regret=regret).to_plain()
    assert PolicySnapshot.from_plain(plain).regret == regret
    del plain["regret"]
    assert PolicySnapshot.from_plain(plain) == PolicySnapshot(**POLICY)
    assert PolicySnapshot(**POLICY).regret is None


def test_a_reward_takes_parts_of_the_users_own():
    parts = RewardComponents(other={"curiosity": 0.25})
    assert parts.other == {"curiosity": 0.25}
    assert parts.terminal_bonus is None


@pytest.mark.parametrize(
    ("cls", "given", "bad", "message"),
    [
        (FactoredAction, ACTION, {"op": None}, "FactoredAction.op must be text; got None (NoneType)."),
        (FactoredAction, ACTION, {"alpha_target": 1.2}, "FactoredAction.alpha_target must be between 0 and 1; got 1.2."),
        (FactoredAction, ACTION, {"tempo": -1}, "FactoredAction.tempo must be at least 0; got -1."),
        (PolicySnapshot, POLICY, {"action": "WAIT"}, "PolicySnapshot.action must be a FactoredAction; got 'WAIT' (str)."),
        (
            PolicySnapshot,
            POLICY,
            {"observation_vector": [0.1, "x"]},
            "PolicySnapshot.observation_vector[1] must be a number; got 'x' (str).",
        ),
        (
            PolicySnapshot,
            POLICY,
            {"action_log_probs": [0.1]},
            "PolicySnapshot.action_log_probs must be a mapping from text to a number; got [0.1] (list).",
        ),
        (
            PolicySnapshot,
            POLICY,
            {"action_was_masked": 1},
            "PolicySnapshot.action_was_masked must be True or False; got 1 (int).",
        ),
        (AdvantageStats, ADVANTAGES, {"mean": None}, "AdvantageStats.mean must be a number; got None (NoneType)."),
        (
            RatioStats,
            RATIOS,
            {"per_head_clip_rates": {"op": "high"}},
            "RatioStats.per_head_clip_rates['op'] must be a number; got 'high' (str).",
        ),
        (PPOUpdate, {}, {"ppo_epochs": 2.0}, "PPOUpdate.ppo_epochs must be a whole number; got 2.0 (float)."),
    ],
)
def test_bad_input_is_refused_in_words(cls, given, bad, message):
    with pytest.raises(RecordError) as raised:
        cls(**{**given, **bad})
    assert str(raised.value) == message


def test_statistics_of_a_diverged_policy_are_kept():
    """PPO statistics are observations: a diverged update has NaN and infinities, and they must be seen."""
    update = PPOUpdate(kl_divergence=math.inf, policy_loss=math.nan, explained_variance=-math.inf, per_head_kl={"op": math.nan})
    assert update.kl_divergence == math.inf
    assert math.isnan(update.per_head_kl["op"])
    assert RatioStats(mean=math.nan, fraction_clipped_high=2.0, fraction_clipped_low=0.0).fraction_clipped_high == 2.0
