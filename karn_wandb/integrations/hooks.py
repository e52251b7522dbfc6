"""What both callbacks share: hooks that do nothing, and measurements by their names in other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from karn_wandb.run import Run


def nothing(*_arguments: Any, **_keywords: Any) -> None:
    """A hook that is not used."""


class Hooks:
    """Logs to a run what a training loop says through its hooks; those that a subclass does not have do nothing.

    Args:
        run: Where to log.
        val_loss: Name of the validation loss among the loop's metrics.
        val_accuracy: Name of the validation accuracy.
        train_accuracy: Name of the training accuracy, None for none.
        percent: Whether accuracies are percentages already; otherwise they are fractions, and are multiplied by 100.
        slots: Slots of the model, as `Run.attach` takes them.
        val_loader: Batches on which coalitions are evaluated, as `Run.attach` takes them.
        finish: Whether the run is finished when training ends; with False that is left to you.
    """

    def __init__(
        self,
        run: Run,
        *,
        val_loss: str,
        val_accuracy: str,
        train_accuracy: str | None = None,
        percent: bool = False,
        slots: Mapping[str, Any] | None = None,
        val_loader: Any = None,
        finish: bool = True,
    ) -> None:
        self.run = run
        self._names = {"val_loss": val_loss, "val_accuracy": val_accuracy}
        self._train_accuracy = train_accuracy
        self._scale = 1.0 if percent else 100.0
        self._slots = slots
        self._loader = val_loader
        self._finish = finish

    def __getattr__(self, name: str) -> Any:
        """Hooks of the loop that are not used, those of its later versions too."""
        if name.startswith("on_"):
            return nothing
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _begin(self, model: Any) -> None:
        self.run.attach(model, slots=self._slots, val_loader=self._loader)

    def _validation(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Keywords of `Run.log_epoch`, of those metrics that are there."""
        found = {field: metrics[name] for field, name in self._names.items() if metrics.get(name) is not None}
        if "val_accuracy" in found:
            found["val_accuracy"] = found["val_accuracy"] * self._scale
        return found

    def _accuracy(self, outputs: Mapping[str, Any]) -> Any:
        """The training accuracy of a batch, in percent; None when the loop does not say it."""
        value = None if self._train_accuracy is None else outputs.get(self._train_accuracy)
        return None if value is None else value * self._scale

    def _end(self, error: BaseException | None = None) -> None:
        if self._finish and error is not None:
            self.run.finish(exit_code=1, reason=f"{type(error).__name__}: {error}")
        elif self._finish:
            self.run.finish()
        elif not self.run.concluded:
            self.run.detach()
