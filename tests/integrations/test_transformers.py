"""The callback for transformers' Trainer: its sequence of calls driven by hand, and the Trainer itself where it is installed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from finished import read_finished
from torch import nn

import karn_wandb
from karn_wandb.integrations import TransformersCallback
from karn_wandb.records import BatchMetrics
from karn_wandb.testing import recorded

pytestmark = pytest.mark.offline

STATE = SimpleNamespace(is_world_process_zero=True)


class Model(nn.Module):
    """Returns its loss as the models of transformers do."""

    def __init__(self, form=lambda loss, logits: {"loss": loss, "logits": logits}):
        super().__init__()
        self.net = nn.Linear(3, 2)
        self.form = form

    def forward(self, x, labels=None):
        logits = self.net(x)
        return self.form(nn.functional.cross_entropy(logits, labels), logits)


def train(callback, model, *, epochs=2, state=STATE, evaluate=True, accumulate=2):
    """The calls of `Trainer.train`, in its order, with the keywords of its callback handler."""
    loss = None

    def call(event, **more):
        assert getattr(callback, event)(SimpleNamespace(), state, SimpleNamespace(), model=model, optimizer=None, **more) is None

    call("on_init_end")
    call("on_train_begin")
    model.train()
    for epoch in range(epochs):
        call("on_epoch_begin")
        for _ in range(2):
            call("on_step_begin")
            for _ in range(accumulate):
                out = model(torch.ones(1, 3), labels=torch.tensor([0]))
                loss = out[0] if isinstance(out, tuple) else out["loss"] if isinstance(out, dict) else out
                loss.sum().backward()
                call("on_substep_end")
            call("on_pre_optimizer_step")
            call("on_optimizer_step")
            model.zero_grad()
            call("on_step_end")
        call("on_epoch_end")
        call("on_log", logs={"loss": 0.75, "epoch": epoch + 1.0})
        if evaluate:
            model.eval()
            with torch.no_grad():
                model(torch.ones(4, 3), labels=torch.zeros(4, dtype=torch.long))
            model.train()
            call("on_evaluate", metrics={"eval_loss": 1.0 / (epoch + 1), "eval_accuracy": 0.5, "epoch": epoch + 1.0})
        call("on_save")
    call("on_log", logs={"train_runtime": 1.0})
    call("on_train_end")


def test_batches_epochs_and_the_model_are_logged_and_the_run_is_finished():
    model = Model()
    with torch.no_grad():
        expected = float(model(torch.ones(1, 3), labels=torch.tensor([0]))["loss"])
    with recorded() as run:
        train(TransformersCallback(run), model)
        assert run.finished
    assert run.metrics("host/val_loss") == ((1, 1.0), (2, 0.5))
    assert run.metrics("host/val_accuracy") == ((1, 50.0), (2, 50.0))
    assert [batch.loss for batch in run.records(BatchMetrics)] == [pytest.approx(expected)] * 4
    assert [point.clock for point in run.metrics("batch/host_grad_norm")] == [0, 1, 2, 3]
    assert all(point.value > 0 for point in run.metrics("batch/host_grad_norm"))
    assert run.metrics("params/host") == ((1, 8), (2, 8))
    assert not model._forward_hooks


@pytest.mark.parametrize("form", [lambda loss, logits: (loss, logits), lambda loss, logits: {"loss": loss.reshape(1)}])
def test_the_loss_is_found_in_what_models_return(form):
    with recorded() as run:
        train(TransformersCallback(run), Model(form))
    assert len(run.records(BatchMetrics)) == 4


def test_a_model_that_returns_no_loss_gets_the_means_of_the_trainer():
    with recorded() as run:
        train(TransformersCallback(run), Model(lambda loss, logits: logits))
    assert [batch.loss for batch in run.records(BatchMetrics)] == [0.75, 0.75]


def test_an_epoch_without_evaluation_has_no_metrics_of_an_earlier_one():
    with recorded() as run:
        train(TransformersCallback(run), Model(), evaluate=False)
    assert [epoch.host.val_loss for epoch in run.epochs] == [None, None]


def test_processes_other_than_the_first_log_nothing():
    model = Model()
    with recorded() as run:
        before = len(run.events)
        train(TransformersCallback(run), model, state=SimpleNamespace(is_world_process_zero=False))
        assert len(run.events) == before
        assert not run.finished


def test_a_run_that_is_not_to_be_finished_goes_on():
    with recorded() as run:
        train(TransformersCallback(run, finish=False), Model())
        assert not run.finished
        run.log_epoch(val_accuracy=50.0)
    assert len(run.epochs) == 3


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return {"x": torch.full((3,), index / 16), "labels": index % 2}


@pytest.mark.filterwarnings("ignore")  # transformers' own
class TestTheTrainerItself:
    @pytest.fixture
    def trainer(self, tmp_path):
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        pytest.importorskip("accelerate", reason="transformers' Trainer needs it")

        def made(callback, model, **options):
            arguments = transformers.TrainingArguments(
                output_dir=str(tmp_path),
                num_train_epochs=3,
                per_device_train_batch_size=4,
                gradient_accumulation_steps=2,
                logging_steps=1,
                disable_tqdm=True,
                use_cpu=True,
                **{"eval_strategy": "epoch", "save_strategy": "epoch", "report_to": []} | options,
            )
            accuracy = lambda p: {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())}  # noqa: E731
            return transformers.Trainer(
                model, arguments, train_dataset=Data(), eval_dataset=Data(), compute_metrics=accuracy, callbacks=[callback]
            )

        return made

    def test_trains_evaluates_and_saves(self, trainer, tmp_path):
        with recorded() as run:
            made = trainer(TransformersCallback(run), Model())
            made.train()
            assert run.finished
        evaluated = [log for log in made.state.log_history if "eval_loss" in log]
        assert [epoch.host.val_loss for epoch in run.epochs] == [pytest.approx(log["eval_loss"]) for log in evaluated]
        assert [epoch.host.val_accuracy for epoch in run.epochs] == [100 * log["eval_accuracy"] for log in evaluated]
        assert len(run.records(BatchMetrics)) == 6
        assert [point.clock for point in run.metrics("batch/host_grad_norm")] == list(range(6))
        told = [log["grad_norm"] for log in made.state.log_history if "grad_norm" in log]
        assert [p.value for p in run.metrics("batch/host_grad_norm")] == [pytest.approx(float(norm), rel=1e-3) for norm in told]
        assert list(tmp_path.glob("checkpoint-*"))

    def test_without_evaluation(self, trainer):
        with recorded() as run:
            trainer(TransformersCallback(run), Model(), eval_strategy="no").train()
        assert [epoch.host.val_loss for epoch in run.epochs] == [None] * 3
        assert all(epoch.host.train_loss is not None for epoch in run.epochs)

    def test_its_own_w_and_b_callback_shares_the_run(self, trainer, tmp_path):
        """It logs to the global run, which is ours when `reinit` says so."""
        with karn_wandb.init(project="tests", dir=tmp_path, reinit="finish_previous") as run:
            trainer(TransformersCallback(run), Model(), report_to=["wandb"]).train()
        rows = read_finished(run.records_path.parent / f"run-{run.id}.wandb").rows
        assert len([row for row in rows if "eval/loss" in row]) == 3
        assert len([row for row in rows if "host/val_loss" in row]) == 3
        assert not [row for row in rows if "eval/loss" in row and "karn/rest" in row]
        assert len(list(tmp_path.rglob("run-*.wandb"))) == 1
