"""What logging costs a training loop: whole small epochs with and without it, offline, against `wandb.watch`.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --model gpt --blocks 10 --arms "karn standard" "wandb.watch gradients"

Each arm has a model and a run of its own in one process, and they take turns, an epoch each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import wandb
from torch import Tensor

import karn_wandb
from benchmarks.allocator import keep_memory
from benchmarks.blocks import BlockTime, Median, median, take_turns
from benchmarks.models import TRAININGS, Training
from benchmarks.offline import drain, offline_options, setting, table
from karn_wandb import KarnConfig


class Bare:
    """Training alone; the other arms add to it."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def begin(self) -> None:
        """Get ready for a block; not timed."""

    def block(self, steps: int) -> None:
        """A small epoch."""
        for _ in range(steps):
            self.after_step(self.training.step())
        self.after_epoch()

    def after_step(self, loss: Tensor) -> None:
        """What is logged of a batch."""

    def after_epoch(self) -> None:
        """What is logged of an epoch."""

    def drain(self) -> None:
        """Wait for what other threads have left to do."""

    def finish(self) -> None:
        """End the run."""


class Plain(Bare):
    """`run.log` of each batch's loss; with `watch`, a histogram of every tensor at every batch as well."""

    def __init__(self, training: Training, options: dict[str, Any], watch: Literal["gradients", "all"] | None = None) -> None:
        super().__init__(training)
        self.run = wandb.init(project="overhead", **options)
        if watch is not None:
            self.run.watch(training.model, log=watch, log_freq=1)

    def begin(self) -> None:
        """Make the run the process's own: the hooks of `watch` log to that one, whichever run they were asked of."""
        wandb.run = self.run

    def after_step(self, loss: Tensor) -> None:
        """Log the loss, which also commits what `watch` has added to the row."""
        self.run.log({"loss": loss.item()})

    def finish(self) -> None:
        """End the run."""
        self.run.finish()


class Karn(Bare):
    """The attached model, a `log_batch` after every step, a `log_epoch` after every block, and the W&B sink beside it."""

    def __init__(self, training: Training, options: dict[str, Any], config: KarnConfig) -> None:
        super().__init__(training)
        self.run = karn_wandb.init("overhead", karn=config, **options)
        self.run.attach(training.model)

    def after_step(self, loss: Tensor) -> None:
        """Log the batch."""
        self.run.log_batch(loss=loss)

    def after_epoch(self) -> None:
        """Log the epoch."""
        self.run.log_epoch(val_loss=2.3, val_accuracy=10.0)

    def drain(self) -> None:
        """Wait until all sinks have everything."""
        drain(self.run)

    def finish(self) -> None:
        """End the run, with its tables and artifacts."""
        self.run.finish()


ARMS: Mapping[str, Callable[[Training, dict[str, Any]], Bare]] = MappingProxyType(
    {
        "bare": lambda training, _: Bare(training),
        "bare again": lambda training, _: Bare(training),
        "run.log": Plain,
        "wandb.watch gradients": lambda training, options: Plain(training, options, "gradients"),
        "wandb.watch all": lambda training, options: Plain(training, options, "all"),
        "karn standard": lambda training, options: Karn(training, options, KarnConfig()),
        "karn research": lambda training, options: Karn(training, options, KarnConfig(mode="research")),
        "karn layer summaries": lambda training, options: Karn(training, options, KarnConfig(seed_layer_summaries=True)),
    }
)
"""What is compared, by name; the first two always take part."""

BARE, AGAIN = list(ARMS)[:2]


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds by arm.

    Attributes:
        blocks: Of each block.
        finish: Of ending the run.
    """

    blocks: dict[str, list[BlockTime]]
    finish: dict[str, float]


def measure(make: Callable[[], Training], names: Iterable[str], blocks: int, steps: int, pause: float = 0.2) -> Measured:
    """Prepare the arms, each with a model and a run of its own, let them take turns, and end their runs.

    Args:
        make: Makes equal trainings.
        names: Arms to compare with the bare ones.
        blocks: Number of blocks.
        steps: Training steps of an arm in a block.
        pause: Seconds of rest after each arm.
    """
    with offline_options() as options:
        arms = {name: ARMS[name](make(), options) for name in dict.fromkeys((BARE, AGAIN, *names))}
        times = take_turns(arms, blocks, steps, pause=pause)
        return Measured(times, {name: seconds(arm.finish) for name, arm in arms.items()})


def seconds(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def report(measured: Measured, steps: int) -> str:
    """The Markdown table: each arm's time in a block over the mean of the bare arms' in the same block."""
    bare, again = ([t.block for t in measured.blocks[name]] for name in (BARE, AGAIN))
    means = [(a + b) / 2 for a, b in zip(bare, again, strict=True)]
    rows = [[BARE, milliseconds(bare, steps), *[""] * 5]]
    rows.append([f"{AGAIN} (noise floor)", milliseconds(again, steps), *added(again, bare), "", "", ""])
    for name in measured.blocks:
        if name not in (BARE, AGAIN):
            block = [t.block for t in measured.blocks[name]]
            drained = [t.drained for t in measured.blocks[name]]
            times = (*added(block, means), *added(drained, means), f"{measured.finish[name]:.2f}")
            rows.append([name, milliseconds(block, steps), *times])
    header = ["arm", "ms a step", "added", "95 % interval", "added, with delivery", "95 % interval", "finish, s"]
    return table(header, rows)


def milliseconds(blocks: list[float], steps: int) -> str:
    """Median time of a step."""
    return f"{1e3 * median(blocks).value / steps:.2f}"


def added(times: list[float], reference: list[float]) -> tuple[str, str]:
    """Median of the ratios, less one, and its interval, in percent."""
    found = median([time / of for time, of in zip(times, reference, strict=True)])
    return percent(found.value), interval(found)


def interval(found: Median) -> str:
    """The interval of a ratio as a change in percent, or a word for there being none."""
    return "too few blocks" if found.low is None or found.high is None else f"{percent(found.low)} to {percent(found.high)}"


def percent(ratio: float) -> str:
    """A ratio as a change in percent."""
    return f"{100 * (ratio - 1):+.1f} %"


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=30, help="times each arm is run")
    parser.add_argument("--steps", type=int, default=40, help="training steps of an arm in a block")
    parser.add_argument("--model", nargs="+", choices=TRAININGS, default=list(TRAININGS), help="what is trained")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="what is compared with training alone")
    options = parser.parse_args(arguments)
    print(f"{options.blocks} blocks of {options.steps} steps. {setting()}.")
    for model in options.model:
        measured = measure(TRAININGS[model], options.arms, options.blocks, options.steps)
        print(f"\n{model}\n\n{report(measured, options.steps)}", flush=True)


if __name__ == "__main__":
    keep_memory()
    main()
