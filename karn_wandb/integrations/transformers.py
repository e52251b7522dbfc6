"""A callback for the `Trainer` of Hugging Face transformers: `Trainer(callbacks=[TransformersCallback(run)])`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from karn_wandb.integrations.hooks import Hooks


@dataclass(eq=False, kw_only=True)
class TransformersCallback(Hooks):
    """Attaches the model, logs a batch at each step of the optimizer and an epoch when the next one begins.

    The Trainer tells no callback the loss of a step, so it is taken from what the model returns while it trains (its `loss`,
    or the first of a tuple), the mean of the batches that were accumulated for the step. Gradients are measured before the
    step, when they are there. A model that returns no loss gets the means that the Trainer logs instead, and no gradients.

    An epoch has the metrics of the newest evaluation in it. Processes other than the first log nothing.

    Attributes:
        val_loss: Name of the validation loss among the Trainer's metrics.
        val_accuracy: Name of the validation accuracy there.
    """

    val_loss: str = "eval_loss"
    val_accuracy: str = "eval_accuracy"
    _metrics: dict[str, Any] = field(default_factory=dict, init=False)
    _losses: list[Tensor] = field(default_factory=list, init=False)
    _steps: int = field(default=0, init=False)
    _open: bool = field(default=False, init=False)
    _hook: RemovableHandle | None = field(default=None, init=False)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002 -- the Trainer's signature
        """Attach the model, and listen to its losses."""
        if state.is_world_process_zero:
            self._begin(model)
            self._hook = model.register_forward_hook(self._listen)

    def _listen(self, model: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002 -- PyTorch's signature
        loss = _loss_of(outputs) if model.training else None
        if loss is not None:
            self._losses.append(loss.detach().mean())

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 -- the Trainer's signature
        """Log the epoch before: whatever was evaluated in it is known by now."""
        self._close_epoch()
        self._open = self._hook is not None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 -- the Trainer's signature
        """Log the batches of the step, while their gradients are there."""
        self._log_step()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 -- the Trainer's signature
        """Log them without gradients, if it is a Trainer that says nothing before the optimizer's step."""
        self._log_step()

    def _log_step(self) -> None:
        if self._losses:
            losses, self._losses = self._losses, []
            self._steps += 1
            self.run.log_batch(loss=sum(losses[1:], losses[0]) / len(losses))

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:  # noqa: ARG002 -- the Trainer's signature
        """Take the Trainer's mean loss, if the model does not say its own."""
        if self._hook is not None and not self._steps and "loss" in (logs or {}):
            self.run.log_batch(loss=float((logs or {})["loss"]))

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **_: Any) -> None:  # noqa: ARG002 -- the Trainer's signature
        """Keep the metrics for the epoch in training."""
        self._metrics = dict(metrics or {})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 -- the Trainer's signature
        """Log the last epoch, and end the run or let go of the model."""
        if self._hook is not None:
            self._close_epoch()
            self._hook.remove()
            self._hook = None
            self._end()

    def _close_epoch(self) -> None:
        if self._open:
            self.run.log_epoch(**self._validation(self._metrics))
        self._open, self._metrics = False, {}


def _loss_of(outputs: Any) -> Tensor | None:
    """The loss in what a model returned: by name, as an attribute, or the first of a tuple, if that is a scalar."""
    if isinstance(outputs, Mapping):
        loss = outputs.get("loss")
    elif isinstance(outputs, tuple):
        loss = outputs[0] if outputs else None
    else:
        loss = getattr(outputs, "loss", None)
    return loss if isinstance(loss, Tensor) and loss.numel() == 1 else None
