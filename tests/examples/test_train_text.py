"""The trainer on text: the same trainer, another task; nats per character, coalitions in the loss, and the bigram line."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import karn_wandb
from examples.gpt import CONTEXT
from examples.tasks import TEXT
from examples.text import cut, help_topics
from examples.train import evaluate, parsed, train
from karn_wandb import BatchMetrics, CounterfactualMatrix, EpochSnapshot, GateEvaluationTrace, PolicySnapshot
from karn_wandb.records import StageTransition

pytestmark = pytest.mark.offline

EPOCHS = 8
RECIPE = replace(TEXT.recipe, epochs=EPOCHS, width=8, lr=2e-3, blend_epochs=1, matrix_every=4)


@pytest.fixture(scope="module")
def data():
    """The beginning of the text: ten blocks, so one to steer by and one to report."""
    return cut(help_topics().text[:41_000], "beginning", CONTEXT, per_epoch=32)


@pytest.fixture(scope="module")
def runs(offline_folder, tmp_path_factory, data):
    """A host alone, and its pair compared with it; of two batches an epoch so little is learned that learning has stalled."""
    folder, shown = tmp_path_factory.mktemp("text"), []
    train(3, "none", out=folder, recipe=RECIPE, data=data, on_epoch=lambda epoch, metric: shown.append((epoch, metric)))
    train(3, "heuristic", out=folder, recipe=RECIPE, data=data, baseline=folder)
    return karn_wandb.load_experiment(folder), shown


def run_of(experiment, controller):
    return experiment.episodes.set_index("config.controller")["run_id"][controller]


def of(runs, controller, kind):
    return [r for r in runs[0].records(run_of(runs[0], controller)) if isinstance(r, kind)]


def test_losses_are_in_nats_and_shown_in_bits(runs):
    losses = [snapshot.host.val_loss for snapshot in of(runs, "none", EpochSnapshot) if snapshot.epoch > 0]
    assert runs[1] == [(epoch, f"{loss / math.log(2):.3f} bits") for epoch, loss in enumerate(losses, start=1)]


def test_loss_and_accuracy_are_means_over_characters(data):
    torch.manual_seed(0)
    model = TEXT.host(RECIPE, len(data.classes))
    loss, accuracy = evaluate(model, data.validation, batch_size=7)
    assert loss == pytest.approx(math.log(len(data.classes)), rel=0.02)  # untrained, all characters are alike to it
    model.eval()
    with torch.no_grad():
        logs = model(data.validation.inputs).double().log_softmax(-1)
    targets = data.validation.targets
    assert loss == pytest.approx(-logs.gather(-1, targets[..., None]).mean().item(), rel=1e-5)
    assert accuracy == pytest.approx(100 * (logs.argmax(-1) == targets).double().mean().item())


def test_a_pair_is_the_same_until_something_is_blended_in(runs):
    alone, grown = (of(runs, controller, EpochSnapshot) for controller in ("none", "heuristic"))
    blended = [g.epoch for g in grown if any(slot.alpha > 0 for slot in g.slots.values())]
    assert blended
    apart = [e.epoch for e, g in zip(alone, grown, strict=True) if e.host.val_loss != g.host.val_loss]
    assert not apart or apart[0] >= blended[0]


def test_gates_stages_decisions_and_batches_are_logged(runs):
    gates = of(runs, "heuristic", GateEvaluationTrace)
    assert {gate.gate for gate in gates} >= {"G0", "G1", "G2"}
    assert {gate.thresholds["budget"] for gate in gates if gate.gate == "G0"} == {TEXT.thresholds.parameter_budget}
    assert {t.blueprint_id for t in of(runs, "heuristic", StageTransition)} >= {TEXT.plan["mid"][0]}
    assert all(d.explanation for d in of(runs, "heuristic", PolicySnapshot))
    assert len(of(runs, "heuristic", BatchMetrics)) == 2 * EPOCHS
    assert all(batch.host_grad_norm > 0 for batch in of(runs, "heuristic", BatchMetrics))


def test_coalitions_are_played_for_the_loss_and_each_sequence_is_told(runs, data):
    matrices = of(runs, "heuristic", CounterfactualMatrix)
    assert matrices
    for matrix in matrices:
        assert (matrix.metric, matrix.slot_ids, matrix.complete) == ("loss", ("early", "mid", "late"), True)
        assert {len(result.group_losses) for result in matrix.configs} == {len(data.validation.targets)}
        last = next(s for s in of(runs, "heuristic", EpochSnapshot) if s.epoch == matrix.epoch)
        everything = next(result for result in matrix.configs if all(result.config))
        assert everything.val_loss == pytest.approx(last.host.val_loss, rel=1e-5)


def test_the_context_says_what_was_read(runs, data):
    for _, episode in runs[0].episodes.iterrows():
        assert episode["episode.data_hash"] == data.sha256()
        assert (episode["config.task"], episode["config.width"]) == ("text", RECIPE.width)
        assert (episode["episode.task_type"], episode["episode.host_architecture"]) == ("lm", "gpt_6layer")
        assert episode["config.bigram_bits_per_character"] == data.references["bigram_bits_per_character"]


def test_bits_per_character_are_the_users_own_rows_beside_the_bigram_line(runs, data):
    from karn_wandb.experiment.wandb_file import read_wandb_file

    (run,) = [run for run in runs[0].runs if run.run_id == run_of(runs[0], "none")]
    file = read_wandb_file(run.wandb_path)
    rows = [row for row in file.rows if "text/bits_per_character" in row]
    losses = [s.host.val_loss for s in of(runs, "none", EpochSnapshot) if s.epoch > 0]
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert [row["text/bits_per_character"] for row in rows] == pytest.approx([loss / math.log(2) for loss in losses])
    assert {row["text/bigram_bits_per_character"] for row in rows} == {data.references["bigram_bits_per_character"]}
    assert file.metrics["text/*"].step_metric == "epoch"


@pytest.mark.parametrize("controller", ["none", "heuristic"])
def test_they_are_taken_for_none_of_ours(runs, controller):
    run_id = run_of(runs[0], controller)
    assert runs[0].records(run_id, via="wandb") == runs[0].records(run_id, via="log")


def test_the_task_is_an_option():
    assert (parsed(["--task", "text"]).task, parsed([]).task) == ("text", "images")


def test_other_images_are_no_text(capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(["--task", "text", "--data-root", "cifar"])
    assert ended.value.code == 2
    assert "--data-root is for images: text and digits are installed already" in capsys.readouterr().err
