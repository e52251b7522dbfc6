"""What both callbacks share: hooks that do nothing, and measurements by their names in other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from karn_wandb.run import Run


def nothing(*_arguments: Any, **_keywords: Any) -> None:
    """A hook that is not used."""


@dataclass(eq=False)
class Hooks:
    """Logs to a run what a training loop says through its hooks; those that a subclass does not have do nothing.

    Attributes:
        run: Where to log.
        val_loss: Name of the validation loss among the loop's metrics.
        val_accuracy: Name of the validation accuracy there.
        percent: Whether accuracies are percentages already; otherwise they are fractions, and are multiplied by 100.
        slots: Slots of the model, as `Run.attach` takes them.
        val_loader: Batches on which coalitions are evaluated, as `Run.attach` takes them.
        finish: Whether the run is finished when training ends; with False that is left to you.
    """

    run: Run
    _: KW_ONLY
    val_loss: str
    val_accuracy: str
    percent: bool = False
    slots: Mapping[str, Any] | None = None
    val_loader: Any = None
    finish: bool = True

    def __getattr__(self, name: str) -> Any:
        """Hooks of the loop that are not used, those of its later versions too."""
        if name.startswith("on_"):
            return nothing
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _begin(self, model: Any) -> None:
        self.run.attach(model, slots=self.slots, val_loader=self.val_loader)

    def _validation(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Keywords of `Run.log_epoch`, of those metrics that are there."""
        names = {"val_loss": self.val_loss, "val_accuracy": self.val_accuracy}
        found = {field: metrics[name] for field, name in names.items() if metrics.get(name) is not None}
        if "val_accuracy" in found:
            found["val_accuracy"] = self._in_percent(found["val_accuracy"])
        return found

    def _in_percent(self, accuracy: Any) -> Any:
        return accuracy if self.percent else 100.0 * accuracy

    def _end(self, error: BaseException | None = None) -> None:
        if self.finish and error is not None:
            self.run.finish(exit_code=1, reason=f"{type(error).__name__}: {error}")
        elif self.finish:
            self.run.finish()
        elif not self.run.concluded:
            self.run.detach()
