"""The trainer: pairs start alike, everything is logged, the same seed gives the same run."""

from dataclasses import replace

import pytest

import karn_wandb
from examples.data import photo_patches
from examples.train import Recipe, train
from karn_wandb import BatchMetrics, CounterfactualMatrix, EpochSnapshot, GateEvaluationTrace, PolicySnapshot, SeedStage
from karn_wandb.records import StageTransition

pytestmark = pytest.mark.offline

EPOCHS = 9
CLIPPED = 1e-3


@pytest.fixture(scope="module")
def runs(offline_folder, tmp_path_factory):
    """A host-only run, its pair compared with it, and the pair once more; on 320 patches, so nothing is learned."""
    data = photo_patches(training=320, steering=100, validation=100)
    recipe = Recipe(epochs=EPOCHS, lr=1e-6, blend_epochs=1, matrix_every=3, max_grad_norm=CLIPPED)
    folder = tmp_path_factory.mktemp("train")
    train(3, "none", out=folder, recipe=recipe, data=data)
    train(3, "heuristic", out=folder, recipe=recipe, data=data, baseline=folder)
    again = tmp_path_factory.mktemp("again")
    train(3, "heuristic", out=again, recipe=recipe, data=data)
    return karn_wandb.load_experiment(folder), karn_wandb.load_experiment(again)


def records_of(experiment, controller):
    episodes = experiment.episodes
    run_id = episodes.loc[episodes["config.controller"] == controller, "run_id"].item()
    return experiment.records(run_id)


def of(records, kind):
    return [r for r in records if isinstance(r, kind)]


def test_a_pair_is_the_same_until_something_is_blended_in(runs):
    alone, grown = (of(records_of(runs[0], c), EpochSnapshot) for c in ("none", "heuristic"))
    assert len(alone) == len(grown) == EPOCHS
    apart = [e.epoch for e, g in zip(alone, grown, strict=True) if e.host.val_loss != g.host.val_loss]
    blended = [g.epoch for g in grown if any(slot.alpha > 0 for slot in g.slots.values())]
    assert blended
    assert not apart or apart[0] >= blended[0]


def test_the_same_seed_gives_the_same_run(runs):
    first, second = (of(records_of(e, "heuristic"), EpochSnapshot) for e in runs)
    assert first == second


def test_gates_stages_decisions_and_matrices_are_logged(runs):
    records = records_of(runs[0], "heuristic")
    assert {g.gate for g in of(records, GateEvaluationTrace)} >= {"G0", "G1", "G2"}
    assert {t.to_stage for t in of(records, StageTransition)} >= {SeedStage.GERMINATED, SeedStage.TRAINING, SeedStage.BLENDING}
    assert all(d.explanation for d in of(records, PolicySnapshot))
    for matrix in of(records, CounterfactualMatrix):
        assert matrix.slot_ids == ("early", "mid", "late")
        assert len(matrix.configs) == 8
        assert matrix.complete


def test_snapshots_carry_what_the_model_knows(runs):
    last = of(records_of(runs[0], "heuristic"), EpochSnapshot)[-1]
    assert set(last.slots) == {"early", "mid", "late"}
    assert last.host.total_params == last.host.host_params + last.host.total_seed_params
    assert last.host.host_grad_norm > 0
    assert last.host.train_loss > 0


def test_gradient_norms_are_those_before_clipping(runs):
    batches = of(records_of(runs[0], "heuristic"), BatchMetrics)
    assert all(batch.host_grad_norm > 10 * CLIPPED for batch in batches)
    assert any(norm > 10 * CLIPPED for batch in batches for norm in batch.seed_grad_norms.values())
    assert all(norm > 0 for batch in batches for norm in batch.seed_grad_norms.values())


def test_a_grown_run_is_compared_live_with_its_pair(runs):
    readings = [r for r in records_of(runs[0], "heuristic") if type(r).__name__ == "ClaimReading"]
    assert len(readings) == EPOCHS
    for reading in readings:
        assert reading.accuracy_delta == reading.accuracy - reading.baseline_accuracy


def test_the_recipe_is_in_the_context(runs):
    episode = runs[0].episodes.iloc[0]
    assert episode["episode.hyperparameters.lr"] == replace(Recipe(), lr=1e-6).lr
    assert episode["base_seed"] == 3
