"""A callback for Lightning's `Trainer`: `Trainer(callbacks=[LightningCallback(run)])`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from karn_wandb.integrations.hooks import Hooks


@dataclass(eq=False, kw_only=True)
class LightningCallback(Hooks):
    """Attaches the LightningModule, logs each training batch and, at the end of each epoch, its validation metrics.

    The loss is what `training_step` returns, or its "loss"; gradients are measured as the optimizer has used them. An
    epoch's metrics are those of the validation that ran in it, by the names they have in `self.log`; without one there are
    none. Processes other than the first log nothing.

    Attributes:
        val_loss: Name of the validation loss in `trainer.callback_metrics`.
        val_accuracy: Name of the validation accuracy there.
        train_accuracy: Name of the training accuracy in what `training_step` returns, None for none.
    """

    val_loss: str = "val_loss"
    val_accuracy: str = "val_acc"
    train_accuracy: str | None = None
    _validated: bool = field(default=False, init=False)

    @property
    def state_key(self) -> str:
        """Lightning's name of the callback's state, of which there is none."""
        return type(self).__qualname__

    def state_dict(self) -> dict[str, Any]:
        """Nothing that a checkpoint would need."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to take from a checkpoint."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Nothing to prepare."""

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Nothing to let go of."""

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach the model."""
        if trainer.is_global_zero:
            self._begin(pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 -- Lightning's signature
        """Log the batch; a `training_step` that returned None skipped it."""
        if not trainer.is_global_zero or outputs is None:
            return
        said = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
        accuracy = None if self.train_accuracy is None else said.get(self.train_accuracy)
        percent = None if accuracy is None else self._in_percent(accuracy)
        self.run.log_batch(loss=said["loss"], accuracy=percent, batch_idx=batch_idx)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 -- Lightning's signature
        """Remember that the epoch's metrics are its own; those of the sanity check before training are not."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 -- Lightning's signature
        """Log the epoch; Lightning has validated by then."""
        if trainer.is_global_zero:
            metrics = trainer.callback_metrics if self._validated else {}
            self.run.log_epoch(epoch=trainer.current_epoch + 1, **self._validation(metrics))
        self._validated = False

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 -- Lightning's signature
        """End the run, or let go of the model."""
        if trainer.is_global_zero:
            self._end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002 -- Lightning's signature
        """Mark the run as failed, with the reason."""
        if trainer.is_global_zero:
            self._end(exception)
