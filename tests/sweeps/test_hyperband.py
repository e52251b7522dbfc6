"""Early stopping: the brackets of W&B's documentation, and who misses them."""

from __future__ import annotations

import pytest

from karn_wandb.sweeps.file import Hyperband
from karn_wandb.sweeps.hyperband import brackets, to_stop

NAN = float("nan")


def test_brackets_are_those_of_the_documentation():
    """W&B's examples: min_iter 3 with eta 3 gives 3, 9, 27, 81; max_iter 27 with s 2 gives 27/3 and 27/9."""
    assert brackets(Hyperband(min_iter=3))[:4] == [3, 9, 27, 81]
    assert brackets(Hyperband(max_iter=27, s=2)) == [3, 9]
    assert brackets(Hyperband(max_iter=27, s=2, eta=2)) == [6, 13]
    assert brackets(Hyperband(max_iter=4, s=5, eta=3)) == [1]


# Worked by hand. At bracket 2 of (max_iter 5, s 2, eta 2: brackets 1 and 2) the losses are 9, 10, 8, 7, 6; sorted, the one
# at place int(5/2) = 2 is 8. Runs above it are stopped: b. The finished run a is not asked.
HISTORIES = {"a": [10, 9], "b": [10, 10], "c": [10, 8, 8], "d": [10, 7, 7], "e": [10, 6, 6]}
RULE = Hyperband(max_iter=5, s=2, eta=2, strict=True)


def test_a_run_that_misses_the_threshold_is_stopped_with_the_reason():
    assert to_stop(RULE, "minimize", HISTORIES, ["b", "c", "d"]) == {"b": (2, 10, 8)}


def test_to_maximise_is_the_same_with_the_sign_turned():
    turned = {name: [-value for value in values] for name, values in HISTORIES.items()}
    assert to_stop(RULE, "maximize", turned, ["b", "c", "d"]) == {"b": (2, -10, -8)}


def test_only_the_last_bracket_a_run_has_come_to_counts():
    histories = {"early": [1.0], "late": [9.0, 1.0], "other": [2.0, 3.0]}
    assert to_stop(RULE, "minimize", histories, ["late"]) == {}


def test_without_strict_the_best_value_so_far_counts():
    histories = {"fell": [1.0, 9.0], "x": [5.0, 2.0], "y": [5.0, 2.0], "z": [5.0, 2.0]}
    lenient = Hyperband(max_iter=5, s=2, eta=2)
    assert to_stop(lenient, "minimize", histories, ["fell"]) == {}
    assert to_stop(RULE, "minimize", histories, ["fell"]) == {"fell": (2, 9.0, 2.0)}


def test_a_run_alone_goes_on():
    assert to_stop(RULE, "minimize", {"a": [10.0, 10.0]}, ["a"]) == {}


@pytest.mark.parametrize("histories", [{}, {"a": []}, {"a": [NAN, NAN]}])
def test_runs_without_a_finite_value_are_not_judged(histories):
    assert to_stop(RULE, "minimize", histories, ["a"]) == {}
