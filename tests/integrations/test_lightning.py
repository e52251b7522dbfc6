"""The callback for Lightning: its sequence of calls driven by hand, and Lightning itself where it is installed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from finished import read_finished
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import karn_wandb
from karn_wandb.integrations import LightningCallback
from karn_wandb.records import BatchMetrics
from karn_wandb.testing import recorded

pytestmark = pytest.mark.offline


def trainer_of(**state):
    return SimpleNamespace(
        **{"is_global_zero": True, "sanity_checking": False, "current_epoch": 0, "callback_metrics": {}} | state
    )


def fit(callback, trainer, model, *, epochs=2, validate=True):
    """The calls of `Trainer.fit`, in Lightning's order, through whatever hooks it asks for."""

    def call(hook, *arguments):
        getattr(callback, hook)(trainer, model, *arguments)

    for hook in ("on_fit_start", "on_sanity_check_start", "on_validation_start"):
        call(hook)
    trainer.sanity_checking = True
    trainer.callback_metrics["val_loss"] = torch.tensor(99.0)
    call("on_validation_end")
    trainer.sanity_checking = False
    for epoch in range(epochs):
        trainer.current_epoch = epoch
        call("on_train_epoch_start")
        for batch_idx in range(2):
            model.zero_grad()
            loss = model(torch.ones(1, 3)).sum()
            loss.backward()
            call("on_train_batch_end", {"loss": loss.detach(), "acc": torch.tensor(0.25)}, None, batch_idx)
        if validate:
            trainer.callback_metrics |= {"val_loss": torch.tensor(1.0 / (epoch + 1)), "val_acc": torch.tensor(0.5)}
            call("on_validation_end")
        call("on_train_epoch_end")
    call("on_fit_end")


def test_batches_epochs_and_the_model_are_logged_and_the_run_is_finished():
    model = nn.Linear(3, 2)
    with recorded() as run:
        fit(LightningCallback(run, train_accuracy="acc"), trainer_of(), model)
        assert run.finished
    assert run.metrics("host/val_loss") == ((1, 1.0), (2, 0.5))
    assert run.metrics("host/val_accuracy") == ((1, 50.0), (2, 50.0))
    assert run.metrics("batch/accuracy")[0] == (0, 25.0)
    assert run.metrics("params/host") == ((1, 8), (2, 8))
    assert run.metrics("grad/host_norm")[0].value == pytest.approx(8**0.5)
    assert [batch.batch_idx for batch in run.records(BatchMetrics)] == [0, 1, 0, 1]


def test_an_epoch_without_validation_has_no_metrics_of_an_earlier_one():
    with recorded() as run:
        fit(LightningCallback(run), trainer_of(), nn.Linear(3, 2), validate=False)
    assert [(epoch.host.val_loss, epoch.host.val_accuracy) for epoch in run.epochs] == [(None, None)] * 2
    assert run.epochs[0].host.train_loss is not None


def test_names_and_percentages_are_as_told():
    trainer = trainer_of(callback_metrics={"loss/val": 2.0, "top1": 75.0})
    with recorded() as run:
        callback = LightningCallback(run, val_loss="loss/val", val_accuracy="top1", percent=True)
        callback.on_validation_end(trainer, None)
        callback.on_train_epoch_end(trainer, None)
    assert (run.epochs[0].host.val_loss, run.epochs[0].host.val_accuracy) == (2.0, 75.0)


def test_a_bare_loss_is_taken_and_a_skipped_batch_is_none():
    with recorded() as run:
        callback = LightningCallback(run)
        callback.on_train_batch_end(trainer_of(), None, torch.tensor(1.5), None, 0)
        callback.on_train_batch_end(trainer_of(), None, None, None, 1)
    assert [batch.loss for batch in run.records(BatchMetrics)] == [1.5]


def test_processes_other_than_the_first_log_nothing():
    with recorded() as run:
        before = len(run.events)
        fit(LightningCallback(run), trainer_of(is_global_zero=False), nn.Linear(3, 2))
        assert len(run.events) == before
        assert not run.finished


def test_an_exception_fails_the_run_with_its_reason():
    with recorded() as run:
        LightningCallback(run).on_exception(trainer_of(), None, ValueError("no data"))
    assert (run.outcome.state, run.outcome.reason) == ("failed", "ValueError: no data")


def test_a_run_that_is_not_to_be_finished_goes_on_without_the_model():
    model = nn.Linear(3, 2)
    with recorded() as run:
        fit(LightningCallback(run, finish=False), trainer_of(), model)
        assert not run.finished
        run.log_epoch(val_accuracy=50.0)
    assert len(run.epochs) == 3
    assert run.epochs[-1].host.host_params is None


def test_what_is_no_hook_is_no_attribute():
    with recorded() as run, pytest.raises(AttributeError, match="'LightningCallback' object has no attribute 'fit'"):
        LightningCallback(run).fit  # noqa: B018 -- asking is the test


@pytest.fixture
def lightning():
    return pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")


@pytest.fixture
def module(lightning):
    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 2)

        def training_step(self, batch, batch_idx):
            x, y = batch
            logits = self.net(x)
            return {
                "loss": nn.functional.cross_entropy(logits, y),
                "acc": (logits.argmax(1) == y).float().mean(),
            }

        def validation_step(self, batch, batch_idx):
            x, y = batch
            logits = self.net(x)
            self.log("val_loss", nn.functional.cross_entropy(logits, y))
            self.log("val_acc", (logits.argmax(1) == y).float().mean())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Module()


@pytest.mark.filterwarnings("ignore")  # Lightning's own
class TestLightningItself:
    def fit(self, lightning, module, callback, folder, **options):
        torch.manual_seed(0)
        data = TensorDataset(torch.randn(32, 3), torch.randint(2, (32,)))
        trainer = lightning.Trainer(
            max_epochs=3,
            callbacks=[callback],
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            **{"logger": False} | options,
        )
        trainer.fit(module, DataLoader(data, batch_size=8), DataLoader(data, batch_size=16))
        return trainer

    def test_fits_and_saves_a_checkpoint(self, lightning, module, tmp_path):
        with recorded() as run:
            trainer = self.fit(lightning, module, LightningCallback(run, train_accuracy="acc"), tmp_path)
            assert run.finished
        assert [point.clock for point in run.metrics("host/val_loss")] == [1, 2, 3]
        last = trainer.callback_metrics
        assert run.epochs[-1].host.val_loss == pytest.approx(float(last["val_loss"]))
        assert run.epochs[-1].host.val_accuracy == pytest.approx(100 * float(last["val_acc"]))
        assert len(run.records(BatchMetrics)) == 12
        assert all(point.value > 0 for point in run.metrics("batch/host_grad_norm"))
        assert run.metrics("params/host")[0] == (1, 8)
        assert list(tmp_path.rglob("*.ckpt"))

    def test_validation_every_other_epoch_leaves_gaps(self, lightning, module, tmp_path):
        with recorded() as run:
            self.fit(lightning, module, LightningCallback(run), tmp_path, check_val_every_n_epoch=2)
        assert [epoch.host.val_loss is None for epoch in run.epochs] == [True, False, True]

    def test_its_own_w_and_b_logger_shares_the_run(self, lightning, module, tmp_path):
        loggers = pytest.importorskip("lightning.pytorch.loggers")
        with karn_wandb.init(project="tests", dir=tmp_path) as run:
            logger = loggers.WandbLogger(experiment=run.wandb, save_dir=tmp_path)
            self.fit(lightning, module, LightningCallback(run), tmp_path, logger=logger)
        rows = read_finished(run.records_path.parent / f"run-{run.id}.wandb").rows
        assert len([row for row in rows if "val_loss" in row]) == 3
        assert len([row for row in rows if "host/val_loss" in row]) == 3
        assert not [row for row in rows if "val_loss" in row and "karn/rest" in row]

    def test_an_exception_in_training_fails_the_run(self, lightning, module, tmp_path):
        module.training_step = lambda batch, batch_idx: 1 / 0
        with recorded() as run, pytest.raises(ZeroDivisionError):
            self.fit(lightning, module, LightningCallback(run), tmp_path)
        assert run.outcome.state == "failed"
