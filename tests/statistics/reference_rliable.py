"""Reference values of rliable 1.2.0 for several tasks: its own aggregates of fixed matrices.

    python tests/statistics/reference_rliable.py > tests/statistics/reference_rliable.json

Made with rliable 1.2.0, arch 7.2.0, NumPy 2.4.6 and pandas 2.3.3 (rliable does not import beside pandas 3) in an environment of
their own. rliable's matrices are runs x tasks, so ours are transposed.
"""

import json
import sys

import numpy as np
from rliable import metrics

THRESHOLDS = [0.1, 0.25, 0.5, 0.9]


def matrix(tasks: int, runs: int, step: int) -> np.ndarray:
    """Numbers between 0 and 1.3 with no order to see, the same on every machine."""
    task, run = np.meshgrid(np.arange(tasks), np.arange(runs), indexing="ij")
    return ((step * task * task + 13 * run * run + 5 * task * run + 31 * run) % 97) * (1.3 / 97)


def described(scores: np.ndarray, control: np.ndarray) -> dict[str, object]:
    """What rliable makes of them."""
    theirs, other = scores.T, control.T
    return {
        "scores": scores.tolist(),
        "control": control.tolist(),
        "iqm": metrics.aggregate_iqm(theirs),
        "mean": metrics.aggregate_mean(theirs),
        "median": metrics.aggregate_median(theirs),
        "optimality gap": metrics.aggregate_optimality_gap(theirs),
        "improvement": metrics.probability_of_improvement(theirs, other),
        "thresholds": THRESHOLDS,
        "profile": [float(np.mean(theirs > level)) for level in THRESHOLDS],
    }


if __name__ == "__main__":
    shapes = [(26, 10), (5, 3), (1, 7), (3, 1), (8, 25)]
    json.dump([described(matrix(*shape, step=7), matrix(*shape, step=11)) for shape in shapes], sys.stdout, default=float)
    sys.stdout.write("\n")
