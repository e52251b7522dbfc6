"""A run's matrices made up to have everything a chart must show: synergy, interference, a harmful slot, an onset, stages."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from karn_wandb import CounterfactualConfig, CounterfactualEngine
from karn_wandb.records import CounterfactualMatrix, Evaluation, InteractionEstimate, SeedStage

NAMES = ("early", "mid", "late", "stem", "head", "tail")
LONG = ("encoder.block1.conv3x3", "encoder.block2.attention", "decoder.very_long_module_name.norm")
EXAMPLES = 2000


def outcomes(slots: tuple[str, ...], strength: float = 1.0, seed: int = 0, examples: int = EXAMPLES):
    """A value function: whether each example is right depends on the slots, on pairs of them, and on the example."""
    rng = np.random.default_rng(seed)
    ease = rng.logistic(size=examples)
    own = [0.5, 0.25, -0.2, 0.08, 0.3, -0.05]

    def rng_of(config: tuple[bool, ...]) -> np.random.Generator:
        return np.random.default_rng((seed, *map(int, config)))

    def value(config: tuple[bool, ...]) -> Evaluation:
        score = 0.3 + strength * sum(weight for weight, on in zip(own, config, strict=False) if on)
        score += strength * (0.35 * (config[0] and config[1]) - (0.3 * (config[1] and config[2]) if len(config) > 2 else 0))
        correct = ease + rng_of(config).normal(scale=0.3, size=examples) < score
        return Evaluation(loss=2.0 - score, accuracy=100.0 * float(correct.mean()), correct=correct)

    return value


def matrix(
    slots: tuple[str, ...] = NAMES[:3],
    epoch: int = 7,
    strength: float = 1.0,
    metric: str = "accuracy",
    examples: int = EXAMPLES,
    **config: object,
) -> CounterfactualMatrix:
    """One evaluated by the engine, with each coalition's outcomes, and with intervals and regimes of its interactions."""
    engine, value = CounterfactualEngine(CounterfactualConfig(**config)), outcomes(slots, strength, epoch, examples)
    found = engine.evaluate(slots, value, epoch=epoch, metric=metric)
    configs = tuple(replace(result, correct=value(result.config).correct) for result in found.configs)
    return with_regimes(replace(found, configs=configs))


def with_regimes(found: CounterfactualMatrix, std: float = 0.35) -> CounterfactualMatrix:
    """The matrix with an interval for each interaction, and the regime that follows."""
    return replace(found, interactions={pair: regime(effect, std) for pair, effect in found.interaction_effects.items()})


def regime(effect: float, std: float) -> InteractionEstimate:
    low, high = effect - 1.96 * std, effect + 1.96 * std
    name = "synergy" if low > 0 else "interference" if high < 0 else "independence" if max(-low, high) < 0.8 else "undecided"
    return InteractionEstimate(effect, std, low, high, name, "per_example")


def series(slots: tuple[str, ...] = NAMES[:3], epochs: int = 24) -> list[CounterfactualMatrix]:
    """Matrices whose slots begin to matter around the middle."""
    return [matrix(slots, epoch, strength=1 / (1 + math.exp((epochs / 2 - epoch) / 2))) for epoch in range(1, epochs + 1)]


def stages(slots: tuple[str, ...] = NAMES[:3], epochs: int = 24) -> dict[str, list[tuple[int, SeedStage]]]:
    life = [
        SeedStage.DORMANT,
        SeedStage.GERMINATED,
        SeedStage.TRAINING,
        SeedStage.BLENDING,
        SeedStage.HOLDING,
        SeedStage.FOSSILIZED,
    ]
    return {
        slot: [(epoch, life[min((epoch + place) * 6 // epochs, 5)]) for epoch in range(1, epochs + 1)]
        for place, slot in enumerate(slots)
    }
