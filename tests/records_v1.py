"""One event of every type, as version 1 of the record log stores them.

`tests/records/records-v1.jsonl` was written from these, once. It must stay readable for ever and mean the same, so the
file is never written again: when a later version stores something else, a migration reads it. When a record gains a
field with a default, nothing here changes.
"""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from karn_wandb.records import (
    AdvantageStats,
    BatchMetrics,
    ClaimReading,
    CounterfactualMatrix,
    CounterfactualResult,
    DenseTrace,
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    FactoredAction,
    GateEvaluationTrace,
    HealthReport,
    HostBaseline,
    HostSnapshot,
    LSTMHealth,
    PolicySnapshot,
    PPOUpdate,
    RatioStats,
    Record,
    RewardComponents,
    RunInfo,
    ShapleyEstimate,
    SlotSnapshot,
    StageTransition,
    TelemetryEvent,
    encode_event,
    encode_header,
)

FILE = Path(__file__).with_name("records") / "records-v1.jsonl"

START = datetime(2025, 12, 14, 9, 30, 0, 123456, tzinfo=UTC)

ACTION = FactoredAction(
    op="GERMINATE",
    slot="mid",
    blueprint="conv_light",
    blend="linear",
    tempo=3,
    alpha_target=0.7,
    alpha_speed=0.1,
    alpha_curve="cosine",
)

POLICY = PolicySnapshot(
    observation_vector=(0.25, -0.0, 1e-320, math.nan, math.inf),
    action=ACTION,
    action_log_probs={"op": -0.5, "slot": -math.inf},
    action_was_masked=True,
    value_estimate=0.42,
    advantage=-1.5,
    reward_total=1.25,
    reward_components=RewardComponents(base_accuracy_delta=2.0, compute_rent=-0.5, other={"curiosity": -0.25}),
    kl_divergence=0.01,
    explained_variance=-0.3,
    per_head_kl={"op": 0.004},
    advantage_stats=AdvantageStats(mean=0.0, std=1.0, min=-2.5, max=3.0, fraction_clipped=0.1),
    ratio_stats=RatioStats(mean=1.01, fraction_clipped_high=0.05, fraction_clipped_low=0.04, per_head_clip_rates={"op": 0.1}),
    entropy=1.23,
    heuristic_action=FactoredAction(op="WAIT"),
    explanation="plateau of 3 epochs; “mid” is free \N{SEEDLING}",
)

SLOT = SlotSnapshot(
    slot_id="mid",
    stage="BLENDING",
    epochs_in_stage=2,
    seed_id="seed-7",
    blueprint_id="conv_light",
    seed_params=37_000,
    alpha=0.7,
    counterfactual_contribution=-4.7,
    total_improvement=27.3,
    improvement_this_epoch=0.5,
    last_gate_attempted="G2",
    last_gate_passed=True,
    last_gate_reason="improvement 3.1 above 1.0",
)

GATE = GateEvaluationTrace(
    slot_id="mid",
    gate="G2",
    passed=False,
    target_stage="BLENDING",
    epoch=6,
    seed_id="seed-7",
    checks_passed=("improvement",),
    checks_failed=("gradient_health",),
    measurements={"improvement": 3.1, "gradient_health": math.nan},
    thresholds={"improvement": 1.0, "gradient_health": 0.5},
    message="gradient health was not measured",
)

BATCH = BatchMetrics(
    epoch=7,
    batch_idx=0,
    loss=math.inf,
    accuracy=12.5,
    host_grad_norm=math.nan,
    seed_grad_norms={"mid": 1e22, "a/b.c__d -": 0.0},
    isolation_leakage=5e-324,
)

MATRIX = CounterfactualMatrix(
    epoch=7,
    configs=(
        CounterfactualResult(config=(False, False), alpha_settings={"early": 0.0, "mid": 0.0}, val_loss=1.5, val_accuracy=62.3),
        CounterfactualResult(
            config=(False, True), alpha_settings={"early": 0.0, "mid": 0.7}, val_loss=math.nan, val_accuracy=63.8
        ),
        CounterfactualResult(config=(True, True), val_accuracy=64.9, per_class_accuracy={0: 50.0, 9: 79.8}),
    ),
    marginal_contributions={"early": 1.1, "mid": 1.5},
    interaction_effects={("early", "mid"): -0.1},
    shapley_values={
        "early": ShapleyEstimate(mean=1.1, std=None, n_samples=3, algorithm="exact", exact=True, sampling_std=0.0),
        "mid": ShapleyEstimate(mean=1.5, std=0.2, n_samples=20, ci_low=1.1, ci_high=1.9, sampling_std=0.1, evaluation_std=0.17),
    },
    slot_ids=("early", "mid"),
    strategy="full_factorial",
    metric="accuracy",
    marginal_basis="removal_cost",
    interaction_basis="full_corner",
    complete=False,
    skipped=((True, False),),
    stop_reason="timeout_seconds",
    n_examples=2000,
    seconds=1.5,
)

RECORDS: dict[str, Record] = {
    "TRAINING_STARTED": RunInfo(
        run_id="ab12cd34",
        project="growing-cnn",
        name="calm-seed-1",
        group="heuristic",
        job_type="train",
        tags=("cnn", "two words"),
        config={"lr": 3e-4, "clip": None, "nested": {"sizes": [1, 2.0, True], "limit": math.inf}},
        karn_version="0.1.0",
        wandb_version="0.31.0",
    ),
    "EPISODE_STARTED": EpisodeContext(
        episode_id="5b1f6a0c",
        timestamp=START.astimezone(timezone(timedelta(hours=-9, minutes=-30))),
        git_commit="2016337e-dirty",
        base_seed=42,
        torch_seed=2**64 - 1,
        numpy_seed=-1,
        host_architecture="cnn_3block",
        host_params=123_456,
        slot_config={"early": 64, "mid": 128},
        max_epochs=50,
        task_type="classification",
        hyperparameters={"lr": 3e-4, "betas": [0.9, 0.999], "amp": False},
        python_version="3.11.9",
        library_versions={"torch": "2.13.0"},
        data_hash="e3b0c442",
        deterministic=True,
    ),
    "BASELINE_RECORDED": HostBaseline(
        initial_loss=2.303,
        initial_accuracy=10.0,
        initial_checkpoint=Path("checkpoints/epoch 0.pt"),
        final_host_only_loss=1.05,
        final_host_only_accuracy=62.3,
        host_only_trajectory={1: 20.0, 2: 31.5, 10: 62.3},
        checkpoint_retention_policy="keep_all",
        source_run_id="ef56gh78",
        host_params=123_456,
    ),
    "BATCH_COMPLETED": BATCH,
    "EPOCH_COMPLETED": EpochSnapshot(
        epoch=7,
        host=HostSnapshot(
            epoch=7,
            train_loss=0.9,
            train_accuracy=70.0,
            val_loss=math.nan,
            val_accuracy=67.2,
            host_params=123_456,
            total_seed_params=37_000,
            total_params=160_456,
            fossilized_params=0,
            host_grad_norm=1.5,
            seed_grad_norms={"mid": 0.2},
            grad_isolation_leakage=0.0,
        ),
        slots={"early": SlotSnapshot(slot_id="early", stage="DORMANT"), "mid": SLOT},
        policy=POLICY,
    ),
    "DECISION_MADE": POLICY,
    "PPO_UPDATE_COMPLETED": PPOUpdate(
        policy_loss=-0.02,
        value_loss=0.5,
        entropy=1.2,
        kl_divergence=0.0,
        explained_variance=-math.inf,
        return_std=0.01,
        value_nrmse=1.4,
        grad_norm=0.5,
        learning_rate=3e-4,
        ppo_epochs=4,
        per_head_kl={"op": 0.0},
        per_head_entropy={"op": 1.1},
        advantages=AdvantageStats(mean=0.0, std=1.0, min=-2.5, max=3.0, fraction_clipped=0.0),
        ratios=RatioStats(mean=1.0, fraction_clipped_high=0.0, fraction_clipped_low=0.0),
        lstm=LSTMHealth(hidden_mean=0.0, hidden_std=0.3, cell_mean=0.1, cell_std=1.2, saturation_fraction=0.02),
    ),
    "COUNTERFACTUAL_MATRIX_COMPUTED": MATRIX,
    "DENSE_TRACE_RECORDED": DenseTrace(
        trigger_reason="gate_failure",
        window_start_epoch=6,
        window_end_epoch=7,
        batch_metrics=(BATCH,),
        gradient_histograms={"conv1.weight": (0.0, 3.0, 1.0)},
        gradient_flow={"conv1.weight": 0.02},
        activation_means={"conv1": 0.1},
        activation_stds={"conv1": 0.9},
        dead_neuron_counts={"conv1": 3},
        gate_evaluation_details=GATE,
        histogram_edges={"conv1.weight": (-1.0, -0.5, 0.5, 1.0)},
    ),
    "SEED_GATE_EVALUATED": GATE,
    "SEED_STAGE_CHANGED": StageTransition(
        slot_id="mid",
        from_stage="TRAINING",
        to_stage="BLENDING",
        epoch=6,
        seed_id="seed-7",
        blueprint_id="conv_light",
        seed_params=37_000,
        alpha=0.1,
        total_improvement=20.1,
        counterfactual_contribution=0.4,
        initiator="heuristic",
        reason="G2 passed",
    ),
    "SEED_GERMINATED": StageTransition(slot_id="mid", from_stage="DORMANT", to_stage="GERMINATED"),
    "SEED_FOSSILIZED": StageTransition(slot_id="mid", from_stage="HOLDING", to_stage="FOSSILIZED"),
    "SEED_PRUNED": StageTransition(slot_id="mid", from_stage="BLENDING", to_stage="PRUNED"),
    "CLAIM_READ": ClaimReading(epoch=7, accuracy=67.2, baseline_accuracy=62.3, accuracy_delta=4.9, param_efficiency=0.83),
    "HEALTH_READ": HealthReport(epoch=7, dropped_records=1, non_finite_values=2, sink_lag=3, alerts=("sink wandb failed",)),
    "EPISODE_OUTCOME": EpisodeOutcome(
        epochs=50,
        final_accuracy=67.2,
        final_loss=1.0,
        best_accuracy=68.0,
        total_params=160_456,
        param_ratio=1.3,
        accuracy_delta=4.9,
        fossilized=1,
        pruned=2,
        germinated=4,
        reward_total=-3.5,
        state="failed",
        reason="KeyboardInterrupt",
        dropped_records=1,
    ),
}

WITHOUT_RECORD = (
    "BATCH_EPOCH_COMPLETED",
    "ANALYTICS_SNAPSHOT",
    "CHECKPOINT_LOADED",
    "TOPOLOGY_MANIFEST_RECORDED",
    "TAMIYO_INITIATED",
    "PLATEAU_DETECTED",
    "DEGRADATION_DETECTED",
    "IMPROVEMENT_DETECTED",
    "RATIO_EXPLOSION_DETECTED",
    "RATIO_COLLAPSE_DETECTED",
    "VALUE_COLLAPSE_DETECTED",
    "NUMERICAL_INSTABILITY_DETECTED",
    "GRADIENT_PATHOLOGY_DETECTED",
    "GRADIENT_ANOMALY",
    "GOVERNOR_ROLLBACK",
    "PERFORMANCE_DEGRADATION",
    "MEMORY_WARNING",
    "REWARD_HACKING_SUSPECTED",
    "ALLOCATOR_STATS",
    "PHASE_PROFILE_COMPLETED",
    "MORPHOLOGY_CAUSAL_LOG",
)

FREE_FORM = {"detail": "x", "values": [1, 1.0, True, None, math.nan], "stats": {"ratio": {"max": math.inf}}}

EVENTS = tuple(
    TelemetryEvent(
        event_type=event_type,
        rank=position % 2,
        world_size=2,
        is_reduced=position % 3 == 0,
        data=RECORDS.get(event_type, FREE_FORM),
        sequence=position,
        timestamp=START + timedelta(seconds=position),
        env_id=position % 4,
        episode_idx=position % 5,
        scoped=position % 4 > 0,
        tick=None if position % 7 == 0 else position,
        slot_id="mid",
        seed_id="seed-7",
        severity="warning" if event_type.endswith("DETECTED") else "info",
        message=f"message {position}",
    )
    for position, event_type in enumerate((*RECORDS, *WITHOUT_RECORD))
)


def main() -> None:
    """Write the file, if it does not exist yet."""
    if FILE.exists():
        sys.exit(f"{FILE.name} exists and is never written again: see this module's first lines.")
    FILE.write_bytes(encode_header() + b"".join(map(encode_event, EVENTS)))


if __name__ == "__main__":
    main()
