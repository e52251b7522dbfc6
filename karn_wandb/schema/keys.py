"""The one table of W&B keys: pattern, clock, unit, meaning, and the field of the record it holds.

`define_metric` calls, the rows, reading back, and docs/keys.md all come from here. In a pattern, `<name>` stands for one
escaped name; in a path, "*" stands for the same name as a key of a mapping. A key without a path is derived: computed
from the record for people to look at, and not needed to read the record back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from karn_wandb.records import (
    BatchMetrics,
    ClaimReading,
    CounterfactualMatrix,
    EpochSnapshot,
    HealthReport,
    PolicySnapshot,
    PPOUpdate,
    Record,
    SeedLayerNorm,
    SeedLayerNorms,
)

EPOCH, BATCH, DECISION, UPDATE = "epoch", "batch_step", "decision", "ppo_update"

CLOCKS = MappingProxyType(
    {
        EPOCH: "Epochs completed; from 1, 0 is the untrained baseline.",
        BATCH: "Training batches, from 0; never reset.",
        DECISION: "Decisions of the policy, from 0; never reset.",
        UPDATE: "PPO updates of the policy, from 0; never reset.",
    }
)
"""The clock keys and what they count. Every row carries its own; W&B's step is never set."""

CLOCK_OF = MappingProxyType({BatchMetrics: BATCH, PolicySnapshot: DECISION, PPOUpdate: UPDATE})
"""Clock of each record; a record that is not listed goes by the epoch."""

REST = "karn/rest"
"""Key of the text that holds, as JSON, what of an event no column says."""

PART, PARTS = "karn/part", "karn/parts"
"""Keys of an event whose text is too long for one row: a piece of it in a row before; how many such rows belong to this one."""

USER_STEP = "user_step"
"""Key of the `step=` that a user passed to W&B's own `log`, in the user's row."""

EPISODE = "episode"
"""Key beside the clock, in rows of a scoped episode: index of the episode in its environment."""


@dataclass(frozen=True, slots=True)
class Key:
    """A row of the table.

    Attributes:
        pattern: The W&B key, such as "slot/<slot>/alpha".
        record: Class of the record it comes from.
        path: Field of that record, "*" for a name; None for a derived key.
        unit: Unit of the value.
        meaning: What it says.
    """

    pattern: str
    record: type[Record]
    path: tuple[str, ...] | None
    unit: str
    meaning: str

    @property
    def family(self) -> str:
        """First segment of the key: what `define_metric` and panels go by."""
        return self.pattern.split("/", 1)[0]

    @property
    def clock(self) -> str:
        """The clock key sent in the same row."""
        return CLOCK_OF.get(self.record, EPOCH)


def _keys(record: type[Record], *rows: tuple[str, str | None, str, str]) -> Iterator[Key]:
    for pattern, path, unit, meaning in rows:
        yield Key(pattern, record, None if path is None else tuple(path.split(".")), unit, meaning)


KEYS: tuple[Key, ...] = (
    *_keys(
        EpochSnapshot,
        ("host/train_loss", "host.train_loss", "loss", "Mean training loss of the epoch"),
        ("host/train_accuracy", "host.train_accuracy", "%", "Training accuracy of the epoch"),
        ("host/val_loss", "host.val_loss", "loss", "Validation loss after the epoch"),
        ("host/val_accuracy", "host.val_accuracy", "%", "Validation accuracy after the epoch"),
        ("params/host", "host.host_params", "parameters", "Parameters of the host"),
        ("params/seed", "host.total_seed_params", "parameters", "Parameters of all seed modules present"),
        ("params/total", "host.total_params", "parameters", "Host and seed modules together"),
        ("params/fossilized", "host.fossilized_params", "parameters", "Parameters of fossilized seed modules"),
        ("params/ratio", None, "ratio", "Total over host parameters"),
        ("grad/host_norm", "host.host_grad_norm", "L2 norm", "Gradient norm of the host, mean over the epoch's batches"),
        ("grad/seed_norm/<slot>", "host.seed_grad_norms.*", "L2 norm", "Gradient norm of a slot's seed module"),
        ("grad/isolation_leakage", "host.grad_isolation_leakage", "L2 norm", "Gradient that crossed an isolation barrier"),
        ("slot/<slot>/stage", "slots.*.stage", "SeedStage", "Stage of the seed module, as its integer"),
        ("slot/<slot>/epochs_in_stage", "slots.*.epochs_in_stage", "epochs", "Epochs spent in that stage"),
        ("slot/<slot>/alpha", "slots.*.alpha", "0 to 1", "Blend coefficient"),
        ("slot/<slot>/seed_params", "slots.*.seed_params", "parameters", "Parameters of the seed module"),
        (
            "slot/<slot>/removal_cost",
            "slots.*.counterfactual_contribution",
            "points",
            "Accuracy with minus without the slot, now; not its causal contribution",
        ),
        (
            "slot/<slot>/total_improvement",
            "slots.*.total_improvement",
            "points",
            "Accuracy now minus at germination; mostly the host learning",
        ),
        (
            "slot/<slot>/improvement_this_epoch",
            "slots.*.improvement_this_epoch",
            "points",
            "Accuracy now minus one epoch ago",
        ),
        ("slot/<slot>/gate_passed", "slots.*.last_gate_passed", "bool", "Whether the newest gate was passed"),
    ),
    *_keys(
        BatchMetrics,
        ("batch/loss", "loss", "loss", "Training loss of the batch"),
        ("batch/accuracy", "accuracy", "%", "Training accuracy of the batch"),
        ("batch/host_grad_norm", "host_grad_norm", "L2 norm", "Gradient norm of the host"),
        ("batch/seed_grad_norm/<slot>", "seed_grad_norms.*", "L2 norm", "Gradient norm of a slot's seed module"),
        ("batch/isolation_leakage", "isolation_leakage", "L2 norm", "Gradient that crossed an isolation barrier"),
        ("batch/epoch", "epoch", "epochs", "Epoch the batch belongs to"),
        ("batch/index", "batch_idx", "batches", "Index in that epoch"),
    ),
    *_keys(
        PolicySnapshot,
        ("policy/value", "value_estimate", "return", "The critic's prediction"),
        ("policy/advantage", "advantage", "return", "Advantage computed in the PPO update"),
        ("policy/entropy", "entropy", "nats", "Entropy of the action distribution"),
        ("policy/was_masked", "action_was_masked", "bool", "Whether the mask left only this action"),
        ("policy/log_prob/<head>", "action_log_probs.*", "nats", "Log-probability of the choice"),
        ("policy/kl_divergence", "kl_divergence", "nats", "KL(old || new) of the newest update"),
        ("policy/explained_variance", "explained_variance", "1", "Explained variance of the newest update"),
        ("policy/head_kl/<head>", "per_head_kl.*", "nats", "The same KL by head"),
        ("policy/regret", "regret", "reward", "Return with the heuristic's action here minus the return as it went"),
        ("reward/total", "reward_total", "reward", "Reward received"),
        ("reward/component/<name>", "reward_components.*", "reward", "A part of the reward"),
        ("reward/other/<name>", "reward_components.other.*", "reward", "A part of the reward, the user's own"),
    ),
    *_keys(
        PPOUpdate,
        ("ppo/policy_loss", "policy_loss", "loss", "Clipped surrogate loss"),
        ("ppo/value_loss", "value_loss", "loss", "Loss of the critic"),
        ("ppo/entropy", "entropy", "nats", "Mean entropy of the action distribution"),
        ("ppo/kl_divergence", "kl_divergence", "nats", "KL(old || new); above 0.1 the learning rate is too high"),
        ("ppo/explained_variance", "explained_variance", "1", "Below 0 the critic is worse than the mean"),
        ("ppo/return_std", "return_std", "return", "Standard deviation of the returns"),
        ("ppo/value_nrmse", "value_nrmse", "1", "RMSE of the values over the returns' standard deviation"),
        ("ppo/value_std", "value_std", "return", "Standard deviation of the critic's predictions"),
        ("ppo/grad_norm", "grad_norm", "L2 norm", "Gradient norm of the policy before clipping"),
        ("ppo/learning_rate", "learning_rate", "1", "Learning rate of the update"),
        ("ppo/epochs", "ppo_epochs", "passes", "Passes over the batch"),
        ("ppo/head_kl/<head>", "per_head_kl.*", "nats", "KL by action head"),
        ("ppo/head_entropy/<head>", "per_head_entropy.*", "nats", "Entropy by action head"),
        ("ppo/advantage/<statistic>", "advantages.*", "return", "Advantages: mean, std, min, max, fraction_clipped"),
        ("ppo/ratio/<statistic>", "ratios.*", "1", "Ratios: mean, fraction_clipped_high, fraction_clipped_low"),
        ("ppo/head_clip_rate/<head>", "ratios.per_head_clip_rates.*", "fraction", "Clipped fraction by action head"),
        ("ppo/lstm/<statistic>", "lstm.*", "1", "Hidden state: means, stds, saturation_fraction"),
    ),
    *_keys(
        CounterfactualMatrix,
        ("shapley/<slot>/mean", "shapley_values.*.mean", "points or loss", "Shapley value"),
        ("shapley/<slot>/std", "shapley_values.*.std", "points or loss", "Standard error of the Shapley value"),
        ("shapley/<slot>/ci_low", "shapley_values.*.ci_low", "points or loss", "Lower end of its 95 % interval"),
        ("shapley/<slot>/ci_high", "shapley_values.*.ci_high", "points or loss", "Upper end of its 95 % interval"),
        ("shapley/<slot>/marginal", "marginal_contributions.*", "points or loss", "Marginal contribution; basis in the table"),
        ("interaction/<pair>", None, "points or loss", "Interaction of two slots; corner in the table"),
        ("claim/removal_delta", None, "points or loss", "All slots on minus all off; not the gain over a host-only run"),
    ),
    *_keys(
        ClaimReading,
        ("claim/accuracy", "accuracy", "%", "Validation accuracy now"),
        ("claim/baseline_accuracy", "baseline_accuracy", "%", "Accuracy of the paired host-only run at this epoch"),
        ("claim/accuracy_delta", "accuracy_delta", "points", "The first minus the second"),
        ("claim/param_efficiency", "param_efficiency", "ratio", "Accuracy per parameter over the host's; rewards shrinking"),
    ),
    *_keys(
        HealthReport,
        ("health/dropped_records", "dropped_records", "records", "Records that could not be kept so far"),
        ("health/non_finite_values", "non_finite_values", "values", "NaN and infinite observations so far"),
        ("health/sink_lag", "sink_lag", "records", "Records the slowest sink is behind"),
        ("health/trigger/<name>", "triggers.*", "traces", "How often a dense-trace trigger fired so far"),
    ),
    *_keys(
        SeedLayerNorm,
        (
            "layer/<slot>/<layer>/grad_norm",
            None,
            "L2 norm",
            "Gradient norm of a layer of a seed module, mean over the epoch's batches",
        ),
    ),
    *_keys(
        SeedLayerNorms,
        ("layer/<slot>/<layer>/grad_norm", "slots.*.layers.*", "L2 norm", "The same, all top layers in one row"),
    ),
)

FAMILIES = MappingProxyType({key.family: key.clock for key in KEYS})
"""Clock of each family of keys."""


def scope(env_id: int) -> str:
    """Prefix of an environment's keys in runs that train several hosts."""
    return f"env/{env_id}/"
