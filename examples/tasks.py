"""What can be learned: the host and the seed modules that fit it, how it is trained, and what is asked of it in its own unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import nn

from examples import blueprints, text_blueprints
from examples.gates import Thresholds
from examples.gpt import GPT
from examples.host import ConvHost, Host
from examples.perceptron import PerceptronHost


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the host is trained; the same for every arm."""

    epochs: int = 30
    width: int = 8
    batch_size: int = 64
    lr: float = 1.5e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    warmup_epochs: int = 2
    max_grad_norm: float = 1.0
    blend_epochs: int = 5
    matrix_every: int = 5

    @property
    def last_germination(self) -> int:
        """Last epoch at which the heuristic lets a seed module germinate: later ones would have no time."""
        return self.epochs * 6 // 10


@dataclass(frozen=True, slots=True)
class Metric:
    """What a host is judged by.

    Attributes:
        name: What it is called.
        of: The metric from mean loss (nats) and accuracy (percent).
        shown: How a value is written, with its unit.
        higher_is_better: Its direction.
    """

    name: str
    of: Callable[[float, float], float]
    shown: str
    higher_is_better: bool = True

    def score(self, loss: float, accuracy: float) -> float:
        """The metric in the direction in which more is better: what gates compare."""
        return self.of(loss, accuracy) if self.higher_is_better else -self.of(loss, accuracy)

    def text(self, loss: float, accuracy: float) -> str:
        """The metric as it is written."""
        return self.shown.format(self.of(loss, accuracy))


ACCURACY = Metric("accuracy", of=lambda _, accuracy: accuracy, shown="{:.2f} %")
BITS_PER_CHARACTER = Metric(
    "bits_per_character", of=lambda loss, _: loss / math.log(2), shown="{:.3f} bits", higher_is_better=False
)


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of thing to learn.

    Attributes:
        name: What it is called on the command line.
        kind: What the episode context calls it.
        project: Name of the W&B project.
        architecture: Name of the host.
        host: Makes a host for a recipe and a number of classes.
        blueprints: Kinds of seed modules by name, smallest first; each is made for a slot's width.
        plan: Slots in the order in which the heuristic fills them, and the blueprints that it tries in each.
        metric: What it is judged by.
        game: What the coalitions' values are: percent accuracy, or minus the loss.
        thresholds: What gates ask for, in the metric's unit.
        recipe: How the host is trained unless said otherwise.
    """

    name: str
    kind: str
    project: str
    architecture: str
    host: Callable[[Recipe, int], Host]
    blueprints: Mapping[str, Callable[[int], nn.Module]]
    plan: Mapping[str, tuple[str, ...]]
    metric: Metric
    game: Literal["accuracy", "loss"]
    thresholds: Thresholds
    recipe: Recipe


IMAGES = Task(
    name="images",
    kind="classification",
    project="growing-cnn",
    architecture="cnn_3block",
    host=lambda recipe, classes: ConvHost(recipe.width, classes, recipe.blend_epochs),
    blueprints=blueprints.BLUEPRINTS,
    plan=MappingProxyType(
        {
            "late": ("conv_heavy", "bottleneck", "norm"),
            "mid": ("conv_heavy", "conv_light", "norm"),
            "early": ("conv_heavy", "attention", "norm"),
        }
    ),
    metric=ACCURACY,
    game="accuracy",
    thresholds=Thresholds(),
    recipe=Recipe(),
)

TEXT = Task(
    name="text",
    kind="lm",
    project="growing-gpt",
    architecture="gpt_6layer",
    host=lambda recipe, characters: GPT(characters, recipe.width, blend_epochs=recipe.blend_epochs),
    blueprints=text_blueprints.BLUEPRINTS,
    plan=MappingProxyType(
        {
            "mid": ("perceptron", "adapter", "norm"),
            "late": ("perceptron", "low_rank", "norm"),
            "early": ("attention", "adapter", "norm"),
        }
    ),
    metric=BITS_PER_CHARACTER,
    game="loss",
    thresholds=Thresholds(
        parameter_budget=120_000, stalled=0.2, potential=-0.05, host_loss=0.05, contribution=0.005, held_epochs=3
    ),
    recipe=Recipe(width=64, batch_size=16, lr=3e-3, label_smoothing=0.0),
)

FLAT = (text_blueprints.norm, text_blueprints.low_rank, text_blueprints.adapter, text_blueprints.perceptron)
"""Kinds of seed modules that need neither a picture's places nor a sequence's."""

PIXELS = 64
"""Numbers in a digit."""

DIGITS = Task(
    name="digits",
    kind="classification",
    project="growing-digits",
    architecture="mlp_2layer",
    host=lambda recipe, classes: PerceptronHost(PIXELS, recipe.width, classes, recipe.blend_epochs),
    blueprints=MappingProxyType({f.__name__: f for f in FLAT}),
    plan=MappingProxyType({"early": ("adapter", "perceptron"), "late": ("perceptron", "norm"), "mid": ("perceptron", "norm")}),
    metric=ACCURACY,
    game="accuracy",
    thresholds=Thresholds(parameter_budget=40_000, stalled=15.0, training_epochs=2, held_epochs=2),
    recipe=Recipe(epochs=16, lr=5e-3, label_smoothing=0.0, warmup_epochs=1, blend_epochs=2),
)

TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in (IMAGES, TEXT, DIGITS)})
"""Tasks by name."""
