"""What the policy saw, did and got; and how its own training goes."""

from __future__ import annotations

from dataclasses import field

from karn_wandb.records._kinds import Count, Fraction, NonNegative
from karn_wandb.records._record import Record, record


@record
class FactoredAction(Record):
    """One decision, a choice per head; the requirement names op, slot, blueprint and blend.

    The last four are the heads that the original project's decisions carry beside them (esper-lite, last_action).

    Attributes:
        op: WAIT, GERMINATE, PRUNE, FOSSILIZE, SET_ALPHA_TARGET, ADVANCE, or the controller's own word.
        slot: Slot it concerns, None for an op without one.
        blueprint: Kind of seed module to germinate, None for other ops.
        blend: How it is blended in, such as "linear", None for other ops.
        tempo: Epochs the blending takes, None for other ops.
        alpha_target: Alpha the blending goes to, 0 to 1, None for other ops.
        alpha_speed: Alpha's change per epoch, None for other ops.
        alpha_curve: Shape of the way there, such as "cosine", None for other ops.
    """

    op: str
    slot: str | None = None
    blueprint: str | None = None
    blend: str | None = None
    tempo: Count | None = None
    alpha_target: Fraction | None = None
    alpha_speed: NonNegative | None = None
    alpha_curve: str | None = None


@record
class RewardComponents(Record):
    """The parts a reward is the sum of, in reward units, any float; None where the reward has no such part.

    The requirement leaves the members open; these are the additive parts of the original project's reward
    (esper-lite, reward_components), without its inputs and intermediate values. `other` takes a user's own parts.
    A cost is negative (the original stores the two slot rents positive and subtracts them).

    Attributes:
        base_accuracy_delta: Change of validation accuracy; None where attribution is rewarded instead, as in all but
            the oldest reward of the original, which reports it nevertheless.
        bounded_attribution: Credit for a seed module's removal cost, clipped.
        compute_rent: Cost of parameters present.
        alpha_shock: Penalty for abrupt changes of alpha.
        blending_warning: Penalty for blending a seed module that hurts.
        holding_warning: Penalty for holding one that hurts.
        stage_bonus: Bonus for reaching a stage.
        pbrs_bonus: Potential-based shaping (Ng, Harada and Russell, 1999).
        synergy_bonus: Bonus for positive interaction.
        action_shaping: Bonus or penalty for the action itself.
        terminal_bonus: Bonus at the end of the episode.
        fossilize_terminal_bonus: The part of it for fossilized seed modules.
        hindsight_credit: Credit given later for helping another seed module.
        occupancy_rent: Cost of occupied slots.
        fossilized_rent: Cost of fossilized seed modules.
        other: Further parts by name.
    """

    base_accuracy_delta: float | None = None
    bounded_attribution: float | None = None
    compute_rent: float | None = None
    alpha_shock: float | None = None
    blending_warning: float | None = None
    holding_warning: float | None = None
    stage_bonus: float | None = None
    pbrs_bonus: float | None = None
    synergy_bonus: float | None = None
    action_shaping: float | None = None
    terminal_bonus: float | None = None
    fossilize_terminal_bonus: float | None = None
    hindsight_credit: float | None = None
    occupancy_rent: float | None = None
    fossilized_rent: float | None = None
    other: dict[str, float] = field(default_factory=dict)


@record
class AdvantageStats(Record):
    """Advantages of one PPO update (review, P0-1), in units of return, any float.

    Attributes:
        mean: Their mean.
        std: Their standard deviation.
        min: The smallest.
        max: The largest.
        fraction_clipped: Fraction with |A| above the clip threshold, 0 to 1.
    """

    mean: float
    std: float
    min: float
    max: float
    fraction_clipped: float


@record
class RatioStats(Record):
    """Probability ratios new/old of one PPO update (review, P0-1).

    Attributes:
        mean: Mean ratio, near 1 in a healthy update, any float.
        fraction_clipped_high: Fraction above 1 + eps.
        fraction_clipped_low: Fraction below 1 - eps.
        per_head_clip_rates: Clipped fraction by action head.
    """

    mean: float
    fraction_clipped_high: float
    fraction_clipped_low: float
    per_head_clip_rates: dict[str, float] = field(default_factory=dict)


@record
class LSTMHealth(Record):
    """Hidden state of a recurrent policy (review, P2-9), any floats.

    Attributes:
        hidden_mean: Mean of h.
        hidden_std: Standard deviation of h.
        cell_mean: Mean of c.
        cell_std: Standard deviation of c.
        saturation_fraction: Fraction with |h| > 0.9, which hints at vanishing gradients.
    """

    hidden_mean: float
    hidden_std: float
    cell_mean: float
    cell_std: float
    saturation_fraction: float


@record
class PolicySnapshot(Record):
    """One decision of the policy (requirement, tier 2; review, P0-1 and P1-6).

    Attributes:
        observation_vector: The observation fed to the policy, any floats.
        action: What the policy did.
        action_log_probs: Log-probability of the choice by head, nats.
        action_was_masked: Whether the mask left only this action.
        value_estimate: The critic's prediction, in units of return, any float.
        advantage: Advantage computed in the PPO update, None before it.
        reward_total: Reward received, any float; None until known.
        reward_components: The parts it is the sum of.
        kl_divergence: KL(old || new) of the newest update, nats; above 0.1 the learning rate is too high.
        explained_variance: 1 - Var(returns - values) / Var(returns); below 0 the critic is worse than the mean.
        per_head_kl: The same KL by action head.
        advantage_stats: Advantages of the newest update.
        ratio_stats: Ratios of the newest update.
        entropy: Entropy of the action distribution, nats.
        heuristic_action: What the shadow heuristic would have done.
        explanation: The decision in words.
        regret: Return had the heuristic's action been taken at this decision, minus the return as it went, in reward units,
            any float: positive where the heuristic's action would have been better. By common random numbers: the training
            is branched here, the policy goes on afterwards, and all random numbers are those of the training itself. None
            where it was not measured.
    """

    observation_vector: tuple[float, ...]
    action: FactoredAction
    action_log_probs: dict[str, float] = field(default_factory=dict)
    action_was_masked: bool = False
    value_estimate: float | None = None
    advantage: float | None = None
    reward_total: float | None = None
    reward_components: RewardComponents | None = None
    kl_divergence: float | None = None
    explained_variance: float | None = None
    per_head_kl: dict[str, float] = field(default_factory=dict)
    advantage_stats: AdvantageStats | None = None
    ratio_stats: RatioStats | None = None
    entropy: float | None = None
    heuristic_action: FactoredAction | None = None
    explanation: str = ""
    regret: float | None = None


@record
class PPOUpdate(Record):
    """One PPO update of the policy: what its health is read from (review, P0-1, P1-6, P2-9). Any floats.

    Attributes:
        policy_loss: Clipped surrogate loss.
        value_loss: Loss of the critic.
        entropy: Mean entropy of the action distribution, nats.
        kl_divergence: KL(old || new), nats.
        explained_variance: 1 - Var(returns - values) / Var(returns); meaningless when returns barely vary.
        return_std: Standard deviation of the returns, which says whether explained variance means anything.
        value_nrmse: RMSE of the values over the standard deviation of the returns.
        grad_norm: L2 norm of the policy's gradients before clipping.
        learning_rate: Learning rate of the update.
        ppo_epochs: Passes over the batch; with one pass KL is exactly 0 when it is measured.
        per_head_kl: KL by action head.
        per_head_entropy: Entropy by action head, nats.
        advantages: Advantages of the batch.
        ratios: Ratios of the batch.
        lstm: Hidden state of a recurrent policy.
        value_std: Standard deviation of the critic's predictions.
    """

    policy_loss: float | None = None
    value_loss: float | None = None
    entropy: float | None = None
    kl_divergence: float | None = None
    explained_variance: float | None = None
    return_std: float | None = None
    value_nrmse: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    ppo_epochs: Count | None = None
    per_head_kl: dict[str, float] = field(default_factory=dict)
    per_head_entropy: dict[str, float] = field(default_factory=dict)
    advantages: AdvantageStats | None = None
    ratios: RatioStats | None = None
    lstm: LSTMHealth | None = None
    value_std: float | None = None
