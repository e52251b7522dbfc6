"""Where records go from the log: W&B, a live dashboard, and one line an epoch on a console."""

from typing import TYPE_CHECKING

from karn_wandb.sinks.console import ConsoleOutput

if TYPE_CHECKING:
    from karn_wandb.sinks.dashboard import Dashboard
    from karn_wandb.sinks.wandb import LogGate, WandbSink

__all__ = ["ConsoleOutput", "Dashboard", "LogGate", "WandbSink"]


def __getattr__(name: str) -> object:
    """Load what needs rich or the wandb SDK when it is first asked for."""
    if name == "Dashboard":
        from karn_wandb.sinks.dashboard import Dashboard  # noqa: PLC0415 -- loads rich

        return Dashboard
    if name in ("LogGate", "WandbSink"):
        from karn_wandb.sinks import wandb  # noqa: PLC0415 -- importing wandb takes seconds

        return getattr(wandb, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
