"""What all coalitions of a model's slots cost, against an ordinary pass for each.

python -m benchmarks.coalitions
python -m benchmarks.coalitions --model cnn3 gpt3 --blocks 10
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, product
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.blocks import median
from benchmarks.models import blend_in, image_training, text_training
from benchmarks.offline import setting, table
from examples.blueprints import BLUEPRINTS
from examples.host import block
from examples.slots import SeedSlot
from karn_wandb import Evaluation, ModelEvaluator
from karn_wandb.attribution.model.outcomes import Tally, outcomes
from karn_wandb.attribution.model.switches import switched
from karn_wandb.attribution.plan import plan
from karn_wandb.records import Coalition, CounterfactualConfig

Batches = list[tuple[Tensor, Tensor]]


class DeepHost(nn.Module):
    """Convolutional blocks with a slot behind each; the first three halve the sides.

    Args:
        channels: Of each block, multiples of 4.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block(before, after) for before, after in pairwise((3, *channels)))
        for later in self.blocks[3:]:
            later[-1] = nn.Identity()  # no pooling
        self.seed_slots = nn.ModuleDict({f"slot{i}": SeedSlot(f"slot{i}", width) for i, width in enumerate(channels)})
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 10))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 3, 32, 32)."""
        for host_block, slot in zip(self.blocks, self.seed_slots.values(), strict=True):
            x = slot(host_block(x))
        return self.head(x)


@dataclass(slots=True)
class Case:
    """A model, validation batches and the coalitions that are wanted.

    Attributes:
        model: In eval mode, with nothing at zero, so that all coalitions differ.
        batches: Validation data.
        coalitions: Which slots are on.
    """

    model: nn.Module
    batches: Batches
    coalitions: Sequence[Coalition]
    evaluator: ModelEvaluator = field(init=False)

    def __post_init__(self) -> None:
        self.evaluator = ModelEvaluator(self.model.eval(), self.batches)
        for parameter in self.model.parameters():
            nn.init.normal_(parameter, std=0.05)

    def plainly(self) -> list[Evaluation]:
        """A pass for each coalition."""
        tally, slots = Tally(), list(self.evaluator.slots.values())
        with torch.no_grad():
            for inputs, targets in self.batches:
                found = []
                for coalition in self.coalitions:
                    with switched(slots, coalition):
                        found.append(outcomes(self.model(inputs)[None], targets))
                tally.add(type(found[0])(*(torch.cat(kind) for kind in zip(*found, strict=True))), targets)
        return list(tally.evaluations(per_class=False))

    def branching(self) -> list[Evaluation]:
        """As the package does it, with all its checks."""
        return self.evaluator.evaluate_all(self.coalitions)


def every(slots: int) -> list[Coalition]:
    """The full factorial."""
    return list(product((True, False), repeat=slots))


def sampled(slots: int) -> Sequence[Coalition]:
    """What 20 permutations pass by."""
    return plan(CounterfactualConfig(strategy="shapley"), slots, np.random.default_rng(0)).coalitions


def images(batches: int, size: int = 128) -> Batches:
    """Random images and classes."""
    return [(torch.randn(size, 3, 32, 32), torch.randint(10, (size,))) for _ in range(batches)]


def convolutional() -> Case:
    """The examples' host with 64 channels."""
    return Case(image_training(1).model, images(4), every(3))


def deep(channels: Sequence[int], coalitions: Callable[[int], Sequence[Coalition]], batches: int) -> Case:
    """A deeper one."""
    torch.manual_seed(0)
    model = DeepHost(channels)
    for slot in map(partial(cast, "SeedSlot"), model.seed_slots.values()):
        blend_in(slot, "conv_light", BLUEPRINTS["conv_light"](slot.channels))
    return Case(model, images(batches), coalitions(len(channels)))


def transformer() -> Case:
    """Six blocks, 128 features, 128 tokens, batches of 8 texts."""
    training = text_training(256)
    return Case(training.model, list(zip(training.inputs.split(8), training.targets.split(8), strict=True)), every(3))


CASES: Mapping[str, tuple[str, Callable[[], Case]]] = MappingProxyType(
    {
        "cnn3": ("3 slots, convolutional, all coalitions", convolutional),
        "cnn4": ("4 slots, convolutional, all coalitions", partial(deep, (64, 128, 256, 256), every, 2)),
        "gpt3": ("3 slots, transformer, all coalitions", transformer),
        "cnn8": ("8 slots, convolutional, 20 permutations", partial(deep, (32, 64, 64, 64, 64, 64, 64, 64), sampled, 1)),
    }
)


def ratios(case: Case, blocks: int, seed: int = 0) -> Iterator[tuple[float, float]]:
    """Seconds of both ways, one after the other in shuffled order; a first round warms up and is left out."""
    generator = np.random.default_rng(seed)
    ways = (case.plainly, case.branching)
    for number in range(blocks + 1):
        taken = [0.0, 0.0]
        for place in generator.permutation(2):
            started = time.perf_counter()
            ways[place]()
            taken[place] = time.perf_counter() - started
        if number:
            yield taken[0], taken[1]


def differences(case: Case) -> tuple[str, float]:
    """Whether the same examples were right, and the largest relative difference of a loss."""
    pairs = list(zip(case.plainly(), case.branching(), strict=True))
    same = all((a.correct, a.accuracy, a.group_accuracies) == (b.correct, b.accuracy, b.group_accuracies) for a, b in pairs)
    return ("yes" if same else "NO"), max(abs(a.loss - b.loss) / a.loss for a, b in pairs if a.loss and b.loss)


def row(name: str, blocks: int) -> list[str]:
    """A line of the table."""
    title, make = CASES[name]
    case = make()
    same, difference = differences(case)
    times = list(ratios(case, blocks))
    found = median([branching / plain for plain, branching in times])
    interval = "too few blocks" if found.low is None or found.high is None else f"{found.low:.2f} to {found.high:.2f}"
    seconds = [f"{median(taken).value:.2f}" for taken in zip(*times, strict=True)]
    extra = f"{case.evaluator.extra_evaluations:.2f}"
    return [title, str(len(case.coalitions)), *seconds, f"{found.value:.2f}", interval, extra, same, f"{difference:.0e}"]


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=20, help="times both ways are run")
    parser.add_argument("--model", nargs="+", choices=CASES, default=list(CASES), help="what is evaluated")
    options = parser.parse_args(arguments)
    header = [
        "model",
        "coalitions",
        "plain, s",
        "branching, s",
        "ratio",
        "95 % interval",
        "extra",
        "same answers",
        "losses differ",
    ]
    print(f"{options.blocks} blocks. {setting()}.\n\n{table(header, [])}")
    for name in options.model:
        print(f"| {' | '.join(row(name, options.blocks))} |", flush=True)


if __name__ == "__main__":
    main()
