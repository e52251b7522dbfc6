"""A run of 50 epochs and three slots with every kind of record, logged through the public API, read back twice."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from finished import read_finished

import karn_wandb
from karn_wandb import (
    AdvantageStats,
    BatchMetrics,
    CounterfactualEngine,
    DenseTrace,
    EpisodeContext,
    EpochSnapshot,
    FactoredAction,
    GateEvaluationTrace,
    HostBaseline,
    HostSnapshot,
    LSTMHealth,
    PolicySnapshot,
    PPOUpdate,
    RatioStats,
    RewardComponents,
    SeedStage,
    SlotSnapshot,
    TelemetryEvent,
)
from karn_wandb.records import Record, RunInfo, StageTransition
from karn_wandb.schema import FAMILIES

pytestmark = pytest.mark.offline

SLOTS = ("early", "mid", "late")
EPOCHS = 50
LIFE = (
    (2, SeedStage.DORMANT, SeedStage.GERMINATED),
    (3, SeedStage.GERMINATED, SeedStage.TRAINING),
    (10, SeedStage.TRAINING, SeedStage.BLENDING),
    (15, SeedStage.BLENDING, SeedStage.HOLDING),
    (20, SeedStage.HOLDING, SeedStage.FOSSILIZED),
)


def context() -> EpisodeContext:
    return EpisodeContext(
        episode_id="an-episode",
        timestamp=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        git_commit="0" * 40,
        base_seed=7,
        torch_seed=2**64 - 1,
        numpy_seed=7,
        host_architecture="cnn_3block",
        host_params=24_458,
        slot_config={"early": 64, "mid": 128, "late": 256},
        max_epochs=EPOCHS,
        task_type="classification",
        hyperparameters={"lr": 1.0, "clip": math.inf, "nested": {"betas": [0.9, 0.999]}},
    )


def snapshot(epoch: int) -> EpochSnapshot:
    stages = {start: to for start, _, to in LIFE}
    stage = next((stages[e] for e in range(epoch, 0, -1) if e in stages), SeedStage.DORMANT)
    slots = {
        name: SlotSnapshot(
            slot_id=name,
            stage=stage,
            epochs_in_stage=epoch,
            seed_id=f"{name}-0",
            blueprint_id="conv_light",
            seed_params=100 + i,
            alpha=min(epoch / EPOCHS, 1.0),
            counterfactual_contribution=0.1 * epoch - i,
            total_improvement=None if epoch % 2 else float(epoch),
            improvement_this_epoch=0.1,
            last_gate_attempted="G2",
            last_gate_passed=epoch % 3 == 0,
            last_gate_reason="learned enough",
        )
        for i, name in enumerate(SLOTS)
    }
    host = HostSnapshot(
        epoch=epoch,
        train_loss=math.nan if epoch == 13 else 2.3 / epoch,
        train_accuracy=min(99.0, 10 + epoch),
        val_loss=math.inf if epoch == 14 else 2.5 / epoch,
        val_accuracy=min(98.0, 9 + 1 / 3 * epoch),
        host_params=24_458,
        total_seed_params=303,
        total_params=24_761,
        fossilized_params=303 if stage is SeedStage.FOSSILIZED else 0,
        host_grad_norm=1e-320 if epoch == 15 else 0.1,
        seed_grad_norms=dict.fromkeys(SLOTS, 0.25),
        grad_isolation_leakage=0.0,
    )
    return EpochSnapshot(epoch=epoch, host=host, slots=slots, policy=decision(epoch))


def decision(epoch: int) -> PolicySnapshot:
    return PolicySnapshot(
        observation_vector=[0.1, math.nan, -1.0],
        action=FactoredAction(op="GERMINATE", slot="mid", blueprint="attention", blend="linear", alpha_target=1.0),
        action_log_probs={"op": -0.1, "slot": -1.5},
        action_was_masked=epoch % 2 == 0,
        value_estimate=0.1 * epoch,
        advantage=-0.5,
        reward_total=1.25,
        reward_components=RewardComponents(base_accuracy_delta=0.3, compute_rent=-0.1, other={"mine/own": 0.5}),
        kl_divergence=0.01,
        explained_variance=-0.2,
        per_head_kl={"op": 0.005},
        entropy=1.2,
        heuristic_action=FactoredAction(op="WAIT"),
        explanation="accuracy has stalled",
        regret=-0.75 if epoch % 3 == 0 else None,
    )


def log_everything(run: karn_wandb.Run) -> list[Record]:
    """Log every kind of record; gives them in the order they were logged."""
    logged: list[Record] = [run.log_baseline(HostBaseline(initial_loss=2.3, initial_accuracy=10.0))]
    engine = CounterfactualEngine(seed=0)
    for epoch in range(1, EPOCHS + 1):
        for batch in range(3):
            metrics = BatchMetrics(
                epoch, batch, loss=2.0 / epoch, accuracy=50.0, host_grad_norm=0.5, seed_grad_norms={"early": 0.1}
            )
            run.log_batch(metrics)
            logged.append(metrics)
        logged.append(run.log_decision(decision(epoch)))
        if epoch % 5 == 0:
            logged.append(run.log_counterfactual(engine.evaluate(SLOTS, lambda c: 50.0 + sum(c) + c[0] * c[2] / 3, epoch)))
        if epoch % 10 == 0:
            stats = AdvantageStats(0.0, 1.0, -2.0, 2.0, 0.1)
            ratios = RatioStats(1.0, 0.1, 0.2, {"op": 0.3})
            lstm = LSTMHealth(0.0, 0.1, 0.2, 0.3, math.nan)
            logged.append(run.log_ppo_update(PPOUpdate(kl_divergence=0.02, advantages=stats, ratios=ratios, lstm=lstm)))
        logged.append(run.log_epoch(snapshot(epoch)))
        for at, before, after in LIFE:
            if at == epoch:
                gate = GateEvaluationTrace(
                    slot_id="early", gate="G1", passed=True, target_stage=after, epoch=epoch, checks_passed=["x"]
                )
                logged.append(run.log_gate(gate))
                logged.append(run.log_trace(trace(epoch, gate)))
                logged += [run.log_stage(slot, before, after, reason="due") for slot in SLOTS]
    logged.append(run.emit(TelemetryEvent(event_type="MEMORY_WARNING", data={"used": 0.9, "limit": math.inf})))
    return logged


def trace(epoch: int, gate: GateEvaluationTrace) -> DenseTrace:
    return DenseTrace(
        trigger_reason="stage_transition",
        window_start_epoch=epoch - 1,
        window_end_epoch=epoch,
        batch_metrics=[BatchMetrics(epoch, 0, loss=math.nan)],
        gradient_histograms={"block.0/conv": [1.0, 2.0, 3.0]},
        histogram_edges={"block.0/conv": [0.0, 0.5, 1.0, 1.5]},
        gradient_flow={"block.0/conv": 0.1},
        activation_means={"a": 0.0},
        activation_stds={"a": 1.0},
        dead_neuron_counts={"a": 3},
        gate_evaluation_details=gate,
    )


@pytest.fixture(scope="module")
def whole_run(offline_folder: Path):
    """The run: its folder, id, and what was logged."""
    run = karn_wandb.init(project="whole", episode=context(), config={"controller": "heuristic", "lr": 1.0}, dir=offline_folder)
    with run:
        logged = log_everything(run)
    return run.records_path.parent, run.id, logged


@pytest.mark.parametrize("via", ["log", "wandb"])
def test_every_record_reads_back_equal(whole_run, via):
    """0 lost, all equal, in order: from the record log, and from W&B's rows alone."""
    folder, run_id, logged = whole_run
    records = karn_wandb.load_experiment(folder).records(run_id, via=via)
    read_off = [r for r in records if isinstance(r, DenseTrace) and r not in logged]  # what the triggers took
    assert {trace.trigger_reason for trace in read_off} <= {"stage_transition", "gate_failure", "non_finite"}
    own = ("RunInfo", "EpisodeContext", "ClaimReading", "HealthReport", "Alert", "EpisodeOutcome")
    assert [r for r in records if type(r).__name__ not in own and r not in read_off] == logged
    assert [r for r in records if isinstance(r, EpisodeContext)] == [context()]
    assert len([r for r in records if isinstance(r, RunInfo)]) == 1
    assert len([r for r in records if isinstance(r, StageTransition)]) == len(LIFE) * len(SLOTS)


def test_both_ways_give_the_same_events(whole_run):
    """The envelopes are equal too: sequence, clocks, time stamps."""
    folder, run_id, _ = whole_run
    experiment = karn_wandb.load_experiment(folder)
    assert experiment.events(run_id, via="log") == experiment.events(run_id, via="wandb")


def test_every_family_is_defined_on_its_clock(whole_run):
    folder, run_id, _ = whole_run
    defined = read_finished(folder / f"run-{run_id}.wandb").metrics
    assert {f"{family}/*": clock for family, clock in FAMILIES.items()}.items() <= {
        name: metric.step_metric for name, metric in defined.items()
    }.items()


def test_no_row_carries_a_number_w_and_b_could_not_draw(whole_run):
    folder, run_id, _ = whole_run
    for row in read_finished(folder / f"run-{run_id}.wandb").rows:
        assert all(math.isfinite(v) for v in row.values() if isinstance(v, float))


def test_config_tells_what_was_trained_and_how_it_was_watched(whole_run):
    folder, run_id, _ = whole_run
    config = read_finished(folder / f"run-{run_id}.wandb").config
    assert config["controller"] == "heuristic"
    assert config["karn_schema"] == 1
    assert config["karn"]["mode"] == "standard"
    assert config["episode"]["slot_config"] == {"early": 64, "mid": 128, "late": 256}


def test_tables_and_artifacts_are_there(whole_run):
    folder, run_id, _ = whole_run
    file = read_finished(folder / f"run-{run_id}.wandb")
    tables = {name for row in file.rows for name in row if name.startswith("tables/") and name.count(".") <= 1}
    names = {name.split(".")[0] for name in tables}
    assert names == {
        "tables/counterfactual",
        "tables/shapley",
        "tables/interactions",
        "tables/gates",
        "tables/decisions",
        "tables/batches",
        "tables/episodes",
    }
    types = {artifact.type for artifact in file.artifacts}
    assert types >= {"karn-episode", "karn-counterfactual", "karn-dense-trace", "karn-records"}
