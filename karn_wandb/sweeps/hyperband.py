"""Stopping runs early by Hyperband's brackets, as W&B's documentation describes it.

Li et al. (2018), Hyperband: A novel bandit-based approach to hyperparameter optimization, JMLR 18(185). At each bracket,
counted in values of the metric, a run goes on only when it is among the best 1/eta of those that came as far.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from karn_wandb.sweeps.file import Hyperband

MOST_BRACKETS = 100


def brackets(rule: Hyperband) -> list[int]:
    """Where runs are judged, ascending: min_iter * eta**k, or max_iter / eta**k for k = 1 to s."""
    if rule.min_iter is not None:
        found = [rule.min_iter * rule.eta**k for k in range(MOST_BRACKETS)]
    else:
        found = [(rule.max_iter or 0) / rule.eta**k for k in range(rule.s, 0, -1)]
    return [int(at) for at in found if 1 <= at < math.inf]


def to_stop(
    rule: Hyperband, goal: str, histories: Mapping[str, Sequence[float]], running: Sequence[str]
) -> dict[str, tuple[int, float, float]]:
    """Which runs are to be stopped.

    Args:
        rule: The rule.
        goal: minimize or maximize.
        histories: The metric's values of every run so far, in their order.
        running: Runs that go on.

    Returns:
        The runs, each with the bracket, its value there and the threshold it missed, both as logged.
    """
    sign = -1.0 if goal == "maximize" else 1.0
    losses = {name: [sign * value for value in values if math.isfinite(value)] for name, values in histories.items()}
    stopped: dict[str, tuple[int, float, float]] = {}
    for name in running:
        own = losses.get(name, [])
        passed = [at for at in brackets(rule) if at <= len(own)]
        if not passed:
            continue
        at = passed[-1]
        arrived = sorted(values[at - 1] for values in losses.values() if len(values) >= at)
        threshold = arrived[int(len(arrived) / rule.eta)]
        value = own[at - 1] if rule.strict else min(own)
        if value > threshold:
            stopped[name] = (at, sign * value, sign * threshold)
    return stopped
