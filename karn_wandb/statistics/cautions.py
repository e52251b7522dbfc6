"""What a careful reader of a comparison must be told, in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from karn_wandb.records import Comparison
from karn_wandb.statistics.inputs import LARGEST, Floats
from karn_wandb.statistics.permutation import smallest_sufficient_n
from karn_wandb.statistics.power import FEWEST_RUNS, MOST_RUNS

FAR = 10
"""Median absolute deviations from the median beyond which a value is pointed out.

Among normal values the rule points at some in 7 % of samples of 5, 1.2 % of 10, 0.2 % of 20 (40,000 draws).
"""


def obstacle(comparison: Comparison, treatment: Floats, control: Floats) -> str | None:
    """Why nothing can be inferred from these runs; None when something can."""
    if smallest_arm(comparison) < FEWEST_RUNS:
        needed = smallest_sufficient_n(1 - comparison.confidence, paired=comparison.paired)
        return (
            f"{_size(comparison)}: nothing is inferred from fewer than {FEWEST_RUNS}; "
            f"{needed} {_unit(comparison)} are needed before the permutation test can reach {_alpha(comparison)}"
        )
    if comparison.paired and _constant(treatment - control, treatment, control):
        return (
            f"all {treatment.size} deltas are {comparison.mean_delta:.4g}: without spread there is no test; "
            "check that the runs are independent repetitions"
        )
    if not comparison.paired and _constant(treatment, treatment) and _constant(control, control):
        return (
            f"all treatment values are {treatment[0]:.4g} and all control values are {control[0]:.4g}: "
            "without spread there is no test; check that the runs are independent repetitions"
        )
    return None


def on_description(comparison: Comparison) -> Iterator[str]:
    """Cautions that hold even where nothing is inferred."""
    if smallest_arm(comparison) < 4:
        yield f"{_size(comparison)}: with fewer than 4 values an interquartile mean is the plain mean"


def on_inference(comparison: Comparison, treatment: Floats, control: Floats) -> Iterator[str]:
    """Cautions about the inferential fields of a finished comparison."""
    yield from _on_size(comparison)
    yield from _on_spread(comparison, treatment, control)
    yield from _on_margin(comparison)
    yield from _on_required_n(comparison)


def smallest_arm(comparison: Comparison) -> int:
    """Pairs, or runs in the smaller arm: what limits the inference."""
    return min(comparison.n_treatment, comparison.n_control)


def _on_size(comparison: Comparison) -> Iterator[str]:
    n = smallest_arm(comparison)
    if n < 5:
        yield f"{_size(comparison)}: read the numbers as a description, not as evidence"
    elif n < 10:
        yield f"{_size(comparison)}: few; the interval rests on near-normal values, which so few cannot show"
    if n < 10:
        yield f"{_size(comparison)}: the bootstrap interval is too narrow below 10; read the {comparison.ci_method} interval"
    if comparison.p_attainable is not None and comparison.p_attainable > 1 - comparison.confidence:
        needed = smallest_sufficient_n(1 - comparison.confidence, paired=comparison.paired)
        yield (
            f"with {_size(comparison)} the smallest attainable permutation p is {comparison.p_attainable:.4g}, "
            f"above {_alpha(comparison)}; {needed} {_unit(comparison)} can reach it"
        )


def _on_spread(comparison: Comparison, treatment: Floats, control: Floats) -> Iterator[str]:
    looked_at = {"delta": treatment - control} if comparison.paired else {"treatment": treatment, "control": control}
    for name, values in looked_at.items():
        if not comparison.paired and _constant(values, values):
            yield f"all {values.size} {name} values are {values[0]:.4g}: check that the runs are independent repetitions"
        elif far := ", ".join(f"{value:.4g}" for value in _far(values)):
            yield f"far from the other {name} values, and kept: {far} (median {np.median(values):.4g})"


def _on_margin(comparison: Comparison) -> Iterator[str]:
    low, high, margin = comparison.ci_low, comparison.ci_high, comparison.margin
    if low is None or high is None or margin is None or comparison.verdict not in ("better", "worse"):
        return
    if -margin < low and high < margin:
        yield f"the difference is shown, and shown to be smaller than the margin of {margin:.4g}"


def _on_required_n(comparison: Comparison) -> Iterator[str]:
    at = f"the margin of {comparison.margin:.4g}" if comparison.margin is not None else "the observed delta"
    if comparison.required_n is None:
        yield f"more than {MOST_RUNS:,} {_unit(comparison)} would be needed for 80 % power at {at}"
    elif comparison.required_n_basis == "observed delta":
        yield (
            f"80 % power would need {comparison.required_n:,} {_unit(comparison)} if the observed delta were the true one, "
            "which these runs show only roughly; plan with a margin instead"
        )


def _constant(values: Floats, *sources: Floats) -> bool:
    """Whether the values differ by no more than the rounding of the numbers they come from, or than can be squared."""
    rounding = 16 * np.finfo(float).eps * max(float(np.abs(source).max()) for source in sources)
    return bool(np.ptp(values) <= max(rounding, 1 / LARGEST))


def _far(values: Floats) -> Floats:
    if values.size < 5:
        return values[:0]
    distances = np.abs(values - np.median(values))
    far: Floats = values[distances > FAR * np.median(distances)]
    return far


def _size(comparison: Comparison) -> str:
    if comparison.paired:
        return f"{comparison.n_treatment} pair{'s' * (comparison.n_treatment != 1)}"
    return f"{comparison.n_treatment} v {comparison.n_control} runs"


def _unit(comparison: Comparison) -> str:
    return "pairs" if comparison.paired else "runs an arm"


def _alpha(comparison: Comparison) -> str:
    return f"{1 - comparison.confidence:.4g}"
